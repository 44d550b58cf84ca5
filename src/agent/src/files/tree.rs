//! Going through a tree, depth first, in the order of [`pyro_protocol::path::order`].
//!
//! Memory holds the names of the directories on the way, one descriptor for each, and nothing of
//! what was passed. What is renamed or removed meanwhile is met once or not at all.

use super::{Listing, READ};
use crate::failure::{Named, Stop, failed, invalid, show};
use pyro_protocol::path::PATH_MAX;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, openat2, statat};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Something that has a name.
pub struct Found<'a> {
    /// The directory it is in.
    pub parent: BorrowedFd<'a>,
    /// Its name there.
    pub name: &'a CStr,
    /// Its path from the start.
    pub path: &'a [u8],
    /// What it is.
    pub stat: Stat,
}

impl Found<'_> {
    /// Which kind of file.
    pub fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    /// Opens it, if it is still there and no link.
    pub fn open(&self, flags: OFlags) -> Result<OwnedFd, Errno> {
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        openat2(self.parent, self.name, flags, Mode::empty(), how)
    }
}

struct Level {
    directory: OwnedFd,
    names: Listing,
    /// Length of the directory's path.
    length: usize,
}

/// A walk under way.
#[derive(Default)]
pub struct Tree {
    levels: Vec<Level>,
    path: Vec<u8>,
}

impl Tree {
    /// A walk through what is in `directory`, whose own path is empty.
    pub fn of(directory: OwnedFd, names: Listing) -> Self {
        Self { levels: vec![Level { directory, names, length: 0 }], path: Vec::new() }
    }

    /// Calls `visit` for everything; it says which names of a directory to go through, if any.
    pub fn walk(
        &mut self,
        mut visit: impl FnMut(&Found<'_>) -> Result<Option<Within>, Stop>,
    ) -> Result<(), Stop> {
        while let Some(level) = self.levels.last_mut() {
            let Some(name) = level.names.next() else {
                self.levels.pop();
                continue;
            };
            self.path.truncate(level.length);
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name.to_bytes());
            if self.path.len() > PATH_MAX {
                return Err(invalid(format!("{}: the path is too long", show(&self.path))).into());
            }
            let parent = level.directory.as_fd();
            let stat = match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(failed(&self.path, error).into()),
            };
            let found = Found { parent, name, path: &self.path, stat };
            let Some(within) = visit(&found)? else { continue };
            let directory = match found.open(READ | OFlags::DIRECTORY) {
                Ok(directory) => directory,
                // It is gone, or something else by now, or something is mounted on it.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => continue,
                Err(error) => return Err(failed(&self.path, error).into()),
            };
            let names = match within {
                Within::Everything => Listing::of(&directory).of(&self.path)?,
                Within::Only(name) => Listing::only(&name),
            };
            self.levels.push(Level { directory, names, length: self.path.len() });
        }
        Ok(())
    }
}

/// Which names of a directory to go through.
pub enum Within {
    /// All.
    Everything,
    /// This one.
    Only(CString),
}
