//! What was run in a workspace, and what it put out.
//!
//! ```text
//! commands/
//!   last               the highest number so far, or a lower one: where to look for the next
//!   <n>.jsonl          a command: a line when it starts, and one when it has ended, of which the last
//!                      counts; locked by whoever hears its output, until it has ended
//!   <n>.<segment>.out  its output: chunks of a stream's tag, a length and bytes
//! ```
//! Output is one sequence of bytes, of both streams as they came, and a *cursor* is an offset in it.
//! It is cut into segments of the same length, of which the first and the last three are kept: memory
//! and disk stay bounded, whatever a command puts out.

mod follow;
mod output;
#[cfg(test)]
mod tests;
mod writer;

pub use follow::{FollowError, follow};
pub use output::{Output, Piece};
pub(crate) use writer::Writer;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes of output in one segment.
const SEGMENT: u64 = 1 << 20;

/// How many segments at the end are kept, besides the first.
const LAST: u64 = 3;

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Outcome {
    /// It has not.
    Running,
    /// By itself, by a signal, or because its time was up.
    Ended {
        /// Its own status, 128 and the signal's number, or 124.
        exit_code: u8,
        /// Whether its time was up.
        timed_out: bool,
    },
    /// It could not be started.
    NotRun {
        /// 127, 126 or 125.
        exit_code: u8,
        /// Why.
        message: String,
    },
    /// Whoever waited for it had enough, and it was killed.
    Interrupted,
    /// Nobody knows: the machine ended, or whoever listened to it was killed.
    Lost {
        /// Which of them.
        message: String,
    },
}

impl Outcome {
    /// The name that results carry.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Ended { timed_out: true, .. } => "timed_out",
            Self::Ended { .. } => "ended",
            Self::NotRun { .. } => "not_run",
            Self::Interrupted => "interrupted",
            Self::Lost { .. } => "lost",
        }
    }

    /// The exit status, if there is one.
    #[must_use]
    pub const fn exit_code(&self) -> Option<u8> {
        match self {
            Self::Ended { exit_code, .. } | Self::NotRun { exit_code, .. } => Some(*exit_code),
            Self::Running | Self::Interrupted | Self::Lost { .. } => None,
        }
    }

    /// What there is to say besides.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        match self {
            Self::NotRun { message, .. } | Self::Lost { message } => Some(message),
            Self::Running | Self::Ended { .. } | Self::Interrupted => None,
        }
    }
}

/// A command that was run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandRecord {
    /// Its number; the first command of a workspace, or after a reset, is 1.
    pub sequence: u64,
    /// Program and arguments; what is not UTF-8 is replaced.
    pub argv: Vec<String>,
    /// Where it ran.
    pub cwd: String,
    /// Whether it was to outlive whoever asked for it.
    pub detached: bool,
    /// When it was started.
    pub started_at: Timestamp,
    /// When it had ended.
    pub ended_at: Option<Timestamp>,
    /// How.
    pub outcome: Outcome,
    /// Bytes that it wrote to its standard output, or terminal, in all.
    pub stdout_bytes: u64,
    /// Bytes that it wrote to its standard error, in all.
    pub stderr_bytes: u64,
    /// How many of both are no longer kept.
    pub dropped_bytes: u64,
}

impl CommandRecord {
    /// Where its output ends, as a cursor; only true once it has ended.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.stdout_bytes + self.stderr_bytes
    }

    /// How long it ran, or has been running; 0 if nobody knows.
    #[must_use]
    pub fn duration_ms(&self) -> u64 {
        let running = || (self.outcome == Outcome::Running).then(Timestamp::now);
        let duration = self.ended_at.or_else(running).map(|end| end.duration_since(self.started_at));
        duration.and_then(|duration| duration.as_millis().try_into().ok()).unwrap_or_default()
    }
}

/// The command of this number, if there is one, as it is now.
///
/// # Errors
/// When it cannot be read.
pub fn load(commands: &Path, sequence: u64) -> io::Result<Option<CommandRecord>> {
    let file = match File::open(path(commands, sequence)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let Some(record) = read(&file)? else { return Ok(None) };
    if record.outcome != Outcome::Running || is_locked(&file)? {
        return Ok(Some(record));
    }
    // Whoever wrote it is gone, perhaps after having written how it ended.
    Ok(read(&file)?.map(|mut record| {
        if record.outcome == Outcome::Running {
            let message = "pyro was killed while the command ran".into();
            record.outcome = Outcome::Lost { message };
        }
        record
    }))
}

/// All commands, in order.
///
/// # Errors
/// When they cannot be listed. One that cannot be read is left out.
pub fn list(commands: &Path) -> io::Result<Vec<CommandRecord>> {
    let mut all = Vec::new();
    for sequence in sequences(commands)? {
        match load(commands, sequence) {
            Ok(record) => all.extend(record),
            Err(error) => tracing::warn!(sequence, %error, "a command is left out"),
        }
    }
    Ok(all)
}

/// Whether any command runs.
pub(crate) fn is_busy(commands: &Path) -> bool {
    let runs = |sequence| {
        load(commands, sequence).is_ok_and(|it| it.is_some_and(|it| it.outcome == Outcome::Running))
    };
    // The last ones first: they are more likely to.
    sequences(commands).is_ok_and(|all| all.into_iter().rev().any(runs))
}

fn sequences(commands: &Path) -> io::Result<Vec<u64>> {
    let mut all: Vec<u64> = fs::read_dir(commands)?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".jsonl")?.parse().ok())
        .collect();
    all.sort_unstable();
    Ok(all)
}

/// The last line that is whole; `None` if nothing is written yet, or whoever was about to was killed.
fn read(file: &File) -> io::Result<Option<CommandRecord>> {
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut text = vec![0; length];
    file.read_exact_at(&mut text, 0)?;
    let mut lines = text.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n"));
    lines.next_back().map(|line| serde_json::from_slice(line).map_err(io::Error::from)).transpose()
}

fn is_locked(file: &File) -> io::Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn path(commands: &Path, sequence: u64) -> PathBuf {
    commands.join(format!("{sequence}.jsonl"))
}

fn segment(commands: &Path, sequence: u64, index: u64) -> PathBuf {
    commands.join(format!("{sequence}.{index}.out"))
}
