//! Forking into new namespaces, and executing a program by descriptor.
#![allow(unsafe_code, reason = "clone3 and execveat have no safe wrapper")]

use crate::fds;
use rustix::process::Pid;
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::convert::Infallible;
use std::ffi::{CStr, c_char};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// Namespaces to make for a child, and the cgroup to start it in.
#[derive(Debug)]
pub struct Clone<'a> {
    /// `CLONE_NEW…` flags.
    pub namespaces: u64,
    /// A directory of a cgroup v2.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// A descriptor that the child does not keep: its own end of a channel must be the only one
    /// that holds the channel open.
    pub parents: BorrowedFd<'a>,
}

/// A child process, seen from its parent.
#[derive(Debug)]
pub struct Child {
    /// Its process id in the parent's namespace.
    pub pid: Pid,
    /// A descriptor that names it, whatever happens to the number.
    pub pidfd: OwnedFd,
}

impl Clone<'_> {
    /// Forks; the child runs `body` and then ends with its result as exit status.
    ///
    /// # Errors
    /// What `clone3` says; `EBUSY` if this process has threads, whose locks the child would
    /// inherit as they happen to be.
    pub fn run(&self, body: impl FnOnce() -> u8) -> io::Result<Child> {
        if std::fs::read_dir("/proc/self/task")?.count() != 1 {
            return Err(io::Error::from_raw_os_error(libc::EBUSY));
        }
        let mut pidfd: libc::c_int = -1;
        let mut flags = self.namespaces | libc::CLONE_PIDFD as u64;
        if self.cgroup.is_some() {
            flags |= CLONE_INTO_CGROUP;
        }
        // SAFETY: all zeros is a valid clone_args: nothing asked for.
        let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
        arguments.flags = flags;
        arguments.pidfd = &raw mut pidfd as u64;
        arguments.exit_signal = libc::SIGCHLD as u64;
        arguments.cgroup = self.cgroup.map_or(0, |fd| fd.as_raw_fd() as u64);
        // SAFETY: `arguments` has the size given, and its one pointer is to `pidfd`. Without
        // CLONE_VM the child has its own copy of everything, and of one thread only, as checked.
        let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of_val(&arguments)) };
        match pid {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                // SAFETY: the owner is a copy in frames that this process never returns to, and
                // `body` cannot use it: it stays borrowed as `parents`.
                unsafe { libc::close(self.parents.as_raw_fd()) };
                let status = body();
                // SAFETY: `_exit` runs no handlers of the copied parent.
                unsafe { libc::_exit(status.into()) }
            }
            pid => {
                let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
                let pid = pid.expect("clone3 returns a positive process id to the parent");
                // SAFETY: the kernel has just put a new descriptor there, owned by nobody else.
                Ok(Child { pid, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } })
            }
        }
    }
}

/// `CLONE_INTO_CGROUP`, above what fits libc's `c_int` constants.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Moves this process into a user and a mount namespace of its own.
///
/// # Errors
/// What `unshare` says; `EINVAL` if there are threads.
pub fn unshare_users_and_mounts() -> io::Result<()> {
    let flags = UnshareFlags::NEWUSER | UnshareFlags::NEWNS;
    // SAFETY: the file descriptor table stays shared with whoever it was shared with.
    Ok(unsafe { unshare_unsafe(flags) }?)
}

/// Executes the program open as `program`, with `argv`, no environment, and `passed` as the
/// descriptors from 3 on; all others but the standard streams are closed.
///
/// # Errors
/// What the kernel says. Descriptors may have been moved by then: only ending is left to do.
pub fn execute(program: impl AsFd, argv: &[&CStr], passed: &[BorrowedFd<'_>]) -> io::Result<Infallible> {
    let first = libc::STDERR_FILENO + 1;
    let after = first + passed.len() as i32;
    // Out of the way of the numbers to be filled.
    let program = fds::above(program, after)?;
    let passed = passed.iter().map(|fd| fds::above(fd, after)).collect::<io::Result<Vec<_>>>()?;
    for (number, fd) in (first..).zip(&passed) {
        fds::place(fd.as_fd(), number)?;
    }
    fds::close_on_exec_from(after as u32)?;
    let argv: Vec<*const c_char> =
        argv.iter().map(|argument| argument.as_ptr()).chain([ptr::null()]).collect();
    let env: [*const c_char; 1] = [ptr::null()];
    // SAFETY: an empty C string, and two null-terminated arrays of C strings that live through
    // the call.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            c"".as_ptr(),
            argv.as_ptr(),
            env.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    Err(io::Error::last_os_error())
}
