//! What became of a workspace since it was created, or reset. Only what was observed: what is not
//! known is said to be so.

use crate::directory::Directory;
use crate::exports::{self, ExportNote};
use crate::home::Home;
use crate::journal::{self, CommandRecord, Outcome};
use crate::live::{ChangesError, Live, diff};
use crate::overview::Overview;
use crate::record::{Record, State};
use crate::until::Until;
use crate::{LifecycleError, Name, WorkspaceError};
use jiff::Timestamp;
use serde::Serialize;

/// How many commands are told one by one, and how many files.
const LAST: usize = 10;
const FILES_MAX: usize = 50;

/// Why there is no summary.
#[derive(Debug, thiserror::Error)]
pub enum SummaryError {
    /// The workspace.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// Its machine cannot be talked to.
    #[error(transparent)]
    Lifecycle(#[from] LifecycleError),
    /// It cannot be said what has changed.
    #[error(transparent)]
    Changes(#[from] ChangesError),
}

/// What became of a workspace.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Commands that were run.
    pub commands: Commands,
    /// How it ended so far.
    pub outcome: Verdict,
    /// What differs from the baseline; none if that is not known.
    pub changes: Option<ChangeSummary>,
    /// Why it is not.
    pub changes_unknown: Option<String>,
    /// Snapshots that there are, which a reset keeps.
    pub snapshots: Vec<SnapshotSummary>,
    /// What was exported.
    pub exports: Vec<ExportNote>,
}

/// The commands of a workspace.
#[derive(Clone, Debug, Serialize)]
pub struct Commands {
    /// How many were started.
    pub count: usize,
    /// How many of them ended otherwise than with 0, or could not be run.
    pub failed: usize,
    /// How many still run.
    pub running: usize,
    /// The last ones, in order.
    pub last: Vec<CommandSummary>,
}

/// A command.
#[derive(Clone, Debug, Serialize)]
pub struct CommandSummary {
    /// Its number in the journal.
    pub sequence: u64,
    /// Program and arguments.
    pub command: Vec<String>,
    /// How it ended, in a word.
    pub state: &'static str,
    /// Its status, if it has one.
    pub exit_code: Option<u8>,
    /// How long it ran.
    pub duration_ms: u64,
}

/// What the last command says of the work: not whether it is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing was run.
    NothingRun,
    /// A command still runs.
    Running,
    /// The last command ended with 0.
    LastSucceeded,
    /// The last command did not.
    LastFailed,
}

/// How the files in `/workspace` differ from the baseline.
#[derive(Clone, Debug, Serialize)]
pub struct ChangeSummary {
    /// How many.
    pub files: usize,
    /// Lines added.
    pub insertions: u64,
    /// Lines removed.
    pub deletions: u64,
    /// The first of them, odd bytes quoted, each with how it differs.
    pub paths: Vec<ChangedPath>,
}

/// A file that differs.
#[derive(Clone, Debug, Serialize)]
pub struct ChangedPath {
    /// Relative to `/workspace`.
    pub path: String,
    /// How.
    pub status: crate::diff::Status,
}

/// A snapshot.
#[derive(Clone, Debug, Serialize)]
pub struct SnapshotSummary {
    /// What it is called.
    pub name: Name,
    /// When it was made.
    pub created_at: Timestamp,
    /// Bytes that it added.
    pub bytes: u64,
}

/// Sums up a workspace. What is recorded of it comes along, with its true state.
///
/// # Errors
/// [`SummaryError`].
pub fn summary(
    home: &Home,
    directory: &Directory,
    until: Until<'_>,
) -> Result<(Record, Summary), SummaryError> {
    let record = Overview::of(directory.clone())?.record;
    let generation = directory.generation(record.generation);
    let read = |path: std::path::PathBuf| move |source| WorkspaceError::Io { path, source };
    let all = journal::list(&generation.commands()).map_err(read(generation.commands()))?;
    let exports = exports::list(&generation).map_err(read(generation.path().into()))?;
    let (changes, changes_unknown) = match &record.state {
        State::Started { .. } => {
            let live = Live::open(home, directory, until)?;
            (Some(ChangeSummary::of(&diff(&live, None, b"", None)?)), None)
        }
        state => {
            (None, Some(format!("the workspace is {}, and only a running one is asked", state.as_str())))
        }
    };
    let snapshots = record.snapshots.iter().map(|it| SnapshotSummary {
        name: it.name.clone(),
        created_at: it.created_at,
        bytes: it.bytes,
    });
    let summary = Summary {
        outcome: Verdict::of(&all),
        commands: Commands::of(&all),
        changes,
        changes_unknown,
        snapshots: snapshots.collect(),
        exports,
    };
    Ok((record, summary))
}

fn has_failed(command: &CommandRecord) -> bool {
    command.outcome != Outcome::Running && command.outcome.exit_code() != Some(0)
}

impl Commands {
    fn of(all: &[CommandRecord]) -> Self {
        let summary = |record: &CommandRecord| CommandSummary {
            sequence: record.sequence,
            command: record.argv.clone(),
            state: record.outcome.as_str(),
            exit_code: record.outcome.exit_code(),
            duration_ms: record.duration_ms(),
        };
        Self {
            count: all.len(),
            failed: all.iter().filter(|it| has_failed(it)).count(),
            running: all.iter().filter(|it| it.outcome == Outcome::Running).count(),
            last: all[all.len().saturating_sub(LAST)..].iter().map(summary).collect(),
        }
    }
}

impl Verdict {
    fn of(all: &[CommandRecord]) -> Self {
        match all.last() {
            None => Self::NothingRun,
            _ if all.iter().any(|it| it.outcome == Outcome::Running) => Self::Running,
            Some(last) if has_failed(last) => Self::LastFailed,
            Some(_) => Self::LastSucceeded,
        }
    }

    /// In words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NothingRun => "nothing was run",
            Self::Running => "a command still runs",
            Self::LastSucceeded => "the last command succeeded",
            Self::LastFailed => "the last command failed",
        }
    }
}

impl ChangeSummary {
    fn of(diff: &crate::diff::Diff) -> Self {
        let lines = diff.lines();
        let path = |change: &crate::diff::Change| ChangedPath {
            path: crate::patch::display_path(&change.path),
            status: change.status,
        };
        Self {
            files: diff.file_count(),
            insertions: lines.added,
            deletions: lines.removed,
            paths: diff.changes.iter().take(FILES_MAX).map(path).collect(),
        }
    }
}
