//! The process that answers for a workspace while its machine runs.
//!
//! A front end starts it ([`boot`]), gives it the workspace's lock, and waits for its word. From then
//! on it belongs to nobody: it reports the machine's end, carries out orders ([`control`]), runs
//! commands that outlive their front ends, and deletes the workspace when it expires. Other commands
//! go from front ends to the agent directly.

mod boot;
pub(crate) mod control;
mod service;

pub use boot::{Booted, boot};

use crate::agent::AgentError;
use crate::directory::{Directory, WorkspaceError};
use crate::failpoint;
use crate::home::{Home, HomeError};
use crate::id::WorkspaceId;
use crate::live::WORKSPACE;
use crate::record::{Record, State};
use crate::running::{NotStarted, Running, StartError};
use crate::session::listen;
use crate::until::{Cancel, Until};
use crate::workspace::Workspace;
use pyro_oci::{Image, StoreError};
use pyro_protocol::{BUILD_ID, Edits, Step, frame};
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc;

/// What a supervisor tells the front end that started it.
#[derive(Debug, Serialize, Deserialize)]
enum Word {
    /// The machine runs.
    Started(Vec<Step>),
    /// There is no machine.
    Failed(NotStarted),
}

/// The front end's answer: it has heard that the machine runs. Without it there is nobody who knows,
/// and the start is undone.
const HEARD: u8 = b'!';

/// Why a supervisor ended otherwise than it should.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// It was not started by a front end.
    #[error("a supervisor is started by pyro itself: {0}")]
    Inherited(#[source] io::Error),
    /// The state directory.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The workspace.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// Waiting.
    #[error("waiting for something to happen: {0}")]
    Wait(#[source] io::Error),
}

/// Runs the supervisor of `id` until its machine is gone; `cancel` ends it in an orderly way. Standard
/// input is a socket to the front end, standard output the open lock.
///
/// # Errors
/// [`SupervisorError`].
pub fn supervise(home: &Path, id: &WorkspaceId, cancel: &Cancel) -> Result<(), SupervisorError> {
    let (channel, lock) = inherit().map_err(SupervisorError::Inherited)?;
    let begun = Home::open(home).map_err(SupervisorError::from).and_then(|home| {
        let workspace = Workspace::adopt(Directory::of(&home, id), lock)?;
        Ok((home, workspace))
    });
    let (home, workspace) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            tell(&channel, &Word::Failed(NotStarted::here(&error)));
            return Err(error);
        }
    };
    failpoint::pass("supervisor.begun");
    let is_new = workspace.record().state == State::Creating;
    let heard = listen_to(&channel, cancel).map_err(SupervisorError::Wait)?;
    let (running, listener) = match start(&home, workspace, cancel) {
        Ok(started) => started,
        Err(failed) => {
            // The front end, if it is there, has the lock too, and decides what becomes of it.
            tell(&channel, &Word::Failed(failed));
            return Ok(());
        }
    };
    tell(&channel, &Word::Started(running.steps().to_vec()));
    if heard.recv().is_err() {
        tracing::info!("the front end went away before the machine was ready");
        return if is_new { Ok(running.discard()?) } else { Ok(running.stop(State::Stopped)?) };
    }
    drop(channel);
    service::serve(running, &listener, cancel)
}

/// Takes over what the front end gave us, and leaves its terminal.
fn inherit() -> io::Result<(UnixStream, File)> {
    let channel = io::stdin().as_fd().try_clone_to_owned()?;
    let lock = io::stdout().as_fd().try_clone_to_owned()?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::process::setsid()?;
    Ok((channel.into(), lock.into()))
}

/// Hears whether the front end has heard us, or is gone, which cancels the start.
fn listen_to(channel: &UnixStream, cancel: &Cancel) -> io::Result<mpsc::Receiver<()>> {
    let (sender, receiver) = mpsc::channel();
    let mut channel = channel.try_clone()?;
    let cancel = cancel.clone();
    std::thread::Builder::new().name("front end".into()).spawn(move || {
        let mut byte = [0];
        match channel.read(&mut byte) {
            Ok(1) if byte == [HEARD] => drop(sender.send(())),
            _ => cancel.cancel(),
        }
    })?;
    Ok(receiver)
}

/// Starts the machine, and is there for those who have orders.
fn start(home: &Home, workspace: Workspace, cancel: &Cancel) -> Result<(Running, UnixListener), NotStarted> {
    let image = image(home, workspace.record()).map_err(|error| NotStarted::here(&error))?;
    let until = Until { deadline: None, cancel };
    let started = Running::start(home, &image, workspace, until);
    let mut running = started.map_err(|error: StartError| NotStarted::from(&error))?;
    make_workspace(&running, &image, until).map_err(|error| NotStarted::here(&error))?;
    failpoint::pass("supervisor.booted");
    let run_dir = running.workspace().directory().run_dir();
    let listener = listen(&run_dir, control::SOCKET).map_err(|error| NotStarted::here(&error))?;
    let started = running.settle(State::Started { build: BUILD_ID.into() });
    started.map_err(|error| NotStarted::here(&error))?;
    failpoint::pass("supervisor.started");
    Ok((running, listener))
}

/// Makes the directory of the user's files, which commands and front ends count on.
fn make_workspace(running: &Running, image: &Image, until: Until<'_>) -> Result<(), AgentError> {
    let beneath = WORKSPACE.as_bytes().to_vec().into();
    let edits = Edits { beneath, user: image.config.user.clone() };
    running.agent().edit(&edits, until)?.commit()
}

/// The image that a workspace was made from, whatever its name stands for now.
///
/// # Errors
/// When the store does not have it any more, or it is damaged.
pub fn image(home: &Home, record: &Record) -> Result<Image, StoreError> {
    home.store().image(&record.manifest, record.environment.clone())
}

fn tell(channel: &UnixStream, word: &Word) {
    if let Err(error) = frame::write(channel, word) {
        tracing::debug!(%error, "the front end is gone");
    }
}
