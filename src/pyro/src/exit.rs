//! Exit statuses, as docs/contract says: a command's own, or one of pyro's.

use std::process::ExitCode;

/// How a pyro command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what it was asked.
    Done,
    /// It ran a command, which ended with this status (128+n: killed by signal n).
    Command(u8),
    /// It failed.
    Failed,
    /// It was asked wrongly.
    Usage,
    /// A command's time was up.
    TimedOut,
    /// A command was not run because pyro failed.
    NotRun,
    /// A signal with this number ended pyro.
    Interrupted(u8),
}

impl Exit {
    /// As a shell has it of a command that wrote to a pipe without a reader (SIGPIPE).
    pub const OUTPUT_CLOSED: Self = Self::Command(128 + 13);

    /// The status that the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::TimedOut => 124,
            Self::NotRun => 125,
            Self::Command(status) => status,
            Self::Interrupted(signal) => 128_u8.saturating_add(signal),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
