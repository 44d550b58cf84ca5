//! Files of the host.

use super::stage::{CONTENT, Stage, new_file};
use super::{ExportError, Receiver};
use crate::agent::Content;
use crate::aside::DIRECTORY;
use pyro_protocol::{Entry, path};
use rustix::fs::{
    AtFlags, Mode, ResolveFlags, Timespec, Timestamps, UTIME_OMIT, fchmod, futimens, mkdirat, openat,
    openat2, symlinkat, utimensat,
};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

/// Bytes that are copied at once, and left out together where they are zeros: what is sparse in the
/// guest, and claims any length, costs no room here.
const CHUNK: usize = 64 << 10;

/// Files in a [`Stage`].
pub(super) struct Tree<'s> {
    stage: &'s Stage,
    /// The top, if it is a directory.
    root: Option<OwnedFd>,
    /// The directory where something was made last, and its path.
    here: Option<(Vec<u8>, OwnedFd)>,
    /// Directories that are not done yet, each in the one before it.
    open: Vec<Entry>,
}

impl<'s> Tree<'s> {
    pub fn new(stage: &'s Stage) -> Self {
        Self { stage, root: None, here: None, open: Vec::new() }
    }

    /// The directory in which `path` is, and its name there.
    fn place<'p>(&mut self, path: &'p [u8]) -> Result<(BorrowedFd<'_>, &'p OsStr), ExportError> {
        if path.is_empty() {
            return Ok((self.stage.directory(), OsStr::new(CONTENT)));
        }
        let parent = path::parent(path);
        while self.open.last().is_some_and(|last| !path::is_within(parent, &last.path)) {
            self.close()?;
        }
        if self.here.as_ref().is_none_or(|(here, _)| here != parent) {
            let opened = self.directory_at(parent).map_err(|error| self.failed(parent, error))?;
            self.here = Some((parent.to_vec(), opened));
        }
        let (_, here) = self.here.as_ref().expect("it was opened");
        Ok((here.as_fd(), OsStr::from_bytes(path::name(path))))
    }

    fn directory_at(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let root = self.root.as_ref().ok_or(Errno::NOTDIR)?;
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let path = if path.is_empty() { b"." } else { path };
        openat2(root, OsStr::from_bytes(path), DIRECTORY, Mode::empty(), beneath)
    }

    /// Gives the innermost directory what making files in it would have spoiled.
    fn close(&mut self) -> Result<(), ExportError> {
        let Some(entry) = self.open.pop() else { return Ok(()) };
        // Its owner can always enter it, and remove what is in it.
        let mode = Mode::from_raw_mode(entry.mode & 0o777) | Mode::RWXU;
        let done = self.directory_at(&entry.path).and_then(|directory| {
            fchmod(&directory, mode)?;
            let _ = futimens(&directory, &times(&entry));
            Ok(())
        });
        done.map_err(|error| self.failed(&entry.path, error))
    }

    fn failed(&self, path: &[u8], error: impl Into<std::io::Error>) -> ExportError {
        ExportError::at(&self.shown(path), error)
    }

    fn shown(&self, path: &[u8]) -> PathBuf {
        self.stage.target().join(OsStr::from_bytes(path))
    }
}

impl Receiver for Tree<'_> {
    fn admits(&self, _path: &[u8]) -> Result<(), String> {
        Ok(())
    }

    fn directory(&mut self, entry: &Entry) -> Result<(), ExportError> {
        let (parent, name) = self.place(&entry.path)?;
        let made = mkdirat(parent, name, Mode::RWXU);
        let made = made.and_then(|()| openat(parent, name, DIRECTORY, Mode::empty()));
        let made = made.map_err(|error| self.failed(&entry.path, error))?;
        if entry.path.is_empty() {
            self.root = Some(made);
        } else {
            self.here = Some((entry.path.to_vec(), made));
        }
        self.open.push(entry.clone());
        Ok(())
    }

    fn file(&mut self, entry: &Entry, _size: u64, content: Content<'_, '_>) -> Result<u64, ExportError> {
        let (parent, name) = self.place(&entry.path)?;
        let file = new_file(parent, name, 0o600).map_err(|error| self.failed(&entry.path, error))?;
        let length = copy(content, &file, &self.shown(&entry.path))?;
        fchmod(&file, Mode::from_raw_mode(entry.mode & 0o777))
            .map_err(|error| self.failed(&entry.path, error))?;
        // A time is no reason to fail.
        let _ = futimens(&file, &times(entry));
        Ok(length)
    }

    fn symlink(&mut self, entry: &Entry, target: &[u8]) -> Result<(), ExportError> {
        let (parent, name) = self.place(&entry.path)?;
        let made = symlinkat(OsStr::from_bytes(target), parent, name);
        let _ = utimensat(parent, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW);
        made.map_err(|error| self.failed(&entry.path, error))
    }

    fn finish(mut self) -> Result<(), ExportError> {
        while !self.open.is_empty() {
            self.close()?;
        }
        Ok(())
    }
}

/// Copies a file's content, zeros as holes; returns its length.
fn copy(mut content: Content<'_, '_>, mut file: &File, shown: &std::path::Path) -> Result<u64, ExportError> {
    let failed = |error| ExportError::at(shown, error);
    let (mut buffer, mut length) = (vec![0; CHUNK], 0);
    loop {
        let count = content.read(&mut buffer).map_err(|error| ExportError::content(error, shown))?;
        if count == 0 {
            break;
        }
        let bytes = &buffer[..count];
        if bytes.iter().all(|byte| *byte == 0) {
            file.seek(SeekFrom::Current(count as i64)).map_err(failed)?;
        } else {
            file.write_all(bytes).map_err(failed)?;
        }
        length += count as u64;
    }
    file.set_len(length).map_err(failed)?;
    Ok(length)
}

fn times(entry: &Entry) -> Timestamps {
    let modified = Timespec { tv_sec: entry.mtime, tv_nsec: entry.mtime_nanos.into() };
    Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: modified }
}
