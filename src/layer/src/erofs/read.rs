//! Reads an index that [`super::write_index`] wrote: one file at a time, a few blocks each.
//!
//! Looking a name up costs a handful of small reads however large the tree is, so whoever asks about
//! ten files of a hundred thousand pays for ten. An index is a file of our own cache; one that is
//! damaged gives an error, never a panic, and never more memory than it has bytes.

use super::format::{self, BLOCK, FileType, INODE, INODES_OFFSET, NumberedName, SLOT, SUPER_OFFSET};
use crate::limits::TARGET_MAX;
use crate::{Device, Time, Xattr};
use std::io;

/// Where the bytes of an index come from.
pub trait ReadAt {
    /// Fills `buffer` with the bytes at `offset`.
    ///
    /// # Errors
    /// What reading says; [`io::ErrorKind::UnexpectedEof`] when there are fewer.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for [u8] {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).ok();
        let found = start.and_then(|start| self.get(start..)?.get(..buffer.len()));
        buffer.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// Why an index cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Reading failed.
    #[error("the index cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It is not what was written.
    #[error("the index is damaged: {0}")]
    Damaged(&'static str),
}

/// An index that can be asked.
#[derive(Debug)]
pub struct Index<R> {
    input: R,
    /// Its own length: all but the data of files lies within.
    bytes: u64,
    root: u64,
}

/// What an index knows of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexInode {
    /// Names it within its index.
    pub number: u64,
    /// What it is.
    pub kind: InodeKind,
    /// Permissions, setuid, setgid and sticky: 12 bits.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of the last change of content.
    pub mtime: Time,
    /// Extended attributes, sorted by name.
    pub xattrs: Vec<Xattr>,
}

/// Kinds of [`IndexInode`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InodeKind {
    /// A regular file.
    File {
        /// Where its bytes are on the disk of which the index is the first part.
        offset: u64,
        /// How many.
        size: u64,
    },
    /// A directory.
    Directory {
        /// Hides what the layers below have in it.
        opaque: bool,
        /// Where its names are.
        names: NameExtent,
    },
    /// A symbolic link and its target.
    Symlink(Box<[u8]>),
    /// A character device.
    Character(Device),
    /// A block device.
    Block(Device),
    /// A named pipe.
    Fifo,
    /// Hides the name in the layers below.
    Whiteout,
}

/// Where the bytes of a directory or link are: whole blocks, and a tail that follows the inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameExtent {
    size: u64,
    blocks: u64,
    /// Where the bytes after the last whole block are; 0 if they are in a block too.
    tail: u64,
}

impl<R: ReadAt> Index<R> {
    /// Opens the index that is the first `bytes` bytes of `input`.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn open(input: R, bytes: u64) -> Result<Self, IndexError> {
        let mut block = [0; BLOCK as usize];
        input.read_exact_at(&mut block, SUPER_OFFSET)?;
        let root = format::root_of(&block).ok_or(IndexError::Damaged("superblock"))?;
        Ok(Self { input, bytes, root: root.into() })
    }

    /// The root directory.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn root(&self) -> Result<IndexInode, IndexError> {
        self.inode(self.root)
    }

    /// What `name` is in a directory.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn find(&self, directory: &NameExtent, name: &[u8]) -> Result<Option<IndexInode>, IndexError> {
        // The last block that begins with the name or one before it.
        let (mut low, mut high) = (0, directory.size.div_ceil(BLOCK));
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let block = self.names(directory, middle)?;
            if block.first().is_some_and(|(first, _)| **first <= *name) {
                low = middle
            } else {
                high = middle
            }
        }
        if high == 0 {
            return Ok(None);
        }
        let block = self.names(directory, low)?;
        let found = block.binary_search_by(|(each, _)| (**each).cmp(name));
        found.ok().map(|at| self.inode(block[at].1)).transpose()
    }

    /// The names in a directory, sorted, each with its inode's number.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn list(&self, directory: &NameExtent) -> Result<Vec<NumberedName>, IndexError> {
        let mut all = Vec::new();
        for block in 0..directory.size.div_ceil(BLOCK) {
            let names = self.names(directory, block)?;
            all.extend(names.into_iter().filter(|(name, _)| !matches!(&**name, b"." | b"..")));
        }
        Ok(all)
    }

    /// The inode of a number that [`Index::list`] gave.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn inode(&self, number: u64) -> Result<IndexInode, IndexError> {
        let damaged = IndexError::Damaged;
        let offset = number.checked_mul(SLOT).filter(|it| *it >= INODES_OFFSET);
        let offset = offset.ok_or(damaged("inode number"))?;
        let mut raw = [0; INODE as usize];
        self.read(&mut raw, offset)?;
        let raw = format::RawInode::decode(&raw).ok_or(damaged("inode"))?;
        let mut attributes = vec![0; raw.xattr_bytes as usize];
        self.read(&mut attributes, offset + INODE)?;
        let mut xattrs = format::read_xattrs(&attributes).ok_or(damaged("attribute"))?;
        let data = NameExtent {
            size: raw.size,
            blocks: u64::from(raw.place) * BLOCK,
            tail: if raw.inline { offset + INODE + raw.xattr_bytes } else { 0 },
        };
        let kind = match raw.kind {
            FileType::Regular => InodeKind::File { offset: data.blocks, size: raw.size },
            FileType::Directory => {
                let before = xattrs.len();
                xattrs.retain(|xattr| *xattr.name != *super::OPAQUE_NAME);
                let opaque = xattrs.len() < before;
                // What else overlayfs is told is no attribute of the directory.
                xattrs.retain(|xattr| *xattr.name != *super::ORIGIN_NAME);
                if raw.size > self.bytes {
                    return Err(damaged("directory size"));
                }
                InodeKind::Directory { opaque, names: data }
            }
            FileType::Symlink => {
                if raw.size > TARGET_MAX as u64 {
                    return Err(damaged("link target"));
                }
                let mut target = Vec::new();
                for block in 0..raw.size.div_ceil(BLOCK) {
                    target.extend(self.block(&data, block)?);
                }
                InodeKind::Symlink(target.into())
            }
            FileType::Character if raw.place == 0 => InodeKind::Whiteout,
            FileType::Character => InodeKind::Character(format::decode_device(raw.place)),
            FileType::Block => InodeKind::Block(format::decode_device(raw.place)),
            FileType::Fifo => InodeKind::Fifo,
        };
        let (mode, uid, gid, mtime) = (raw.mode, raw.uid, raw.gid, raw.mtime);
        Ok(IndexInode { number, kind, mode, uid, gid, mtime, xattrs })
    }

    /// The names of one block of a directory.
    fn names(&self, directory: &NameExtent, number: u64) -> Result<Vec<NumberedName>, IndexError> {
        format::read_names(&self.block(directory, number)?).ok_or(IndexError::Damaged("directory"))
    }

    /// One block of a directory or link; the last one may be shorter.
    fn block(&self, extent: &NameExtent, number: u64) -> Result<Vec<u8>, IndexError> {
        let start = number * BLOCK;
        let length = (extent.size - start).min(BLOCK);
        let offset = if length < BLOCK && extent.tail > 0 { extent.tail } else { extent.blocks + start };
        let mut bytes = vec![0; length as usize];
        self.read(&mut bytes, offset)?;
        Ok(bytes)
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), IndexError> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.bytes) {
            return Err(IndexError::Damaged("place"));
        }
        Ok(self.input.read_exact_at(buffer, offset)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tarball::Tarball;
    use crate::{Kind, Limits, NodeKind, Source, Toc, Tree, flatten, overlay, scan, write_index};
    use std::io::Cursor;

    impl ReadAt for Vec<u8> {
        fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
            self.as_slice().read_exact_at(buffer, offset)
        }
    }

    fn sample() -> Vec<u8> {
        let long = "t".repeat(3000);
        let mut tar = Tarball::new()
            .dir("d/")
            .pax(&[("mtime", b"-7.25"), ("SCHILY.xattr.user.a", b"\0"), ("SCHILY.xattr.trusted.b", b"x")])
            .file("d/file", &[7; 1000])
            .link("d/link", "d/file")
            .symlink("s", "target")
            .pax(&[("linkpath", long.as_bytes())])
            .symlink("long", "x")
            .device(b'3', "c", 5, 300)
            .device(b'4', "b", 8, 1)
            .member(b'6', "fifo", b"", |header| header.set_uid(4_000_000_000))
            .file("d/.wh.gone", b"")
            .file("opaque/.wh..wh..opq", b"")
            .file("empty", b"");
        for number in 0..500 {
            tar = tar.file(&format!("many/{number:03}-{}", "n".repeat(number % 60)), b"x");
        }
        tar.end()
    }

    fn toc(tar: &[u8]) -> Toc {
        scan(tar, &Limits::default(), Cursor::new(Vec::new())).unwrap()
    }

    /// The whole disk, and the length of its index.
    fn disk(tree: &Tree<'_>, tar: &[u8]) -> (Vec<u8>, u64) {
        let mut bytes = Vec::new();
        let disk = write_index(tree, &mut bytes).unwrap();
        for extent in &disk.extents {
            if extent.source == Source::Tar(0) {
                bytes.extend_from_slice(&tar[..extent.sectors as usize * 512]);
            }
        }
        (bytes, disk.index_bytes)
    }

    /// Looks up every path of `tree`, and compares.
    fn compare(tree: &Tree<'_>, tar: &[u8]) -> usize {
        let (bytes, length) = disk(tree, tar);
        let index = Index::open(bytes.clone(), length).unwrap();
        let mut walk = tree.walk();
        let mut count = 0;
        while let Some(visit) = walk.next() {
            let mut found = index.root().unwrap();
            for name in visit.path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
                let InodeKind::Directory { names, .. } = found.kind else { panic!("not a directory") };
                found = index.find(&names, name).unwrap().expect("a name of the tree");
                assert!(index.find(&names, &[name, b"\0"].concat()).unwrap().is_none());
            }
            let same = match (&visit.node.kind, &found.kind) {
                (NodeKind::File(content), InodeKind::File { offset, size }) => {
                    let own = &tar[content.payload.offset as usize..][..content.payload.size as usize];
                    *own == bytes[*offset as usize..][..*size as usize]
                }
                (NodeKind::Directory(directory), InodeKind::Directory { opaque, names }) => {
                    let listed = index.list(names).unwrap();
                    let listed: Vec<&[u8]> = listed.iter().map(|(name, _)| &**name).collect();
                    directory.opaque == *opaque
                        && listed == directory.iter().map(|it| it.0).collect::<Vec<_>>()
                }
                (NodeKind::Symlink(target), InodeKind::Symlink(found)) => *target == &**found,
                (NodeKind::Character(device), InodeKind::Character(found))
                | (NodeKind::Block(device), InodeKind::Block(found)) => device == found,
                (NodeKind::Fifo, InodeKind::Fifo) | (NodeKind::Whiteout, InodeKind::Whiteout) => true,
                _ => false,
            };
            assert!(
                same,
                "{:?}: {:?} {:?}",
                String::from_utf8_lossy(visit.path),
                visit.node.kind,
                found.kind
            );
            let meta = visit.node.meta;
            assert_eq!(
                (meta.mode, meta.uid, meta.gid, meta.mtime),
                (found.mode, found.uid, found.gid, found.mtime)
            );
            assert_eq!(meta.xattrs, found.xattrs);
            count += 1;
        }
        count
    }

    #[test]
    fn what_was_written_is_found_again() {
        let tar = sample();
        let tocs = [toc(&tar)];
        assert!(tocs[0].entries().iter().any(|entry| matches!(entry.kind, Kind::HardLink(_))));
        assert!(compare(&flatten(&tocs).unwrap(), &tar) > 510);
        assert!(compare(&overlay(&tocs).unwrap(), &tar) > 510);
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        let tar = sample();
        let tocs = [toc(&tar)];
        let (good, length) = disk(&overlay(&tocs).unwrap(), &tar);
        let visit = |bytes: Vec<u8>| -> Result<(), IndexError> {
            let index = Index::open(bytes, length)?;
            let InodeKind::Directory { names, .. } = index.root()?.kind else { return Ok(()) };
            for (name, number) in index.list(&names)? {
                let _ = index.find(&names, &name)?;
                if let InodeKind::Directory { names, .. } = index.inode(number)?.kind {
                    index.list(&names)?;
                }
            }
            Ok(())
        };
        visit(good.clone()).unwrap();
        let mut failed = 0;
        for at in (1024..4096.min(good.len())).chain((4096..length as usize).step_by(37)) {
            let mut bad = good.clone();
            bad[at] ^= 0xff;
            failed += usize::from(visit(bad).is_err());
        }
        assert!(failed > 500, "{failed}");
        for cut in (0..length as usize - 4096).step_by(509) {
            assert!(visit(good[..cut].to_vec()).is_err(), "cut at {cut}");
        }
    }
}
