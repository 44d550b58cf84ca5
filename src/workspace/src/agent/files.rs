//! A tree as commands see it.

use super::AgentError;
use super::channel::{Channel, Content};
use super::claims::{Judge, Scope};
use pyro_protocol::{Depth, Entry, EntryKind, Reply, Walk};

/// The answer to a walk, entry by entry. Dropping it ends the walk.
#[derive(Debug)]
pub struct Files<'a> {
    channel: Channel<'a>,
    judge: Judge,
    /// Whether files come with their content.
    content: bool,
    ended: bool,
}

impl<'a> Files<'a> {
    pub(crate) fn new(channel: Channel<'a>, walk: &Walk) -> Self {
        let levels = match walk.depth {
            Depth::Start => 0,
            Depth::Children => 1,
            Depth::All => usize::MAX,
        };
        Self { channel, judge: Judge::new(Scope::Tree { levels }), content: walk.content, ended: false }
    }

    /// The next file, whether or not the content of the last one was read; `None` after all of them.
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn next_entry(&mut self) -> Result<Option<Entry>, AgentError> {
        if self.ended {
            return Ok(None);
        }
        self.channel.skip()?;
        match self.channel.receive()? {
            Reply::Entry(entry) => {
                self.judge.admit(&entry)?;
                if let EntryKind::File { size } = entry.kind
                    && self.content
                {
                    self.channel.announce(size);
                }
                Ok(Some(entry))
            }
            Reply::Done if self.judge.has_begun() => {
                self.ended = true;
                Ok(None)
            }
            _ => Err(AgentError::Nonsense("something else than a file")),
        }
    }

    /// The content of the file that came last; empty if there is none, or it was read.
    pub fn content(&mut self) -> Content<'_, 'a> {
        Content::new(&mut self.channel)
    }
}
