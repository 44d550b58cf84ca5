//! Reading the files of a tree on a thread of its own, ahead of who writes them: what comes first in a
//! layer, the history, is still being made then.
//!
//! Invariant: what is handed on was read whole, at one moment.

use super::SeedError;
use super::stamp::{Kind, Stamp};
use super::tree::{Body, Directories, Tree, changing, words};
use crate::until::Until;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, fstat, openat, readlinkat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Files up to this size are read whole before anything of them is written, so that one that changes
/// meanwhile can be read again.
const SMALL: u64 = 1 << 20;

/// How often such a file is read.
const READS: u32 = 5;

/// What is handed on at once: so many files, or so many bytes and then one more file.
const BATCH: usize = 128;
const BATCH_BYTES: usize = 256 << 10;

/// Batches on their way: 16 MiB of small files, and never more than 80 MiB. So much of a tree of ten thousand
/// files is read when its history is there.
const QUEUE: usize = 64;

/// A file or a symbolic link.
pub(super) enum Taken {
    Symlink(Stamp, Vec<u8>),
    Small(Stamp, Vec<u8>),
    /// Still to be read.
    Large(Stamp, File),
    /// Cannot be read, and why.
    Skipped(String),
}

type Batch = Vec<Result<Taken, SeedError>>;

/// The two ends of a reading: one is for a thread, the other gives what it reads.
pub(super) fn reading<'a>(tree: &'a Tree, until: Until<'a>) -> (Reading<'a>, Ahead) {
    let (batches, read) = sync_channel(QUEUE);
    (Reading { tree, until, batches }, Ahead { read, batch: Vec::new().into_iter() })
}

/// Files as they were read, in the order of the tree.
pub(super) struct Ahead {
    read: Receiver<Batch>,
    batch: std::vec::IntoIter<Result<Taken, SeedError>>,
}

impl Iterator for Ahead {
    type Item = Result<Taken, SeedError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(next) = self.batch.next() {
                return Some(next);
            }
            self.batch = self.read.recv().ok()?.into_iter();
        }
    }
}

/// What reads.
pub(super) struct Reading<'a> {
    tree: &'a Tree,
    until: Until<'a>,
    batches: SyncSender<Batch>,
}

impl Reading<'_> {
    /// Reads until all is read, something is wrong, or nobody wants more.
    pub fn run(self) {
        let (mut batch, mut bytes) = (Batch::new(), 0);
        let mut directories = Directories::below(self.tree.root.as_fd());
        for (path, body) in &self.tree.members {
            let Body::Found(seen) = body else { continue };
            let taken = self.take(&mut directories, path, seen);
            bytes += match &taken {
                Ok(Taken::Small(_, content)) => content.len(),
                // An open file is handed on at once.
                Ok(Taken::Large(..)) => BATCH_BYTES,
                _ => 0,
            };
            let is_last = taken.is_err();
            batch.push(taken);
            if is_last || batch.len() >= BATCH || bytes >= BATCH_BYTES {
                bytes = 0;
                let next = std::mem::replace(&mut batch, Batch::with_capacity(BATCH));
                if self.batches.send(next).is_err() || is_last {
                    return;
                }
                if self.until.is_cancelled() {
                    batch.push(Err(SeedError::Cancelled));
                    break;
                }
            }
        }
        // Who hung up wants no more.
        let _ = self.batches.send(batch);
    }

    fn take(&self, directories: &mut Directories<'_>, path: &[u8], seen: &Stamp) -> Result<Taken, SeedError> {
        let file = match open(directories, path, seen.kind) {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => return Err(changing(path)),
            Err(error) => return Ok(Taken::Skipped(words(error))),
        };
        if seen.kind == Kind::File && seen.size <= SMALL {
            return self.small(path, &File::from(file), seen);
        }
        let stamp = self.stamp(path, &file, seen.kind)?;
        if seen.kind == Kind::Symlink {
            let target =
                readlinkat(&file, "", Vec::new()).map_err(|error| self.failed(path, error.into()))?;
            return Ok(Taken::Symlink(stamp, target.into_bytes()));
        }
        Ok(Taken::Large(stamp, file.into()))
    }

    /// Of what should be of that kind.
    fn stamp(&self, path: &[u8], file: impl AsFd, kind: Kind) -> Result<Stamp, SeedError> {
        let stamp = Stamp::of(&fstat(file).map_err(|error| self.failed(path, error.into()))?);
        if stamp.kind == kind { Ok(stamp) } else { Err(changing(path)) }
    }

    /// Reads a file that looks after the reading as it did before, which is when it was `seen`.
    fn small(&self, path: &[u8], file: &File, seen: &Stamp) -> Result<Taken, SeedError> {
        let mut before = *seen;
        for _ in 0..READS {
            let mut content = vec![0; before.size as usize];
            let read = file.read_exact_at(&mut content, 0);
            let after = self.stamp(path, file, Kind::File)?;
            match read {
                Ok(()) if after == before => return Ok(Taken::Small(after, content)),
                Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                    return Err(self.failed(path, error));
                }
                _ if after.size > SMALL => break,
                _ => before = after,
            }
        }
        Err(changing(path))
    }

    fn failed(&self, path: &[u8], source: io::Error) -> SeedError {
        SeedError::Source { path: self.tree.directory.join(OsStr::from_bytes(path)), source }
    }
}

fn open(directories: &mut Directories<'_>, path: &[u8], kind: Kind) -> Result<OwnedFd, Errno> {
    // What was a file may have become a pipe, which must not be waited for.
    let file = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = if kind == Kind::Symlink { OFlags::PATH } else { file };
    let (directory, name) = directories.parent(path)?;
    openat(directory, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}
