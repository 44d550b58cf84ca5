//! Removing trees.

use super::{Listing, READ};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, openat2, statat, unlinkat};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

/// A directory on the way.
struct Level {
    directory: OwnedFd,
    names: Listing,
    /// What it is called in the one above.
    name: CString,
}

impl Level {
    fn enter(parent: impl AsFd, name: &CStr) -> Result<Self, Errno> {
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let directory = openat2(parent, name, READ | OFlags::DIRECTORY, Mode::empty(), how)?;
        Ok(Self { names: Listing::of(&directory)?, directory, name: name.to_owned() })
    }
}

/// Removes `name` in `parent` with all that is in it; follows no link and enters no other file
/// system. A stack of our own: a tree may be deeper than a thread's.
pub fn remove(parent: impl AsFd, name: &CStr) -> Result<(), Errno> {
    if !is_directory(&parent, name)? {
        return unlinkat(parent, name, AtFlags::empty());
    }
    let mut levels = vec![Level::enter(&parent, name)?];
    while let Some(level) = levels.last_mut() {
        if let Some(name) = level.names.next() {
            if is_directory(&level.directory, name)? {
                let below = Level::enter(&level.directory, name)?;
                levels.push(below);
            } else {
                unlinkat(&level.directory, name, AtFlags::empty())?;
            }
        } else if let Some(done) = levels.pop() {
            let above = levels.last().map_or(parent.as_fd(), |level| level.directory.as_fd());
            unlinkat(above, &done.name, AtFlags::REMOVEDIR)?;
        }
    }
    Ok(())
}

fn is_directory(parent: impl AsFd, name: &CStr) -> Result<bool, Errno> {
    let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}
