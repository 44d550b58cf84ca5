//! Writing a tree as a layer: reading each file whole and unchanged, or saying that it is not possible.

use super::cache::{Kept, Made};
use super::stamp::{Kind, Stamp};
use super::tree::{Body, Tree, changing, words};
use super::{Owner, PREFIX, SeedError, Skipped, display};
use crate::until::Until;
use pyro_layer::{LayerWriter, Member, Meta, Time, WriteError};
use pyro_oci::{LayerError, Store};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, ResolveFlags, fstat, openat2, readlinkat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Files up to this size are read whole before anything of them is written, so that one that changes
/// meanwhile can be read again.
const SMALL: u64 = 1 << 20;

/// How often such a file is read.
const READS: u32 = 5;

/// Writes the layer.
pub(super) fn write(store: &Store, tree: &Tree, owner: Owner, until: Until<'_>) -> Result<Made, SeedError> {
    let mut emitter = Emitter {
        tree,
        owner,
        until,
        newest: tree.newest(),
        buffer: Vec::new(),
        entries: 0,
        bytes: 0,
        skipped: tree.skipped.clone(),
        exact: true,
    };
    let layer = store.write_layer(|writer| emitter.write(writer))?;
    let Emitter { entries, bytes, skipped, exact, .. } = emitter;
    Ok(Made { kept: Kept { layer, entries, bytes, skipped }, exact })
}

/// A file that is read until somebody cancels.
struct Watched<'a> {
    file: &'a mut File,
    until: Until<'a>,
}

impl io::Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.until.is_cancelled() {
            return Err(io::ErrorKind::Other.into());
        }
        self.file.read(buffer)
    }
}

/// The time of what git made at `now` of files of which `newest` is the newest: later than theirs, since git
/// trusts an index for what is older than itself, and the same whenever it is made, so that a checkout is one
/// layer.
fn made_at(newest: Time, now: Time) -> Time {
    // Some builds of git see whole seconds. In that of the newest file a guest cannot write any more.
    if now.seconds > newest.seconds || newest.nanos == 999_999_999 {
        return Time { seconds: newest.seconds + 1, nanos: 0 };
    }
    Time { seconds: newest.seconds, nanos: newest.nanos + 1 }
}

struct Emitter<'a> {
    tree: &'a Tree,
    owner: Owner,
    until: Until<'a>,
    /// Given to what has no time of its own.
    newest: Time,
    buffer: Vec<u8>,
    entries: u64,
    bytes: u64,
    skipped: Vec<Skipped>,
    /// Whether everything was as it had been seen.
    exact: bool,
}

impl Emitter<'_> {
    fn write(&mut self, writer: &mut LayerWriter<'_>) -> Result<(), SeedError> {
        let top = self.meta(0o755, self.newest);
        writer.add(PREFIX, &top, Member::Directory { opaque: false })?;
        for (path, body) in &self.tree.members {
            if self.until.is_cancelled() {
                return Err(SeedError::Cancelled);
            }
            let whole = [PREFIX, b"/", path].concat();
            match body {
                Body::Directory(time) => {
                    let meta = self.meta(0o755, time.unwrap_or(self.newest));
                    writer.add(&whole, &meta, Member::Directory { opaque: false })?;
                }
                Body::Bytes(bytes) => {
                    let (meta, size) = (self.meta(0o644, self.newest), bytes.len() as u64);
                    writer.add(&whole, &meta, Member::File { size, content: &mut &bytes[..] })?;
                }
                Body::Made(made) => self.copy(writer, &whole, made)?,
                Body::Found(stamp) => self.found(writer, path, &whole, stamp)?,
            }
        }
        Ok(())
    }

    fn meta(&self, mode: u16, mtime: Time) -> Meta {
        Meta { mode, uid: self.owner.uid, gid: self.owner.gid, mtime, xattrs: Vec::new() }
    }

    /// A file that git made.
    fn copy(&self, writer: &mut LayerWriter<'_>, whole: &[u8], made: &Path) -> Result<(), SeedError> {
        let failed = |error: io::Error| super::cache::failed(made)(error);
        let mut file = File::open(made).map_err(failed)?;
        let stamp = Stamp::of(&fstat(&file).map_err(|error| failed(error.into()))?);
        let meta = self.meta(0o644, made_at(self.newest, stamp.modified));
        Ok(writer.add(whole, &meta, Member::File { size: stamp.size, content: &mut file })?)
    }

    fn found(
        &mut self,
        writer: &mut LayerWriter<'_>,
        path: &[u8],
        whole: &[u8],
        seen: &Stamp,
    ) -> Result<(), SeedError> {
        let file = match self.open(path, seen.kind) {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::NXIO) => {
                return Err(changing(path));
            }
            Err(error) => {
                self.skipped.push(Skipped { path: display(path), why: words(error) });
                return Ok(());
            }
        };
        let stamp = self.stamp(path, &file)?;
        if stamp.kind != seen.kind {
            return Err(changing(path));
        }
        self.exact &= stamp == *seen;
        self.entries += 1;
        if stamp.kind == Kind::Symlink {
            let target = readlinkat(&file, "", Vec::new()).map_err(|error| self.failed(path, error))?;
            let meta = self.meta(0o777, stamp.modified);
            return Ok(writer.add(whole, &meta, Member::Symlink(target.as_bytes()))?);
        }
        let mut file = File::from(file);
        if stamp.size > SMALL {
            return self.large(writer, path, whole, &mut file, &stamp);
        }
        let stamp = self.read_small(path, &mut file, stamp)?;
        let (meta, size) = (self.file_meta(&stamp), stamp.size);
        self.bytes += size;
        Ok(writer.add(whole, &meta, Member::File { size, content: &mut &self.buffer[..] })?)
    }

    fn open(&self, path: &[u8], kind: Kind) -> Result<OwnedFd, Errno> {
        // What was a file may have become a pipe, which must not be waited for.
        let file = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let flags = if kind == Kind::Symlink { OFlags::PATH } else { file };
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        loop {
            match openat2(&self.tree.root, OsStr::from_bytes(path), flags, Mode::empty(), beneath) {
                // Somebody renames directories: the kernel asks to try again.
                Err(Errno::AGAIN | Errno::INTR) => {}
                result => return result,
            }
        }
    }

    fn stamp(&self, path: &[u8], file: impl std::os::fd::AsFd) -> Result<Stamp, SeedError> {
        Ok(Stamp::of(&fstat(file).map_err(|error| self.failed(path, error))?))
    }

    fn file_meta(&self, stamp: &Stamp) -> Meta {
        self.meta(if stamp.executable { 0o755 } else { 0o644 }, stamp.modified)
    }

    /// Reads a file into the buffer, as it is at one moment.
    fn read_small(&mut self, path: &[u8], file: &mut File, mut stamp: Stamp) -> Result<Stamp, SeedError> {
        for _ in 0..READS {
            self.buffer.clear();
            // One more byte, to see the end without asking again.
            self.buffer.reserve(stamp.size as usize + 1);
            let read = file.take(stamp.size + 1).read_to_end(&mut self.buffer);
            let read = read.map_err(|source| self.source_error(path, source))?;
            let after = self.stamp(path, &*file)?;
            if after == stamp && read as u64 == stamp.size {
                return Ok(stamp);
            }
            self.exact = false;
            stamp = after;
            if stamp.size > SMALL {
                break;
            }
            io::Seek::rewind(file).map_err(|source| self.source_error(path, source))?;
        }
        Err(changing(path))
    }

    fn large(
        &mut self,
        writer: &mut LayerWriter<'_>,
        path: &[u8],
        whole: &[u8],
        file: &mut File,
        stamp: &Stamp,
    ) -> Result<(), SeedError> {
        let meta = self.file_meta(stamp);
        let mut content = Watched { file, until: self.until };
        let added = writer.add(whole, &meta, Member::File { size: stamp.size, content: &mut content });
        match added {
            Err(WriteError::Read(..)) if self.until.is_cancelled() => return Err(SeedError::Cancelled),
            Err(WriteError::Size { .. }) => return Err(changing(path)),
            Err(WriteError::Read(_, source)) => return Err(self.source_error(path, source)),
            Err(error) => return Err(LayerError::from(error).into()),
            Ok(()) => {}
        }
        if self.stamp(path, &*file)? != *stamp {
            return Err(changing(path));
        }
        self.bytes += stamp.size;
        Ok(())
    }

    fn failed(&self, path: &[u8], error: Errno) -> SeedError {
        self.source_error(path, error.into())
    }

    fn source_error(&self, path: &[u8], source: io::Error) -> SeedError {
        SeedError::Source { path: self.tree.directory.join(OsStr::from_bytes(path)), source }
    }
}
