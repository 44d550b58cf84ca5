//! The files of a running machine, asked of its agent: one connection for each kind of operation.
//!
//! What an agent sends is a claim of a hostile guest. Nothing passes here that is out of order,
//! longer than announced, over a limit, or no path that goes down only; nothing makes memory grow
//! with what was sent; and every wait ends when its [`Until`] says so.

mod changes;
mod channel;
mod claims;
mod edit;
mod files;
mod freeze;
mod looks;
#[cfg(test)]
pub(crate) mod tests;

pub use changes::{Changed, Fetched};
pub use channel::Content;
pub use claims::ENTRIES_MAX;
pub use edit::Editing;
pub use files::Files;
pub use freeze::Frozen;
pub use looks::{Look, Looks};

use crate::session::unreachable;
use crate::until::Until;
use channel::Channel;
use pyro_machine::spec::AGENT_SOCKET;
use pyro_protocol::frame::FrameError;
use pyro_protocol::{Changes, Edits, Entry, EntryKind, Failure, Read, Reply, Request, Walk};
use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

/// Most of a message that is shown: its words are the agent's, and paths in it as long as a guest likes.
const MESSAGE_MAX: usize = 600;

/// The beginning and the end of a long message.
pub(crate) fn brief(message: &str) -> Cow<'_, str> {
    if message.len() <= MESSAGE_MAX {
        return message.into();
    }
    let (start, end) = (MESSAGE_MAX / 2, message.len() - MESSAGE_MAX / 2);
    let (start, end) = (message.floor_char_boundary(start), message.ceil_char_boundary(end));
    format!("{}…{}", &message[..start], &message[end..]).into()
}

/// Why an agent did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// It could not be reached.
    #[error("{}", unreachable(.0))]
    Connect(#[source] io::Error),
    /// It refused, or failed.
    #[error("{}", brief(&.0.message))]
    Failed(Failure),
    /// The connection ended before the answer did.
    #[error("the machine stopped before it had answered")]
    Lost(#[source] FrameError),
    /// It sent something that cannot be.
    #[error("the workspace's agent cannot be believed: {0}")]
    Nonsense(&'static str),
    /// There is more than can be told.
    #[error("there is too much in the workspace: {0}")]
    TooMuch(&'static str),
    /// Nothing came before the deadline.
    #[error("the workspace does not answer any more")]
    Unresponsive,
    /// The wait was cancelled.
    #[error("interrupted")]
    Cancelled,
    /// What was to be sent could not be read.
    #[error("cannot read what is to be written: {0}")]
    Source(#[source] io::Error),
}

impl AgentError {
    /// The agent's error that reading [`Content`] failed with; any other comes back.
    pub(crate) fn inside(error: io::Error) -> Result<Self, io::Error> {
        error.downcast()
    }
}

/// The agent of a running machine.
#[derive(Clone, Debug)]
pub struct Agent {
    run_dir: PathBuf,
}

impl Agent {
    /// The agent whose socket is in `run_dir`.
    #[must_use]
    pub fn at(run_dir: &Path) -> Self {
        Self { run_dir: run_dir.to_owned() }
    }

    /// Describes files, in the order of [`pyro_protocol::path::order`].
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn walk<'a>(&self, walk: &Walk, until: Until<'a>) -> Result<Files<'a>, AgentError> {
        Ok(Files::new(self.ask(&Request::Walk(walk.clone()), until)?, walk))
    }

    /// Part of a file, and what the file is. Not more than the limit that `read` sets.
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn read(&self, read: &Read, until: Until<'_>) -> Result<(Entry, Vec<u8>), AgentError> {
        part_of_file(self.ask(&Request::Read(read.clone()), until)?, read)
    }

    /// Looks at single files beneath a directory; nothing is asked yet.
    #[must_use]
    pub fn looks<'a>(&self, beneath: &str, until: Until<'a>) -> Looks<'a> {
        Looks::new(self.run_dir.clone(), beneath.as_bytes().to_vec().into(), until)
    }

    /// Begins to change files. Nothing is changed before [`Editing::commit`].
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn edit<'a>(&self, edits: &Edits, until: Until<'a>) -> Result<Editing<'a>, AgentError> {
        Ok(Editing::new(self.ask(&Request::Edit(edits.clone()), until)?))
    }

    /// Describes what the writable layer holds.
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn changes<'a>(&self, changes: &Changes, until: Until<'a>) -> Result<Changed<'a>, AgentError> {
        Ok(Changed::new(self.ask(&Request::Changes(changes.clone()), until)?, changes))
    }

    /// Writes everything to the machine's disk, and lets nobody write to it until the answer is
    /// dropped.
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn freeze<'a>(&self, until: Until<'a>) -> Result<Frozen<'a>, AgentError> {
        Frozen::new(self.ask(&Request::Freeze, until)?)
    }

    fn ask<'a>(&self, request: &Request, until: Until<'a>) -> Result<Channel<'a>, AgentError> {
        Channel::open(&self.run_dir, AGENT_SOCKET, request, until)
    }
}

/// The answer to `read`.
fn part_of_file(mut channel: Channel<'_>, read: &Read) -> Result<(Entry, Vec<u8>), AgentError> {
    let Reply::Entry(entry) = channel.receive()? else {
        return Err(AgentError::Nonsense("no description of a file that was asked for"));
    };
    claims::plausible(&entry).map_err(AgentError::Nonsense)?;
    let EntryKind::File { size } = entry.kind else {
        return Err(AgentError::Nonsense("what was to be read is no file"));
    };
    if entry.path != read.path {
        return Err(AgentError::Nonsense("another file than was asked for"));
    }
    let mut bytes = Vec::new();
    channel.announce(read.limit.min(size.saturating_sub(read.offset)));
    while let Some(chunk) = channel.chunk()? {
        bytes.extend_from_slice(&chunk);
    }
    channel.done()?;
    Ok((entry, bytes))
}
