//! Files below a directory, by descriptors: no path is resolved twice, and none leads out.

mod content;
mod describe;
mod directories;
mod listing;
mod remove;
mod tree;

pub use content::Content;
pub use describe::{describe, is_regular, kind, size};
pub use directories::{Made, make_directories};
pub use listing::Listing;
pub use remove::remove;
pub use tree::{Found, Tree, Within};

use crate::failure::{Named, invalid};
use pyro_protocol::{Failure, path};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How files are opened that may be anything: a pipe must not make us wait, nor a terminal ours.
pub const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// How directories are opened to look up names in them.
pub const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A name that has been looked at and is not followed.
pub const NAME: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What is to be done with links on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// They are followed, as long as they do not lead out.
    Follow,
    /// They are refused.
    Refuse,
}

/// A directory that no path leads out of.
pub struct Beneath {
    directory: OwnedFd,
    links: Links,
}

impl Beneath {
    /// Opens the directory `path`, which must be absolute.
    pub fn open(path: &[u8], links: Links) -> Result<Self, Failure> {
        check_root(path)?;
        Ok(Self { directory: openat(CWD, path, DIRECTORY, Mode::empty()).of(path)?, links })
    }

    /// The same directory for another purpose.
    pub fn of(directory: OwnedFd, links: Links) -> Self {
        Self { directory, links }
    }

    /// Opens `path`, which was checked; empty for the directory itself.
    pub fn resolve(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let mut how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        how.set(ResolveFlags::NO_SYMLINKS, self.links == Links::Refuse);
        let path = if path.is_empty() { b"." } else { path };
        // The kernel gives up when somebody renames directories meanwhile; it does not for long.
        loop {
            match openat2(&self.directory, path, flags | OFlags::CLOEXEC, Mode::empty(), how) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
    }

    /// Opens the regular file `path`; `None` if it is something else, which is not opened: to open a
    /// device may do something. A link at its end is treated as those on the way.
    pub fn open_regular(&self, path: &[u8]) -> Result<Option<(OwnedFd, Stat)>, Errno> {
        let handle = self.resolve(path, OFlags::PATH)?;
        if !is_regular(&fstat(&handle)?) {
            return Ok(None);
        }
        let file = self.resolve(path, READ)?;
        let stat = fstat(&file)?;
        Ok(is_regular(&stat).then_some((file, stat)))
    }

    /// Opens the directory that `path` is in, and returns it with the name there.
    pub fn parent(&self, path: &[u8]) -> Result<(OwnedFd, CString), Errno> {
        let name = CString::new(path::name(path)).map_err(|_| Errno::INVAL)?;
        Ok((self.resolve(path::parent(path), DIRECTORY)?, name))
    }
}

impl AsFd for Beneath {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// Checks the path of a directory that others are beneath.
pub fn check_root(path: &[u8]) -> Result<(), Failure> {
    let relative = path.strip_prefix(b"/").ok_or_else(|| invalid("the directory is not absolute"))?;
    path::check(relative).of(path)
}
