//! A place beside the target, where it is made before it is there. It is locked as long as somebody
//! makes something in it, so whoever makes the next one knows those that a killed process has left.

use super::ExportError;
use rustix::fs::{
    AtFlags, CWD, FlockOperation, Mode, OFlags, RenameFlags, flock, fstat, mkdirat, openat, renameat_with,
    statat,
};
use rustix::io::Errno;
use rustix::process::geteuid;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What is to become the target, in the directory beside it.
pub(super) const CONTENT: &str = "content";

/// Opens directories, and no links.
pub(super) const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Begins the names of such places.
const PREFIX: &str = ".pyro-export-";

/// A directory of ours beside the target. It goes, with what is in it, when this does.
#[derive(Debug)]
pub(super) struct Stage {
    target: PathBuf,
    name: OsString,
    parent: OwnedFd,
    path: PathBuf,
    directory: OwnedFd,
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
        sweep(above);
        loop {
            let mut random = [0_u8; 8];
            rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()).map_err(failed)?;
            let path = above.join(format!("{PREFIX}{}", hex::encode(random)));
            mkdirat(CWD, &path, Mode::RWXU).map_err(failed)?;
            match lock(&path) {
                Ok(Some(directory)) => {
                    return Ok(Self { target: target.to_owned(), name, parent, path, directory });
                }
                // Before it was locked, another process took it for one that nobody needs.
                Ok(None) | Err(Errno::NOENT) => {}
                Err(error) => {
                    let _ = fs::remove_dir(&path);
                    return Err(failed(error));
                }
            }
        }
    }

    /// What it is for.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The directory.
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// A new file that is to become the target.
    pub fn file(&self) -> Result<File, ExportError> {
        new_file(self.directory(), OsStr::new(CONTENT), 0o666)
            .map_err(|error| ExportError::at(&self.target, error))
    }

    /// Puts what was made in its place.
    pub fn publish(self) -> Result<(), ExportError> {
        match renameat_with(&self.directory, CONTENT, &self.parent, &self.name, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => Err(ExportError::Exists(self.target.clone())),
            other => other.map_err(|error| ExportError::at(&self.target, error)),
        }
    }
}

/// The directory at `path`, locked; none if somebody else has it, or has removed it.
fn lock(path: &Path) -> Result<Option<OwnedFd>, Errno> {
    let directory = rustix::fs::open(path, DIRECTORY, Mode::empty())?;
    match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        // A removed directory has no links left.
        Ok(()) => Ok((fstat(&directory)?.st_nlink > 0).then_some(directory)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes what killed processes of this user have left in a directory.
fn sweep(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    let ours = |name: &[u8]| {
        name.strip_prefix(PREFIX.as_bytes())
            .is_some_and(|rest| rest.len() == 16 && rest.iter().all(u8::is_ascii_hexdigit))
    };
    for entry in entries.flatten().filter(|entry| ours(entry.file_name().as_encoded_bytes())) {
        let is_mine = entry.metadata().is_ok_and(|found| found.uid() == geteuid().as_raw());
        if is_mine
            && let Ok(Some(_locked)) = lock(&entry.path())
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            tracing::warn!(path = %entry.path().display(), %error, "a directory stays behind");
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Everything in it is ours, and every directory is open to us.
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a directory stays behind");
        }
    }
}

/// A file that was not there.
pub(super) fn new_file(directory: BorrowedFd<'_>, name: &OsStr, mode: u32) -> Result<File, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(directory, name, flags, Mode::from_raw_mode(mode)).map(File::from)
}
