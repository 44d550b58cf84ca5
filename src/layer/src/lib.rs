//! Image layers as bytes: tar, table of contents, merge, EROFS index, VMDK.
//!
//! A layer stays the tar that it came as. [`scan`] reads it once and gives its table of contents
//! ([`Toc`]); [`flatten`] or [`overlay`] merges the tables of a chain of layers into one [`Tree`];
//! [`write_index`] writes that tree as an EROFS file system without any file data, whose files point
//! into the tars; [`vmdk_descriptor`] glues index and tars into one disk.
//! [`LayerWriter`] writes the tar of a layer of ours.
//!
//! Bytes in, bytes out: nothing here knows files, paths of the host, the network, threads or the time.
//! Whatever is read is taken as hostile: it gives an error and never a panic, and memory stays within
//! [`Limits`]. The same input gives the same output, byte for byte.
#![forbid(unsafe_code)]

mod erofs;
mod image;
mod limits;
mod merge;
mod name;
mod tar;
#[cfg(test)]
#[path = "../tests/common/tarball.rs"]
mod tarball;
mod toc;
mod tree;
mod vmdk;
mod whiteout;
mod write;

pub use erofs::{
    Disk, ErofsError, Extent, Index, IndexError, IndexInode, InodeKind, NameExtent, NumberedName, ReadAt,
    Source, write_index,
};
pub use image::{ImageError, write_image};
pub use limits::Limits;
pub use merge::{MergeError, MergeProblem, flatten, overlay};
pub use name::NameError;
pub use tar::{TarError, TarProblem, is_kept as keeps_xattr, scan};
pub use toc::{Device, Entry, Kind, Meta, Part, Payload, Time, Toc, TocError, Xattr};
pub use tree::{Content, Directory, LayerSize, Node, NodeId, NodeKind, Tree, Visit, Walk};
pub use vmdk::{VmdkError, VmdkExtent, descriptor as vmdk_descriptor};
pub use write::{LayerWriter, Member, WriteError, check_path, layer_order};
