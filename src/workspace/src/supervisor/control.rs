//! What front ends and a supervisor say to each other, on a socket in the workspace's `run/`.
//!
//! One connection carries one [`Order`] and one [`Answer`]. New ones of both go to the end: a workspace may
//! have been started by an older build than that of the front end that stops it.

use crate::directory::Directory;
use crate::full::is_full;
use crate::session::connect;
use pyro_protocol::frame::{self, FrameError};
use pyro_protocol::{Exec, Failure};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Name of the socket.
pub(crate) const SOCKET: &str = "control.sock";

/// How long the rest of an order may take that has begun.
const ORDER_MAX: Duration = Duration::from_secs(5);

/// What a front end wants.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Flush, end the machine, keep the workspace.
    Stop,
    /// End the machine, delete the workspace.
    Delete,
    /// The record has changed: look at it again.
    Wake,
    /// Run a command that outlives whoever asked for it.
    Exec(Exec),
    /// End the machine as it is, keep the workspace.
    Halt,
}

/// What comes of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// It is done.
    Done,
    /// It is done as far as possible, or not at all: this is why.
    Failed(String),
    /// The command runs under this number in the journal.
    Running(u64),
    /// The command was not started.
    NotRun(Failure),
    /// As [`Answer::Failed`], because the disk of the state directory is full.
    DiskFull(String),
}

impl Answer {
    /// It is not done, or not quite.
    pub fn failed(error: &(dyn Error + 'static)) -> Self {
        if is_full(error) { Self::DiskFull(error.to_string()) } else { Self::Failed(error.to_string()) }
    }
}

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OrderError {
    /// There is no supervisor.
    #[error("no supervisor listens: {0}")]
    Nobody(#[source] io::Error),
    /// It went away before it had answered.
    #[error("the workspace's supervisor did not answer: {0}")]
    Lost(#[source] FrameError),
}

/// Whether a supervisor is there.
pub(crate) fn answers(directory: &Directory) -> bool {
    connect(&directory.run_dir(), SOCKET).is_ok()
}

/// Gives an order and waits for what comes of it. The connection is closed when all has come of it: for
/// [`Order::Exec`] when the command is no longer heard.
pub(crate) fn order(directory: &Directory, order: &Order) -> Result<(Answer, UnixStream), OrderError> {
    let stream = connect(&directory.run_dir(), SOCKET).map_err(OrderError::Nobody)?;
    frame::write(&stream, order).map_err(OrderError::Lost)?;
    let answer = frame::read(&stream).map_err(OrderError::Lost)?;
    Ok((answer, stream))
}

/// Takes an order; `None` if whoever connected only wanted to know whether somebody is there.
pub(crate) fn take(stream: &UnixStream) -> Option<Order> {
    stream.set_read_timeout(Some(ORDER_MAX)).ok()?;
    frame::read(stream).ok()
}

/// Answers whoever gave an order, and may be gone.
pub(crate) fn answer(stream: &UnixStream, answer: &Answer) {
    if let Err(error) = frame::write(stream, answer) {
        tracing::debug!(%error, "nobody waits for the answer");
    }
}
