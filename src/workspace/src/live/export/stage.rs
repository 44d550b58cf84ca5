//! A place beside the target, where it is made before it is there.

use super::ExportError;
use crate::aside::{Aside, Purpose};
use crate::failpoint;
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, openat, renameat_with, statat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// What is to become the target, in the directory beside it.
pub(super) const CONTENT: &str = "content";

/// A directory of ours beside the target. It goes, with what is in it, when this does.
#[derive(Debug)]
pub(super) struct Stage {
    target: PathBuf,
    name: OsString,
    parent: OwnedFd,
    aside: Aside,
}

impl Stage {
    /// Makes one beside `target`, which must not be there.
    pub fn beside(target: &Path) -> Result<Self, ExportError> {
        let name = target.file_name().ok_or_else(|| ExportError::Nameless(target.to_owned()))?.to_owned();
        let above = target.parent().filter(|above| !above.as_os_str().is_empty());
        let above = above.unwrap_or_else(|| Path::new("."));
        let failed = |error: Errno| ExportError::at(above, error);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = rustix::fs::open(above, flags, Mode::empty()).map_err(failed)?;
        match statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => return Err(ExportError::Exists(target.to_owned())),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(ExportError::at(target, error)),
        }
        // One that cannot be listed can perhaps be written to.
        Aside::left(parent.as_fd(), Purpose::Export).into_iter().flatten().for_each(drop);
        let aside = Aside::make(parent.as_fd(), Purpose::Export).map_err(failed)?;
        failpoint::pass("export.staged");
        Ok(Self { target: target.to_owned(), name, parent, aside })
    }

    /// What it is for.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The directory.
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.aside.as_fd()
    }

    /// A new file that is to become the target.
    pub fn file(&self) -> Result<File, ExportError> {
        new_file(self.directory(), OsStr::new(CONTENT), 0o666)
            .map_err(|error| ExportError::at(&self.target, error))
    }

    /// Puts what was made in its place.
    pub fn publish(self) -> Result<(), ExportError> {
        failpoint::pass("export.filled");
        let done = renameat_with(&self.aside, CONTENT, &self.parent, &self.name, RenameFlags::NOREPLACE);
        failpoint::pass("export.renamed");
        match done {
            Err(Errno::EXIST) => Err(ExportError::Exists(self.target.clone())),
            other => other.map_err(|error| ExportError::at(&self.target, error)),
        }
    }
}

/// A file that was not there.
pub(super) fn new_file(directory: BorrowedFd<'_>, name: &OsStr, mode: u32) -> Result<File, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(directory, name, flags, Mode::from_raw_mode(mode)).map(File::from)
}
