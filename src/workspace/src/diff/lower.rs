//! A disk of layers, as the host made it: its index and its tars.

use super::DiffError;
use pyro_layer::{Index, IndexError, IndexInode, InodeKind, NameExtent, NumberedName, ReadAt};
use std::fs::File;
use std::io::{self, Read};
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

    /// The first `max` bytes of the regular file at `path`; none if there is none. No link is followed.
    ///
    /// # Errors
    /// When the layers cannot be read.
    pub fn read(&self, path: &[u8], max: u64) -> Result<Option<Vec<u8>>, DiffError> {
        let mut kind = self.root()?.kind;
        for name in path.split(|byte| *byte == b'/') {
            let InodeKind::Directory { names, .. } = kind else { return Ok(None) };
            let Some(inode) = self.find(&names, name)? else { return Ok(None) };
            kind = inode.kind;
        }
        let InodeKind::File { offset, size } = kind else { return Ok(None) };
        let mut bytes = Vec::new();
        if size > 0 {
            let content = self.content(Extent { offset, size }).map_err(DiffError::Base)?;
            content.take(max).read_to_end(&mut bytes).map_err(DiffError::Base)?;
        }
        Ok(Some(bytes))
    }

    /// The bytes of `extent`, which are not none.
    pub(super) fn content(&self, extent: Extent) -> io::Result<LowerReader> {
        let (path, offset) = self.place(extent)?;
        Ok(LowerReader { file: File::open(path)?, offset, left: extent.size })
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

/// Part of a tar.
pub(super) struct LowerReader {
    file: File,
    offset: u64,
    left: u64,
}

impl Read for LowerReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.file.read_at(&mut buffer[..most], self.offset)?;
        if count == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}
