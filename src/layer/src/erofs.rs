//! The EROFS index: a file system whose files lie elsewhere.
use crate::Tree;
use std::io::{self, Write};

/// Why an index cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ErofsError {
    /// Writing failed.
    #[error("the index cannot be written: {0}")]
    Write(#[from] io::Error),
    /// Index and layers together are over 2 TiB.
    #[error("the disk would be over 2 TiB")]
    TooLarge,
}

/// An index that was written, and the disk that it belongs to: the extents, in this order and with
/// nothing between them. The index is of no use with any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Parts of the disk, none of them empty. The first one is the index.
    pub extents: Vec<Extent>,
    /// Length of the index; a multiple of 4096.
    pub index_bytes: u64,
}

/// One part of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// What it is; always from its first byte on.
    pub source: Source,
    /// Length in sectors of 512 bytes. A tar's last, incomplete sector is not on the disk.
    pub sectors: u64,
}

/// What an extent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The index itself.
    Index,
    /// The tar of this layer, counted from 0, the lowest.
    Tar(usize),
    /// The auxiliary part of this layer.
    Aux(usize),
}

/// Writes the index of `tree` to `out`, and tells of which parts its disk consists.
///
/// # Errors
/// [`ErofsError`].
pub fn write_index(_tree: &Tree<'_>, _out: impl Write) -> Result<Disk, ErofsError> {
    unimplemented!()
}
