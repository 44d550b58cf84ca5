//! Mounts that are in no place yet.
#![allow(unsafe_code, reason = "mount_setattr has no safe wrapper")]

use rustix::fs::CWD;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use rustix::path::Arg;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// `MOUNT_ATTR_RDONLY`.
const READ_ONLY: u64 = 1;

/// `struct mount_attr`, first version.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// A mount of one file or directory, without what is mounted below it, seen by nobody else. Gone
/// when it is dropped, unless it was put in a place or something in it is in use.
#[derive(Debug)]
pub struct Tree(OwnedFd);

impl Tree {
    /// Clones the mount of `path` from there on.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn of(path: impl Arg) -> io::Result<Self> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        Ok(Self(open_tree(CWD, path, flags)?))
    }

    /// Makes it read-only, for everyone who gets to it.
    ///
    /// # Errors
    /// What the kernel says; those before 5.12 do not know how.
    pub fn read_only(self) -> io::Result<Self> {
        let attributes = Attributes { set: READ_ONLY, ..Attributes::default() };
        // SAFETY: an empty C string, and a struct that the kernel reads, of the size given.
        let result = unsafe {
            libc::syscall(
                libc::SYS_mount_setattr,
                self.0.as_raw_fd(),
                c"".as_ptr(),
                libc::AT_EMPTY_PATH,
                &raw const attributes,
                size_of::<Attributes>(),
            )
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(self) }
    }

    /// Puts it on `target`, or on what that is a link to.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn place(self, target: impl Arg) -> io::Result<()> {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_SYMLINKS;
        Ok(move_mount(&self.0, "", CWD, target, flags)?)
    }
}

impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
