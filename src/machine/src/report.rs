//! What `pyro-machine` tells its owner: JSON objects, one a line, on the socket that brought the
//! [`Spec`](crate::spec::Spec). The end of the stream in one direction means that the owner is
//! gone, in the other that the machine is.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest line accepted from the confined process. It may belong to the guest by then.
pub const LINE_MAX: usize = 4 << 10;

/// One message from `pyro-machine`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// The start has got this far.
    Stage(Stage),
    /// The machine is confined, by these layers besides the ones without which it does not start.
    Confined(Confinement),
    /// The machine could not be started.
    Failed(Failure),
    /// The machine is gone. The last message.
    Ended(End),
}

/// A point of the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// What was reached.
    pub name: String,
    /// When, in microseconds of `CLOCK_MONOTONIC`.
    pub at_us: u64,
}

/// What could not be done, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The step, as in "mount /dev/kvm".
    pub step: String,
    /// Why it failed.
    pub reason: String,
}

/// Layers of the confinement that depend on the host's kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// Landlock rules on files, sockets and signals.
    pub landlock: Landlock,
}

/// How much of the Landlock rules the kernel enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Landlock {
    /// All of them.
    Full,
    /// Those that this kernel knows.
    Partial,
    /// None: the kernel has no Landlock, or it is switched off.
    Absent,
}

/// The end of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Why.
    pub reason: Reason,
    /// The last lines of the guest's console. Written by the guest: escape before showing.
    pub console: Vec<String>,
    /// The most memory that the machine's process held, guest memory included; zero if unknown.
    pub peak_kib: u64,
}

/// Why a machine ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// The guest shut down or rebooted.
    Guest,
    /// A fault in the handling of a fault in the handling of a fault: the guest's processor shut itself down.
    TripleFault,
    /// The guest's kernel panicked, and said this.
    Panic(String),
    /// It was killed on its owner's behalf.
    Killed,
    /// It never got to run a guest.
    NotStarted(Failure),
    /// This host's KVM takes the guest kernel but cannot run it.
    KernelNotEntered,
    /// The virtual machine monitor gave up on a running guest.
    Monitor {
        /// Its exit status.
        status: i32,
        /// The last thing it said.
        message: String,
    },
    /// It tried a system call that its filter does not allow: this one, if it could still say so.
    ForbiddenCall(Option<String>),
    /// A signal ended it.
    Signal(i32),
    /// The program went away without a word, or said this.
    Vanished(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.reason)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guest => f.write_str("the guest shut down or rebooted"),
            Self::TripleFault => f.write_str("a triple fault stopped the guest's processor"),
            Self::Panic(message) => write!(f, "the guest's kernel panicked: {message}"),
            Self::Killed => f.write_str("the machine was killed"),
            Self::NotStarted(failure) => write!(f, "the machine could not be started: {failure}"),
            Self::KernelNotEntered => f.write_str("this host's KVM cannot run the guest kernel"),
            Self::Monitor { status, message } if message.is_empty() => {
                write!(f, "the virtual machine monitor failed with status {status}")
            }
            Self::Monitor { message, .. } => write!(f, "the virtual machine monitor failed: {message}"),
            Self::ForbiddenCall(Some(name)) => {
                write!(f, "the machine was stopped at the system call {name}, which its filter forbids")
            }
            Self::ForbiddenCall(None) => {
                f.write_str("the machine was stopped at a system call that its filter forbids")
            }
            Self::Signal(number) => write!(f, "the machine was killed by signal {number}"),
            Self::Vanished(message) if message.is_empty() => {
                f.write_str("pyro-machine went away without saying why")
            }
            Self::Vanished(message) => write!(f, "pyro-machine went away: {message}"),
        }
    }
}

impl Report {
    /// The message as a line, with its end.
    #[must_use]
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("a report has only plain fields");
        line.push(b'\n');
        line
    }

    /// Parses a line, with or without its end; `None` if it is something else.
    #[must_use]
    pub fn from_line(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    /// A stage that is reached now.
    #[must_use]
    pub fn stage(name: &str) -> Self {
        Self::Stage(Stage::now(name))
    }
}

impl Stage {
    /// A point that is reached now.
    #[must_use]
    pub fn now(name: &str) -> Self {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let at_us = now.tv_sec.unsigned_abs() * 1_000_000 + now.tv_nsec.unsigned_abs() / 1_000;
        Self { name: name.into(), at_us }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_survives_its_line() {
        let end = End { reason: Reason::Signal(9), console: vec!["a\nb".into()], peak_kib: 7 };
        let line = Report::Ended(end.clone()).to_line();
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert_eq!(Report::from_line(&line), Some(Report::Ended(end)));
    }

    #[test]
    fn other_text_is_not_a_report() {
        assert_eq!(Report::from_line(b"thread 'main' panicked"), None);
        assert_eq!(Report::from_line(b""), None);
    }
}
