//! What the next command does about what a killed one left behind.

use crate::directory::{Directory, WorkspaceError, remove_all};
use crate::home::Home;
use crate::record::{Record, State};
use crate::supervisor::control;
use jiff::Timestamp;
use std::fs;
use std::time::Duration;

/// What a supervisor leaves to be said that was killed.
pub(crate) const SUPERVISOR_GONE: &str = "its supervisor is gone: it was killed, or the host was restarted";

/// Deletes what nobody answers for and nobody can use: ephemeral and half-made workspaces of processes
/// that are gone, expired ones, generations that were reset. Notes which machines have crashed. Returns
/// how many workspaces were deleted.
pub fn reap(home: &Home) -> usize {
    let Ok(all) = Directory::all(home) else { return 0 };
    all.into_iter().filter(|directory| look(directory).unwrap_or(false)).count()
}

/// What is to be done about a workspace.
enum Due {
    Nothing,
    /// Nobody needs it.
    Delete,
    /// Its machine is gone, and nobody noted it.
    Crashed,
    /// It has generations besides the live one.
    Sweep,
}

/// Tells whether the workspace was deleted.
fn look(directory: &Directory) -> Result<bool, WorkspaceError> {
    // Cheaply first: most have nothing, and taking a lock for nothing makes others wait.
    if matches!(due(directory)?, Due::Nothing) {
        return Ok(false);
    }
    let _lock = match directory.lock() {
        Ok(Some(lock)) => lock,
        Ok(None) => return Ok(false),
        // Killed before it had a lock: then it has nothing else either.
        Err(error) if error.is_missing() => return Ok(fs::remove_dir(directory.path()).is_ok()),
        Err(error) => return Err(error),
    };
    // Again: its owner may have done something about it.
    match due(directory)? {
        Due::Nothing => {}
        Due::Delete => return directory.remove().map(|()| true),
        Due::Crashed => {
            directory.edit(|record| {
                record.state = State::Crashed { reason: SUPERVISOR_GONE.into() };
                Ok::<_, WorkspaceError>(())
            })?;
        }
        Due::Sweep => {
            let live = directory.generation(directory.record()?.generation);
            for path in generations(directory).filter(|path| path != live.path()) {
                remove_all(&path)?;
            }
        }
    }
    Ok(false)
}

fn due(directory: &Directory) -> Result<Due, WorkspaceError> {
    let record = match directory.record() {
        Err(WorkspaceError::Gone(_)) => return Ok(Due::Delete),
        other => other?,
    };
    Ok(match record.state {
        _ if record.ephemeral => Due::Delete,
        State::Creating => Due::Delete,
        State::Started { .. } if control::answers(directory) => Due::Nothing,
        _ if is_expired(directory, &record) => Due::Delete,
        State::Started { .. } => Due::Crashed,
        _ if generations(directory).nth(1).is_some() => Due::Sweep,
        _ => Due::Nothing,
    })
}

fn generations(directory: &Directory) -> impl Iterator<Item = std::path::PathBuf> {
    fs::read_dir(directory.path().join("gen")).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// When a workspace goes, if nothing is done with it until then.
#[must_use]
pub fn expiry(directory: &Directory, record: &Record) -> Timestamp {
    let ttl = Duration::from_secs(record.ttl_seconds);
    directory.last_activity(record).checked_add(ttl).unwrap_or(Timestamp::MAX)
}

/// Whether it should be gone.
pub(crate) fn is_expired(directory: &Directory, record: &Record) -> bool {
    expiry(directory, record) <= Timestamp::now()
}
