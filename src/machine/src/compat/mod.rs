//! Machines made of Linux namespaces: the same agent on the same protocol, on this host's kernel.
//!
//! For hosts without a usable KVM, and weaker than a microVM: the kernel is shared. The launcher
//! stays outside and waits; its child enters the namespaces, builds the root ([`inside`]), and
//! becomes the agent. When the launcher ends, so does the machine: the kernel kills the agent,
//! PID 1 of its namespace, and with it every process in there.
//!
//! Users: root keeps all user and group ids, in a user namespace made after the mounts, so that
//! nobody inside may change them. An ordinary user is root inside and there is nobody else: no
//! helper program is needed, and every file written belongs to the user, who can delete it.

mod cgroup;
mod inside;
mod prepare;
mod seccomp;

use crate::spec::Namespaces;
use cgroup::Cgroup;
use prepare::Prepared;
use pyro_sys::clone::{Child, Clone};
use pyro_sys::root::{Step, StepError};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};
use rustix::process::{Signal, WaitId, WaitIdOptions, WaitIdStatus, pidfd_send_signal, waitid};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Longest report of a child that could not become a machine.
const REPORT_MAX: usize = 4096;

/// What a child that has no user database of its own yet asks its parent for.
const MAP_USERS: &[u8] = b"map";

/// Why there is no machine.
#[derive(Debug, thiserror::Error)]
pub enum CompatError {
    /// Something outside the machine could not be made ready.
    #[error("{0}")]
    Prepare(#[from] StepError),
    /// The kernel does not allow or know the namespaces.
    #[error("make namespaces: {0}")]
    Namespaces(#[source] io::Error),
    /// A step inside the namespaces failed.
    #[error("{0}")]
    Inside(String),
    /// The machine could not be watched.
    #[error("wait for the machine: {0}")]
    Wait(#[source] io::Error),
}

/// How a machine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its owner went away, and so it was killed.
    Abandoned,
    /// The agent returned this code, which it does only when it cannot serve.
    Exited(i32),
    /// The agent was killed by this signal.
    Signaled(i32),
}

/// A running machine. Dropping it kills it and leaves nothing.
#[derive(Debug)]
pub struct Machine {
    child: Child,
    /// Removed after the child was reaped, when it is empty.
    _cgroup: Option<Cgroup>,
}

/// Starts a machine and stays with it to its end, or until `owner` hangs up.
///
/// # Errors
/// Why it did not start, or cannot be watched.
pub fn run(spec: &Namespaces, owner: BorrowedFd<'_>) -> Result<Ended, CompatError> {
    start(spec)?.wait(owner)
}

/// Starts a machine. The caller must have no threads.
///
/// # Errors
/// Why it did not start; nothing is left then.
pub fn start(spec: &Namespaces) -> Result<Machine, CompatError> {
    let prepared = Prepared::new(spec)?;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .step("make a socket pair")?;
    let (child, cgroup) = match Cgroup::make(spec) {
        // Where a cgroup can be made but not entered, there are no limits either.
        Some(cgroup) => match spawn(&prepared, Some(cgroup.as_fd()), &ours, &theirs) {
            Ok(child) => (Ok(child), Some(cgroup)),
            Err(_) => (spawn(&prepared, None, &ours, &theirs), None),
        },
        None => (spawn(&prepared, None, &ours, &theirs), None),
    };
    drop(theirs);
    let machine = Machine { child: child.map_err(CompatError::Namespaces)?, _cgroup: cgroup };
    machine.attend(&prepared, &ours)?;
    Ok(machine)
}

/// Makes the child, which reports to us through `theirs`.
fn spawn(
    prepared: &Prepared<'_>,
    cgroup: Option<BorrowedFd<'_>>,
    ours: &OwnedFd,
    theirs: &OwnedFd,
) -> io::Result<Child> {
    Clone { namespaces: prepared.namespaces(), cgroup, parents: ours.as_fd() }.run(|| {
        let Err(error) = inside::enter(prepared, theirs);
        // A parent that is gone needs no report.
        let _ = send(theirs, error.to_string().as_bytes(), SendFlags::NOSIGNAL);
        1
    })
}

impl Machine {
    /// Does what the child asks for, until it has become the agent.
    fn attend(&self, prepared: &Prepared<'_>, channel: &OwnedFd) -> Result<(), CompatError> {
        let mut report = [0; REPORT_MAX];
        loop {
            match recv(channel, &mut report, RecvFlags::empty()) {
                // Closed by exec, or with the child's life, which `wait` will find.
                Ok((0, _)) => return Ok(()),
                Ok((length, _)) if report[..length] == *MAP_USERS => {
                    prepared.map_all_users(self.child.pid)?;
                    send(channel, MAP_USERS, SendFlags::NOSIGNAL).step("answer the child")?;
                }
                Ok((length, _)) => {
                    return Err(CompatError::Inside(String::from_utf8_lossy(&report[..length]).into_owned()));
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(CompatError::Wait(error.into())),
            }
        }
    }

    /// Waits until the machine ends, or until `owner` hangs up; then it is killed.
    ///
    /// # Errors
    /// If the kernel does not let us wait.
    pub fn wait(self, owner: BorrowedFd<'_>) -> Result<Ended, CompatError> {
        loop {
            let mut fds =
                [PollFd::new(&self.child.pidfd, PollFlags::IN), PollFd::new(&owner, PollFlags::RDHUP)];
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(CompatError::Wait(error.into())),
            }
            let [machine, owner] = fds.map(|fd| !fd.revents().is_empty());
            if machine {
                let status = self.reap().map_err(CompatError::Wait)?;
                return Ok(match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => Ended::Exited(code),
                    (None, signal) => Ended::Signaled(signal.unwrap_or_default()),
                });
            }
            if owner {
                return Ok(Ended::Abandoned);
            }
        }
    }

    fn reap(&self) -> io::Result<WaitIdStatus> {
        let ended = waitid(WaitId::PidFd(self.child.pidfd.as_fd()), WaitIdOptions::EXITED)?;
        ended.ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Both fail if `wait` has reaped it already, which is just as well.
        let _ = pidfd_send_signal(&self.child.pidfd, Signal::KILL);
        let _ = self.reap();
    }
}
