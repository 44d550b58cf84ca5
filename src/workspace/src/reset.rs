//! New writable layers: resets and forks. Both cost what a start costs, whatever the workspace holds.

use crate::directory::{Directory, Generation, WorkspaceError, remove_all};
use crate::failpoint;
use crate::home::Home;
use crate::id::{Name, WorkspaceId};
use crate::lifecycle::{LifecycleError, claim, seize};
use crate::record::{Record, State};
use crate::running::NotStarted;
use crate::snapshot::{SnapshotError, layers_now, layers_of};
use crate::supervisor::{self, Booted, boot};
use crate::until::Until;
use crate::workspace::{CreateSpec, Workspace};

/// Why a workspace was not reset or forked.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// The state to go to.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The workspace.
    #[error(transparent)]
    Lifecycle(#[from] LifecycleError),
    /// Its directory.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// The machine of a fork did not start.
    #[error("{}", .0.message)]
    NotStarted(NotStarted),
    /// That of a reset did not, so the workspace has its old files; but it is stopped.
    #[error("{}; {id} has its old files, and is stopped", failed.message)]
    NotReset {
        /// The workspace.
        id: WorkspaceId,
        /// Why not.
        failed: NotStarted,
    },
}

/// Throws away what was done in a workspace, and starts it again on what it was created with, or on a
/// snapshot. Processes, `/tmp`, and the history of commands are gone; id, name, labels and snapshots
/// stay. If it fails, the workspace has its old files, and is stopped.
///
/// # Errors
/// [`ResetError`].
pub fn reset(
    home: &Home,
    directory: &Directory,
    snapshot: Option<&Name>,
    until: Until<'_>,
) -> Result<Booted, ResetError> {
    // Before anything is stopped.
    layers_of(&directory.record()?, snapshot)?;
    directory.touch();
    let mut workspace = seize(directory)?;
    let before = workspace.record().clone();
    let layers = layers_of(&before, snapshot)?;
    let old = workspace.generation();
    let fresh = directory.generation(before.generation + 1);
    workspace.generate(&fresh).inspect_err(|_| drop(remove_all(fresh.path())))?;
    failpoint::pass("reset.generated");
    workspace.change(|record| {
        record.generation += 1;
        record.layers = layers;
        record.committed.clear();
        record.state = State::Stopped;
    })?;
    failpoint::pass("reset.switched");
    let id = before.id.clone();
    let booted = boot(home, workspace, until);
    match &booted {
        // It is of no use to anybody. What stays of it the next command removes.
        Ok(_) => {
            if let Err(error) = remove_all(old.path()) {
                tracing::warn!(%error, "an old writable layer stays behind");
            }
        }
        Err(_) => undo(directory, before, &fresh)?,
    }
    booted.map_err(|failed| ResetError::NotReset { id, failed })
}

/// Goes back to the generation before, unless somebody has gone on with the new one meanwhile, or
/// swept the old one.
fn undo(directory: &Directory, before: Record, fresh: &Generation) -> Result<(), ResetError> {
    let mut workspace = claim(directory)?;
    let old = directory.generation(before.generation);
    if workspace.generation() == *fresh && old.path().exists() {
        workspace.change(|record| *record = Record { state: State::Stopped, ..before })?;
        remove_all(fresh.path())?;
    }
    Ok(())
}

/// Makes a new workspace on a snapshot of another, or on what that holds now. Its baseline is that
/// state.
///
/// # Errors
/// [`ResetError`]; then there is no new workspace.
pub fn fork(
    home: &Home,
    directory: &Directory,
    snapshot: Option<&Name>,
    name: Option<Name>,
    until: Until<'_>,
) -> Result<Booted, ResetError> {
    let held = home.store().hold().map_err(SnapshotError::from)?;
    let layers = match snapshot {
        Some(_) => layers_of(&directory.record()?, snapshot)?,
        None => layers_now(home, directory, until)?,
    };
    let record = directory.record()?;
    let image = supervisor::image(home, &record).map_err(SnapshotError::from)?;
    let spec = CreateSpec {
        name,
        labels: record.labels,
        resources: record.resources,
        execution_mode: record.execution_mode,
        seed: record.seed,
        layers,
        ephemeral: false,
        ttl_seconds: record.ttl_seconds,
    };
    let workspace = Workspace::create(home, &image, &spec)?;
    drop(held);
    failpoint::pass("fork.created");
    boot(home, workspace, until).map_err(ResetError::NotStarted)
}
