//! Waiting for any child without reaping it.
#![allow(unsafe_code, reason = "rustix's waitid does not say which child it found")]

use rustix::process::Pid;
use std::io;
use std::mem;

/// Waits until some child of this process has ended, and leaves it to be reaped.
///
/// # Errors
/// `ECHILD` if there is no child, `EINTR` if a signal came.
pub fn peek() -> io::Result<Pid> {
    // SAFETY: all zeros is a valid siginfo_t.
    let mut found: libc::siginfo_t = unsafe { mem::zeroed() };
    // SAFETY: `found` is writable and of the right type.
    if unsafe { libc::waitid(libc::P_ALL, 0, &raw mut found, libc::WEXITED | libc::WNOWAIT) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: for WEXITED the kernel filled the fields of SIGCHLD.
    let pid = unsafe { found.si_pid() };
    Pid::from_raw(pid).ok_or_else(|| io::Error::from_raw_os_error(libc::ECHILD))
}
