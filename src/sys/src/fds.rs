//! Descriptors that a process is given by its parent, or must not pass on.
#![allow(
    unsafe_code,
    reason = "inherited descriptors are plain numbers, and close_range has no safe wrapper"
)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bit `n` is set once descriptor `n` was taken by [`inherited`].
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// Takes over a descriptor between 3 and 63 that the parent process left open at `number`. From
/// now on it is closed on exec.
///
/// # Errors
/// `EBADF` if nothing is open there, if it was taken before, or if `number` is out of range.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    let bad = || io::Error::from_raw_os_error(libc::EBADF);
    if !(3..64).contains(&number) || TAKEN.fetch_or(1 << number, Ordering::Relaxed) & (1 << number) != 0 {
        return Err(bad());
    }
    // SAFETY: F_SETFD takes integers only; it fails with EBADF if `number` is not open.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: open, as just seen, and `TAKEN` makes this the only owner made from the number.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Marks every descriptor from `first` on as closed on exec.
///
/// # Errors
/// What `close_range` says; kernels before 5.11 do not know it.
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: integers only; with CLOSE_RANGE_CLOEXEC nothing is closed now.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Makes `number` a copy of `fd` that survives exec, in a process that is about to exec: whatever
/// was open there is replaced, so the caller must own it or know it unused.
///
/// # Errors
/// What `dup3` says.
pub(crate) fn place(fd: BorrowedFd<'_>, number: RawFd) -> io::Result<()> {
    let result = if fd.as_raw_fd() == number {
        // SAFETY: F_SETFD takes integers only, and `fd` is open.
        unsafe { libc::fcntl(number, libc::F_SETFD, 0) }
    } else {
        // SAFETY: integers only, and `fd` is open. What `number` was is closed, as documented.
        unsafe { libc::dup2(fd.as_raw_fd(), number) }
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A copy of `fd` with a number of at least `least`, closed on exec.
///
/// # Errors
/// What `fcntl` says.
pub(crate) fn above(fd: impl AsFd, least: RawFd) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, least)?)
}

/// Closes every descriptor from `first` on: for a process that was just forked, is done with what
/// it was given, and will end without dropping the parent's owners of these numbers.
///
/// # Errors
/// What `close_range` says; kernels before 5.9 do not know it.
pub fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: integers only. That owners of the numbers are left behind is the caller's to mind.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
