//! Single files, asked for one after the other.

use super::AgentError;
use super::channel::{Channel, Content};
use super::claims::{Judge, Scope};
use crate::until::Until;
use pyro_machine::spec::AGENT_SOCKET;
use pyro_protocol::{Depth, Entry, EntryKind, FailureKind, Reply, Request, Walk};
use serde_bytes::ByteBuf;
use std::io::Read as _;
use std::path::PathBuf;

/// Looks at single files beneath a directory, all over one connection.
#[derive(Debug)]
pub struct Looks<'a> {
    run_dir: PathBuf,
    beneath: ByteBuf,
    until: Until<'a>,
    channel: Option<Channel<'a>>,
}

/// What was seen.
#[derive(Debug)]
pub enum Look {
    /// Nothing is there.
    Missing,
    /// A regular file with more content than was wanted; it was not read.
    Long,
    /// Anything; content if it is a regular file.
    There(Entry, Vec<u8>),
}

impl<'a> Looks<'a> {
    pub(super) fn new(run_dir: PathBuf, beneath: ByteBuf, until: Until<'a>) -> Self {
        Self { run_dir, beneath, until, channel: None }
    }

    /// What is at `path`, and its content if that is not over `max` bytes.
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn at(&mut self, path: &[u8], max: u64) -> Result<Look, AgentError> {
        let (beneath, path) = (self.beneath.clone(), path.to_vec().into());
        let request = Request::Walk(Walk { beneath, path, depth: Depth::Start, content: true });
        let mut channel = match self.channel.take() {
            Some(mut channel) => {
                channel.send(&request)?;
                channel
            }
            None => Channel::open(&self.run_dir, AGENT_SOCKET, &request, self.until)?,
        };
        let entry = match channel.receive() {
            Ok(Reply::Entry(entry)) => entry,
            Ok(_) => return Err(AgentError::Nonsense("something else than a file")),
            Err(AgentError::Failed(failure)) if failure.kind == FailureKind::NotFound => {
                self.channel = Some(channel);
                return Ok(Look::Missing);
            }
            Err(error) => return Err(error),
        };
        Judge::new(Scope::Tree { levels: 0 }).admit(&entry)?;
        let mut content = Vec::new();
        if let EntryKind::File { size } = entry.kind {
            if size > max {
                return Ok(Look::Long);
            }
            channel.announce(size);
            let read = Content::new(&mut channel).read_to_end(&mut content);
            read.map_err(|error| AgentError::inside(error).unwrap_or_else(AgentError::Source))?;
        }
        channel.done()?;
        self.channel = Some(channel);
        Ok(Look::There(entry, content))
    }
}
