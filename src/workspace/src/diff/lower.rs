//! A disk of layers, as the host made it: its index and its tars.

use pyro_layer::{Index, IndexError, IndexInode, NameExtent, NumberedName, ReadAt};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The layers of one disk.
#[derive(Debug)]
pub struct Lower {
    index: Index<Source>,
    parts: Vec<Part>,
}

/// A tar, or what of a tar had to be expanded.
#[derive(Debug)]
struct Part {
    /// Where it begins on the disk.
    start: u64,
    /// Its bytes on the disk.
    bytes: u64,
    path: PathBuf,
}

/// Bytes of a file in a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) offset: u64,
    pub(super) size: u64,
}

#[derive(Debug)]
struct Source(File);

impl ReadAt for Source {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
}

impl Lower {
    /// Opens the disk whose parts these files are, the index first.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn open(parts: &[PathBuf]) -> Result<Self, IndexError> {
        let first = parts.first().ok_or(IndexError::Damaged("no parts"))?;
        let index = File::open(first)?;
        let length = index.metadata()?.len();
        let mut start = length;
        let mut tars = Vec::new();
        for path in &parts[1..] {
            // A tar's last, incomplete sector is not on the disk.
            let bytes = path.metadata()?.len() / 512 * 512;
            tars.push(Part { start, bytes, path: path.clone() });
            start += bytes;
        }
        Ok(Self { index: Index::open(Source(index), length)?, parts: tars })
    }

    pub(super) fn root(&self) -> Result<IndexInode, IndexError> {
        self.index.root()
    }

    pub(super) fn find(&self, names: &NameExtent, name: &[u8]) -> Result<Option<IndexInode>, IndexError> {
        self.index.find(names, name)
    }

    pub(super) fn list(&self, names: &NameExtent) -> Result<Vec<NumberedName>, IndexError> {
        self.index.list(names)
    }

    /// The file of the store in which `extent` lies, and where in it.
    pub(super) fn place(&self, extent: Extent) -> io::Result<(&Path, u64)> {
        let at = self.parts.partition_point(|part| part.start <= extent.offset);
        let part = at.checked_sub(1).map(|at| &self.parts[at]);
        let inside = |part: &&Part| {
            extent.offset.checked_add(extent.size).is_some_and(|end| end <= part.start + part.bytes)
        };
        let part = part.filter(inside).ok_or(io::ErrorKind::InvalidData)?;
        Ok((&part.path, extent.offset - part.start))
    }
}
