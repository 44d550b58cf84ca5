//! Snapshots: layers made of a writable layer, and what is done with them.
//!
//! A snapshot is a commit in the sense of OCI: an image in the store, whose layers are those of the
//! workspace's image, those that the writable layer stands on, and one or more made of the writable
//! layer itself. It is as deep as it was often made, and each costs what has changed since the one
//! before. A reset or a fork starts an empty writable layer on the layers of one.

mod commit;
mod image;
mod plan;

use crate::agent::{Agent, AgentError};
use crate::directory::{Directory, WorkspaceError};
use crate::disk::{Disk, OpenError};
use crate::failpoint;
use crate::home::Home;
use crate::id::{Name, WorkspaceId};
use crate::in_use::records;
use crate::lifecycle::{LifecycleError, running};
use crate::overview::Overview;
use crate::record::{Record, SnapshotRecord, State};
use crate::running::NotStarted;
use crate::until::Until;
pub(crate) use commit::Committed;
use commit::{Turn, commit, forget_others};
pub(crate) use image::assemble_unnamed;
use jiff::Timestamp;
use pyro_oci::{Digest, Image, LayerError, Reference, ReferenceError, StoreError};
use std::collections::HashSet;

/// Why there is no snapshot, or not the one that was asked for. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The workspace cannot be used now.
    #[error(transparent)]
    Lifecycle(#[from] LifecycleError),
    /// Its directory.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// Its agent.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// Its machine, while it was asked: what has become of it, its record says.
    #[error("{source}")]
    Gone {
        /// The workspace.
        directory: Directory,
        /// How that was noticed.
        source: AgentError,
    },
    /// Its machine could not be started to look at the files.
    #[error("{}", .0.message)]
    NotStarted(NotStarted),
    /// The layer.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file changed although nobody may write.
    #[error("{0:?} changed while the snapshot was made")]
    Moving(String),
    /// It was reset meanwhile.
    #[error("{0} was reset while the snapshot was made")]
    Reset(WorkspaceId),
    /// There is one of that name.
    #[error("{id} has a snapshot {name} already")]
    Taken {
        /// The workspace.
        id: WorkspaceId,
        /// The name.
        name: Name,
    },
    /// It means the state that the workspace was created with.
    #[error("no snapshot can be called {BASELINE}: that is the state that a workspace was created with")]
    Reserved,
    /// There is none of that name.
    #[error("{id} has no snapshot {name}{}", listing(known))]
    Missing {
        /// The workspace.
        id: WorkspaceId,
        /// The name.
        name: Name,
        /// Those that it has.
        known: Vec<Name>,
    },
    /// The image has no config that could be extended.
    #[error("the config of {0} cannot be extended: {1}")]
    Config(Box<Reference>, #[source] serde_json::Error),
    /// No image can be called so.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
}

impl From<OpenError> for SnapshotError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Lifecycle(error) => error.into(),
            OpenError::Store(error) => error.into(),
            OpenError::NotStarted(error) => Self::NotStarted(error),
        }
    }
}

fn listing(names: &[Name]) -> String {
    let names: Vec<String> = names.iter().map(Name::to_string).collect();
    if names.is_empty() { String::new() } else { format!("; it has {}", names.join(", ")) }
}

/// What a snapshot is called that nobody has to make.
pub const BASELINE: &str = "baseline";

/// A new snapshot.
#[derive(Clone, Debug)]
pub struct Made {
    /// What is recorded of it.
    pub snapshot: SnapshotRecord,
    /// What no layer can hold: sockets, and names that begin with `.wh.`.
    pub skipped: Vec<String>,
}

/// Keeps the files of a workspace under a name, while it runs or is stopped.
///
/// # Errors
/// [`SnapshotError`].
pub fn create_snapshot(
    home: &Home,
    directory: &Directory,
    name: &Name,
    until: Until<'_>,
) -> Result<Made, SnapshotError> {
    if name.as_str() == BASELINE {
        return Err(SnapshotError::Reserved);
    }
    let free = |record: &Record| match record.snapshots.iter().any(|it| it.name == *name) {
        true => Err(SnapshotError::Taken { id: record.id.clone(), name: name.clone() }),
        false => Ok(()),
    };
    free(&directory.record()?)?;
    let reference = reference(directory.id(), name)?;
    let mut made = None;
    with_layers(home, directory, until, |record, done| {
        free(record)?;
        let image = image::assemble(home, record, &done.layers, &reference)?;
        failpoint::pass("snapshot.image");
        let snapshot = SnapshotRecord {
            name: name.clone(),
            created_at: Timestamp::now(),
            manifest: image.manifest,
            layers: done.layers.clone(),
            bytes: done.added.map_or(0, |layer| layer.size),
        };
        made = Some(Made { snapshot: snapshot.clone(), skipped: done.skipped.clone() });
        record.snapshots.push(snapshot);
        Ok(())
    })?;
    Ok(made.expect("it was noted"))
}

/// Forgets a snapshot. What others build on stays; the space comes free with the next prune.
///
/// # Errors
/// [`SnapshotError::Missing`] among others.
pub fn delete_snapshot(home: &Home, directory: &Directory, name: &Name) -> Result<(), SnapshotError> {
    directory.edit(|record| {
        let before = record.snapshots.len();
        let known = record.snapshots.iter().map(|it| it.name.clone()).collect();
        record.snapshots.retain(|it| it.name != *name);
        if record.snapshots.len() == before {
            return Err(SnapshotError::Missing { id: record.id.clone(), name: name.clone(), known });
        }
        Ok(())
    })?;
    failpoint::pass("snapshot.forgotten");
    home.store().remove(&reference(directory.id(), name)?)?;
    directory.touch();
    Ok(())
}

/// Makes an image of a workspace as it is now.
///
/// # Errors
/// [`SnapshotError`].
pub fn commit_image(
    home: &Home,
    directory: &Directory,
    reference: &Reference,
    until: Until<'_>,
) -> Result<Image, SnapshotError> {
    let mut made = None;
    with_layers(home, directory, until, |record, done| {
        made = Some(image::assemble(home, record, &done.layers, reference)?);
        Ok(())
    })?;
    Ok(made.expect("it was made"))
}

/// The layers above the image of a workspace's state: those that it was created with, those of a
/// snapshot.
///
/// # Errors
/// [`SnapshotError::Missing`].
pub fn layers_of(record: &Record, snapshot: Option<&Name>) -> Result<Vec<Digest>, SnapshotError> {
    let Some(name) = snapshot.filter(|name| name.as_str() != BASELINE) else {
        return Ok(record.baseline.clone());
    };
    let found = record.snapshots.iter().find(|it| it.name == *name);
    found.map(|it| it.layers.clone()).ok_or_else(|| SnapshotError::Missing {
        id: record.id.clone(),
        name: name.clone(),
        known: record.snapshots.iter().map(|it| it.name.clone()).collect(),
    })
}

/// The layers above the image of a workspace as it is now, for a fork of it.
pub(crate) fn layers_now(
    home: &Home,
    directory: &Directory,
    until: Until<'_>,
) -> Result<Vec<Digest>, SnapshotError> {
    Ok(commit_now(home, directory, until)?.1.layers)
}

/// Makes layers of a workspace as it is now, and notes them in its record, which is returned too.
pub(crate) fn commit_now(
    home: &Home,
    directory: &Directory,
    until: Until<'_>,
) -> Result<(Record, Committed), SnapshotError> {
    let mut made = None;
    with_layers(home, directory, until, |record, done| {
        made = Some((record.clone(), done.clone()));
        Ok(())
    })?;
    Ok(made.expect("it was noted"))
}

/// Whether an image of the store is a snapshot, which its workspace lists.
#[must_use]
pub fn is_snapshot(reference: &Reference) -> bool {
    reference.is_local() && WorkspaceId::try_from(reference.repository().to_owned()).is_ok()
}

/// Removes from the store the names of snapshots that no workspace has any more: those of deleted
/// workspaces, and what a crash left. The caller keeps others from the store ([`pyro_oci::Sweep`]).
///
/// # Errors
/// When the records or the store cannot be read; then nothing is removed.
pub fn forget_orphans(home: &Home) -> Result<(), SnapshotError> {
    let known: HashSet<Reference> = records(home)?
        .iter()
        .flat_map(|record| record.snapshots.iter().map(|it| reference(&record.id, &it.name)))
        .collect::<Result<_, _>>()?;
    for image in home.store().list()? {
        if is_snapshot(&image.reference) && !known.contains(&image.reference) {
            home.store().remove(&image.reference)?;
        }
    }
    Ok(())
}

/// Under which name the store has it.
fn reference(id: &WorkspaceId, name: &Name) -> Result<Reference, SnapshotError> {
    Ok(Reference::local(id.as_str(), name.as_str())?)
}

/// Commits what the writable layer holds, and notes that in the record together with what `note` adds.
/// The store is held all the while, so that no layer goes before the record names it.
fn with_layers(
    home: &Home,
    directory: &Directory,
    until: Until<'_>,
    note: impl FnOnce(&mut Record, &Committed) -> Result<(), SnapshotError>,
) -> Result<(), SnapshotError> {
    let _held = home.store().hold()?;
    directory.touch();
    with_agent(home, directory, until, |agent, record| {
        let generation = directory.generation(record.generation);
        let _turn = Turn::wait(&generation)?;
        // Whoever had the turn before may have committed.
        let record = directory.record()?;
        let done = commit(home, &generation, &record, agent, until)?;
        let noted = directory.edit(|now| {
            if now.generation != record.generation {
                return Err(SnapshotError::Reset(now.id.clone()));
            }
            now.committed.clone_from(&done.committed);
            note(now, &done)
        })?;
        failpoint::pass("snapshot.noted");
        forget_others(&generation, &noted.committed);
        directory.touch();
        Ok(())
    })
}

/// Runs `work` with the agent of a workspace, whose disk is looked at if it does not run.
fn with_agent<T>(
    home: &Home,
    directory: &Directory,
    until: Until<'_>,
    work: impl FnOnce(&Agent, &Record) -> Result<T, SnapshotError>,
) -> Result<T, SnapshotError> {
    if let State::Stopped | State::Crashed { .. } = Overview::of(directory.clone())?.record.state {
        let disk = Disk::open(home, directory, until)?;
        return work(&disk.agent(), disk.record());
    }
    work(&Agent::at(&directory.run_dir()), &running(directory)?).map_err(|error| match error {
        SnapshotError::Agent(source @ (AgentError::Connect(_) | AgentError::Lost(_))) => {
            SnapshotError::Gone { directory: directory.clone(), source }
        }
        error => error,
    })
}
