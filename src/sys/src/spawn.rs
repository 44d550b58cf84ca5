//! Starting a program from a process that has threads.
//!
//! Between fork and exec the child does system calls only: no allocation, no lock, nothing that
//! another thread may have been in the middle of. What fails there is reported as the step and
//! its error through a pipe that a successful exec closes.
#![allow(unsafe_code, reason = "fork, signal dispositions and exec")]

use crate::fds;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Gid, Pid, Resource, Rlimit, Uid};
use std::convert::Infallible;
use std::ffi::{CStr, CString, c_char};
use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

/// Highest signal number of Linux.
const SIGNAL_MAX: i32 = 64;

/// Exit status of a child that could not become its program; only its parent's reaper sees it.
const NEVER_STARTED: i32 = 127;

/// A program to start, in a session and process group of its own.
#[derive(Debug)]
pub struct Program<'a> {
    /// Paths to try in order; the first that exists is it.
    pub candidates: &'a [CString],
    /// Arguments, the program's name first.
    pub argv: &'a [CString],
    /// Environment, each `NAME=value`.
    pub env: &'a [CString],
    /// Working directory.
    pub cwd: &'a CStr,
    /// Standard input, output and error: descriptors above 2.
    pub stdio: [BorrowedFd<'a>; 3],
    /// Whether standard input is a terminal to be the session's own.
    pub terminal: bool,
    /// Who it runs as.
    pub identity: &'a Identity,
    /// Resource limits.
    pub limits: &'a [(Resource, Rlimit)],
    /// The `cgroup.procs` file of a cgroup to start in.
    pub cgroup: Option<BorrowedFd<'a>>,
}

/// User and groups of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// User.
    pub uid: Uid,
    /// Group.
    pub gid: Gid,
    /// Supplementary groups; `None` keeps the caller's, for where they cannot be changed.
    pub groups: Option<Vec<Gid>>,
}

/// A child that has not become its program yet.
#[derive(Debug)]
pub struct Starting {
    /// Its process id.
    pub pid: Pid,
    report: OwnedFd,
}

/// What the child was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// Its own session, terminal, standard streams and limits.
    Prepare,
    /// Changing to the working directory.
    Directory,
    /// Becoming user and groups.
    Identity,
    /// Executing the program.
    Execute,
}

/// Why a program was not started.
#[derive(Debug)]
pub struct SpawnError {
    /// What was being done.
    pub stage: Stage,
    /// How it failed.
    pub error: io::Error,
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Prepare => "preparing the process",
            Stage::Directory => "changing directory",
            Stage::Identity => "changing user",
            Stage::Execute => "executing",
        };
        write!(f, "{stage}: {}", self.error)
    }
}

impl std::error::Error for SpawnError {}

impl Program<'_> {
    /// Forks. The child goes on by itself; [`Starting::wait`] tells whether it got there. The
    /// caller must reap it in either case.
    ///
    /// # Errors
    /// What `pipe` or `fork` say; `EINVAL` if one of `stdio` is below 3.
    pub fn start(&self) -> io::Result<Starting> {
        if self.stdio.iter().any(|fd| fd.as_raw_fd() <= libc::STDERR_FILENO) {
            return Err(Errno::INVAL.into());
        }
        let argv = pointers(self.argv);
        let env = pointers(self.env);
        let (report, reporter) = pipe_with(PipeFlags::CLOEXEC)?;
        // A process may lack standard streams, and the reporter must survive `place`.
        let reporter = fds::above(reporter, libc::STDERR_FILENO + 1)?;
        // SAFETY: the child calls only `execute` and `give_up`, which keep to async-signal-safe
        // system calls on memory prepared above.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                let Err((stage, error)) = self.execute(&argv, &env);
                give_up(reporter.as_fd(), stage, error)
            }
            pid => {
                let pid = Pid::from_raw(pid).expect("fork returns a positive number to the parent");
                Ok(Starting { pid, report })
            }
        }
    }

    fn execute(&self, argv: &[*const c_char], env: &[*const c_char]) -> Result<Infallible, (Stage, Errno)> {
        let prepare = |error| (Stage::Prepare, error);
        rustix::process::setsid().map_err(prepare)?;
        reset_signals();
        for (number, fd) in (0..).zip(self.stdio) {
            fds::place(fd, number).map_err(|error| prepare(errno(&error)))?;
        }
        if self.terminal {
            rustix::process::ioctl_tiocsctty(self.stdio[0]).map_err(prepare)?;
        }
        if let Some(procs) = self.cgroup {
            rustix::io::write(procs, b"0").map_err(prepare)?;
        }
        for &(resource, limit) in self.limits {
            rustix::process::setrlimit(resource, limit).map_err(prepare)?;
        }
        forget_oom_score();
        rustix::process::umask(Mode::from_raw_mode(0o022));
        // As root, who may enter what the user may not: container runtimes do the same.
        rustix::process::chdir(self.cwd).map_err(|error| (Stage::Directory, error))?;
        self.identity.assume().map_err(|error| (Stage::Identity, error))?;
        Err((Stage::Execute, self.execute_first(argv, env)))
    }

    /// Tries the candidates like `execvp`: one that may not be executed counts only if no other
    /// can be.
    fn execute_first(&self, argv: &[*const c_char], env: &[*const c_char]) -> Errno {
        let mut verdict = Errno::NOENT;
        for path in self.candidates {
            // SAFETY: `path` is a C string; `argv` and `env` are null-terminated arrays of
            // pointers to C strings that `self` owns.
            unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr()) };
            match errno(&io::Error::last_os_error()) {
                Errno::NOENT | Errno::NOTDIR => {}
                Errno::ACCESS => verdict = Errno::ACCESS,
                other => return other,
            }
        }
        verdict
    }
}

impl Identity {
    /// Becomes this user, in this thread.
    fn assume(&self) -> Result<(), Errno> {
        if let Some(groups) = &self.groups {
            rustix::thread::set_thread_groups(groups)?;
        }
        rustix::thread::set_thread_res_gid(self.gid, self.gid, self.gid)?;
        rustix::thread::set_thread_res_uid(self.uid, self.uid, self.uid)
    }
}

impl Starting {
    /// Waits until the child has become its program, or has failed to.
    ///
    /// # Errors
    /// The step that failed, and how.
    pub fn wait(self) -> Result<(), SpawnError> {
        let mut report = [0; 5];
        loop {
            // Five bytes fit a pipe's atomic write: they come whole or not at all.
            match rustix::io::read(&self.report, &mut report) {
                Ok(5) => {
                    let [stage, number @ ..] = report;
                    let stage = match stage {
                        0 => Stage::Prepare,
                        1 => Stage::Directory,
                        2 => Stage::Identity,
                        _ => Stage::Execute,
                    };
                    let error = io::Error::from_raw_os_error(i32::from_ne_bytes(number));
                    return Err(SpawnError { stage, error });
                }
                // End of file: exec closed the pipe.
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(SpawnError { stage: Stage::Prepare, error: error.into() }),
            }
        }
    }
}

/// Ends the child, telling the parent why.
fn give_up(reporter: BorrowedFd<'_>, stage: Stage, error: Errno) -> ! {
    let number = error.raw_os_error().to_ne_bytes();
    // A parent that is gone needs no report.
    let _ = rustix::io::write(reporter, &[stage as u8, number[0], number[1], number[2], number[3]]);
    // SAFETY: `_exit` runs no handlers of the copied parent.
    unsafe { libc::_exit(NEVER_STARTED) }
}

/// Gives every signal its default meaning and unblocks it: what is ignored or blocked would be
/// inherited through exec, and Rust ignores SIGPIPE.
fn reset_signals() {
    /// `struct sigaction` as the kernel has it, with a mask of eight bytes. All zeros is SIG_DFL.
    const DEFAULT: [u64; 4] = [0; 4];
    for signal in 1..=SIGNAL_MAX {
        // Not through libc, which keeps two signals to itself that a parent may have ignored.
        // SAFETY: the kernel reads one struct from `DEFAULT`. SIG_DFL runs no code. Numbers that
        // cannot be changed fail, which changes nothing.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, DEFAULT.as_ptr(), ptr::null_mut::<u64>(), 8) };
    }
    let mut none = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigemptyset` fills the set it is given.
    unsafe { libc::sigemptyset(none.as_mut_ptr()) };
    // SAFETY: `none` was filled above; the old mask is not asked for.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut()) };
}

/// Undoes the agent's own protection from the out-of-memory killer. Where lowering an inherited
/// value is not allowed, it stays.
fn forget_oom_score() {
    if let Ok(file) =
        rustix::fs::open(c"/proc/self/oom_score_adj", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
    {
        let _ = rustix::io::write(file, b"0");
    }
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

/// The number in an error that came from a system call.
fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
