//! What front ends do with workspaces that outlive them.

use crate::directory::{Directory, WorkspaceError};
use crate::home::Home;
use crate::id::{Name, WorkspaceId};
use crate::overview::Overview;
use crate::record::{Record, State};
use crate::session::too_long;
use crate::supervisor::control::{self, Answer, Order, OrderError};
use crate::until::{Until, Woken};
use crate::workspace::{Names, Workspace};
use pyro_protocol::frame::FrameError;
use pyro_protocol::{Exec, Failure};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How long a workspace may stay locked by somebody who is going, or only looks.
const LOCK_MAX: Duration = Duration::from_secs(10);

/// How often a workspace is looked at that somebody else is working on.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Why an operation was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum LifecycleError {
    /// The workspace.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// It is not in a state for this.
    #[error("{id} is {}{}", state.as_str(), state.reason().map(|it| format!(": {it}")).unwrap_or_default())]
    State {
        /// Which.
        id: WorkspaceId,
        /// What it is.
        state: State,
    },
    /// Its supervisor says why not, or why not quite.
    #[error("{0}")]
    Supervisor(String),
    /// The same, because the disk of the state directory is full.
    #[error("{0}")]
    DiskFull(String),
    /// The command could not be started.
    #[error("{}", .0.message)]
    NotRun(Failure),
    /// Its agent was started by another version of pyro.
    #[error("{0} was started by another version of pyro")]
    Build(WorkspaceId),
}

/// What changes in a record at its user's wish.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// A new name, or none.
    pub name: Option<Option<Name>>,
    /// Labels that are set.
    pub labels: BTreeMap<Name, String>,
    /// Labels that go.
    pub clear_labels: Vec<Name>,
    /// A new time to live.
    pub ttl_seconds: Option<u64>,
}

/// Whether no workspace has this name yet: for telling early, not for keeping it.
///
/// # Errors
/// [`WorkspaceError::NameTaken`].
pub fn check_name(home: &Home, name: &Name) -> Result<(), WorkspaceError> {
    Names::reserve(home, name, None).map(drop)
}

/// Changes what its user says of a workspace.
///
/// # Errors
/// [`WorkspaceError::NameTaken`] among others; then nothing has changed.
pub fn update(home: &Home, directory: &Directory, update: &Update) -> Result<Record, WorkspaceError> {
    let name = update.name.as_ref().and_then(Option::as_ref);
    let names = name.map(|name| Names::reserve(home, name, Some(directory.id()))).transpose()?;
    let record = directory.edit(|record| {
        if let Some(name) = &update.name {
            record.name.clone_from(name);
        }
        record.labels.retain(|key, _| !update.clear_labels.contains(key));
        record.labels.extend(update.labels.clone());
        record.ttl_seconds = update.ttl_seconds.unwrap_or(record.ttl_seconds);
        Ok::<_, WorkspaceError>(())
    })?;
    drop(names);
    directory.touch();
    // Whoever does not listen has no timer to set either.
    let _ = control::order(directory, &Order::Wake);
    Ok(record)
}

/// Flushes and ends the machine of a workspace; tells whether there was one.
///
/// # Errors
/// [`LifecycleError`]. It may be stopped nevertheless, as [`LifecycleError::Supervisor`] says.
pub fn stop(directory: &Directory) -> Result<bool, LifecycleError> {
    directory.touch();
    let Some(mut workspace) = ask_or_take(directory, &Order::Stop)? else {
        // The supervisor is going: with its lock the next command need not wait.
        drop(directory.lock_for(LOCK_MAX));
        return Ok(true);
    };
    let problem = match &workspace.record().state {
        State::Started { .. } => Some("its machine was gone already".to_owned()),
        State::Crashed { reason } => Some(format!("it has crashed: {reason}")),
        _ => None,
    };
    if workspace.record().state != State::Stopped {
        workspace.change(|record| record.state = State::Stopped)?;
        workspace.clear_run_dir()?;
    }
    drop(workspace.release());
    match problem {
        // Nobody has flushed it, or not with success.
        Some(problem) => {
            Err(LifecycleError::Supervisor(format!("{problem}; what was written last may be lost")))
        }
        None => Ok(false),
    }
}

/// Ends the machine of a workspace, if there is one, whatever is lost with it.
///
/// # Errors
/// [`LifecycleError`].
pub fn halt(directory: &Directory) -> Result<(), LifecycleError> {
    match ask_or_take(directory, &Order::Halt)? {
        None => drop(directory.lock_for(LOCK_MAX)),
        Some(workspace) => drop(workspace.release()),
    }
    Ok(())
}

/// Ends the machine of a workspace, if there is one, and takes the workspace.
///
/// # Errors
/// [`LifecycleError`].
pub(crate) fn seize(directory: &Directory) -> Result<Workspace, LifecycleError> {
    let deadline = Instant::now() + LOCK_MAX;
    loop {
        halt(directory)?;
        match claim(directory) {
            // Somebody was faster, and has started it again.
            Err(LifecycleError::State { state: State::Started { .. }, .. }) if Instant::now() < deadline => {}
            claimed => return claimed,
        }
    }
}

/// Deletes a workspace, whatever runs in it.
///
/// # Errors
/// [`LifecycleError`]; [`WorkspaceError::Gone`] if somebody else did.
pub fn delete(directory: &Directory) -> Result<(), LifecycleError> {
    match ask_or_take(directory, &Order::Delete)? {
        None => Ok(()),
        Some(workspace) => Ok(workspace.delete()?),
    }
}

/// Takes a workspace of which nothing runs, to start it or change what it stands on.
///
/// # Errors
/// [`LifecycleError::State`] if it runs, or is being made.
pub fn claim(directory: &Directory) -> Result<Workspace, LifecycleError> {
    let deadline = Instant::now() + LOCK_MAX;
    loop {
        match take(directory) {
            Err(LifecycleError::Workspace(WorkspaceError::Busy(id))) => {
                let state = directory.record()?.state;
                let runs = matches!(state, State::Started { .. }) && control::answers(directory);
                if runs || state == State::Creating {
                    return Err(LifecycleError::State { id, state });
                }
                // Somebody is starting or stopping it, or its machine is going.
                if Instant::now() >= deadline {
                    return Err(WorkspaceError::Busy(id).into());
                }
            }
            other => return other,
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Has the supervisor carry out `order`; if there is none, takes the workspace, so that we can. Waits while it is
/// being made, started, stopped or deleted: soon there is somebody to ask, or nobody.
fn ask_or_take(directory: &Directory, order: &Order) -> Result<Option<Workspace>, LifecycleError> {
    let deadline = Instant::now() + LOCK_MAX;
    loop {
        match control::order(directory, order) {
            Ok((Answer::Done, _)) => return Ok(None),
            Ok((Answer::Failed(problem), _)) => return Err(LifecycleError::Supervisor(problem)),
            Ok((Answer::DiskFull(problem), _)) => return Err(LifecycleError::DiskFull(problem)),
            // None, one that is going, or one that does not know us: then its lock is not free either.
            Ok(_) | Err(OrderError::Nobody(_) | OrderError::Lost(_)) => {}
        }
        match take(directory) {
            Err(LifecycleError::Workspace(WorkspaceError::Busy(_))) if Instant::now() < deadline => {}
            other => return other.map(Some),
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn take(directory: &Directory) -> Result<Workspace, LifecycleError> {
    let workspace = Workspace::open(directory)?;
    if workspace.record().state == State::Creating {
        // Left by a creator that was killed; dropping it deletes it.
        return Err(WorkspaceError::Gone(directory.id().clone()).into());
    }
    Ok(workspace)
}

/// The record of a workspace whose machine can be talked to.
///
/// # Errors
/// [`LifecycleError::State`] or [`LifecycleError::Build`] if it cannot.
pub fn running(directory: &Directory) -> Result<Record, LifecycleError> {
    let record = directory.record()?;
    match &record.state {
        State::Started { build } if build == pyro_protocol::BUILD_ID => Ok(record),
        State::Started { .. } => Err(LifecycleError::Build(record.id)),
        state => Err(LifecycleError::State { id: record.id.clone(), state: state.clone() }),
    }
}

/// A command that outlives whoever asked for it.
#[derive(Debug)]
pub struct Sent {
    sequence: u64,
    /// Open for as long as the command is heard.
    supervisor: UnixStream,
}

impl Sent {
    /// Its number in the journal.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Waits until it has ended, or nobody hears it any more: the journal knows which. For a short command
    /// this takes less than watching its journal.
    ///
    /// # Errors
    /// What `poll` says.
    pub fn ended(&self, until: Until<'_>) -> io::Result<Woken> {
        until.readable(&[self.supervisor.as_fd()])
    }
}

/// Starts a command that outlives whoever asked for it.
///
/// # Errors
/// [`LifecycleError::NotRun`] among others.
pub fn detach(directory: &Directory, exec: Exec) -> Result<Sent, LifecycleError> {
    directory.touch();
    match control::order(directory, &Order::Exec(exec)) {
        Ok((Answer::Running(sequence), supervisor)) => Ok(Sent { sequence, supervisor }),
        Ok((Answer::NotRun(failure), _)) => Err(LifecycleError::NotRun(failure)),
        Ok((Answer::Failed(problem), _)) => Err(LifecycleError::Supervisor(problem)),
        Ok((Answer::DiskFull(problem), _)) => Err(LifecycleError::DiskFull(problem)),
        Ok((Answer::Done, _)) => {
            Err(LifecycleError::Supervisor("its supervisor did not start the command".into()))
        }
        Err(OrderError::Lost(FrameError::TooLong(_))) => Err(LifecycleError::NotRun(too_long())),
        Err(error) => Err(gone(directory)?.unwrap_or_else(|| LifecycleError::Supervisor(error.to_string()))),
    }
}

/// What a workspace is by now that did not answer, if it runs no more.
fn gone(directory: &Directory) -> Result<Option<LifecycleError>, WorkspaceError> {
    let Record { id, state, .. } = Overview::of(directory.clone())?.record;
    Ok(match state {
        State::Started { .. } => None,
        state => Some(LifecycleError::State { id, state }),
    })
}
