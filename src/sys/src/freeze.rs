//! Freezing and thawing the file system that a descriptor is on.
#![allow(unsafe_code, reason = "two ioctls that rustix does not know")]

use rustix::ioctl::{NoArg, Opcode, ioctl, opcode};
use std::ffi::c_int;
use std::io;
use std::os::fd::AsFd;

const FREEZE: Opcode = opcode::read_write::<c_int>(b'X', 119);
const THAW: Opcode = opcode::read_write::<c_int>(b'X', 120);

/// Writes everything out, and has every writer wait, unkillably, until [`thaw`].
///
/// # Errors
/// What the kernel says: `EBUSY` if it is frozen already, `EPERM` without `CAP_SYS_ADMIN` in the
/// user namespace that mounted it, `EOPNOTSUPP` for file systems that cannot.
pub fn freeze(fd: impl AsFd) -> io::Result<()> {
    // SAFETY: FIFREEZE takes no argument, whatever its number says.
    let request = unsafe { NoArg::<FREEZE>::new() };
    // SAFETY: as above, the kernel reads and keeps nothing of ours.
    Ok(unsafe { ioctl(fd, request) }?)
}

/// Lets writers go on.
///
/// # Errors
/// What the kernel says: `EINVAL` if it is not frozen.
pub fn thaw(fd: impl AsFd) -> io::Result<()> {
    // SAFETY: FITHAW takes no argument, whatever its number says.
    let request = unsafe { NoArg::<THAW>::new() };
    // SAFETY: as above, the kernel reads and keeps nothing of ours.
    Ok(unsafe { ioctl(fd, request) }?)
}
