//! What the writable layer holds, and the content of what of it is wanted.

use super::AgentError;
use super::channel::{Channel, Content};
use super::claims::{Judge, Scope, plausible};
use pyro_protocol::{Changes, Entry, EntryKind, Input, Reply};
use serde_bytes::ByteBuf;

/// Bytes of paths that are asked for at once, so that they fit into a frame.
const BATCH: usize = 256 << 10;

/// The writable layer, entry by entry. Dropping it ends the look at it, and the freeze if there is one.
#[derive(Debug)]
pub struct Changed<'a> {
    channel: Channel<'a>,
    judge: Judge,
    walked: bool,
}

impl<'a> Changed<'a> {
    pub(super) fn new(channel: Channel<'a>, changes: &Changes) -> Self {
        let scope = Scope::Layer { below: changes.below.to_vec() };
        Self { channel, judge: Judge::new(scope), walked: false }
    }

    /// The next entry; `None` after all of them.
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn next_entry(&mut self) -> Result<Option<Entry>, AgentError> {
        if self.walked {
            return Ok(None);
        }
        match self.channel.receive()? {
            Reply::Entry(entry) => {
                self.judge.admit(&entry)?;
                Ok(Some(entry))
            }
            Reply::Walked if self.judge.has_begun() => {
                self.walked = true;
                Ok(None)
            }
            _ => Err(AgentError::Nonsense("something else than a file")),
        }
    }

    /// Asks for the files at `paths` as they are now; those that are no regular files any more are
    /// left out.
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn fetch<'c>(&'c mut self, paths: &'c [ByteBuf]) -> Result<Fetched<'c, 'a>, AgentError> {
        while self.next_entry()?.is_some() {}
        Ok(Fetched { channel: &mut self.channel, asked: None, paths })
    }
}

/// Files that were asked for. It must be read to its end before anything else is asked for.
#[derive(Debug)]
pub struct Fetched<'c, 'a> {
    channel: &'c mut Channel<'a>,
    /// What was asked for and not answered yet, while an answer is to come.
    asked: Option<&'c [ByteBuf]>,
    /// What was not asked for yet.
    paths: &'c [ByteBuf],
}

impl<'c, 'a> Fetched<'c, 'a> {
    /// The next file; `None` after all of them.
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn next_entry(&mut self) -> Result<Option<Entry>, AgentError> {
        loop {
            self.channel.skip()?;
            let asked = match self.asked {
                Some(asked) => asked,
                None if self.paths.is_empty() => return Ok(None),
                None => self.ask()?,
            };
            match self.channel.receive()? {
                Reply::Entry(entry) => {
                    plausible(&entry).map_err(AgentError::Nonsense)?;
                    let place = asked.iter().position(|path| *path == entry.path);
                    let place = place.ok_or(AgentError::Nonsense("a file that was not asked for"))?;
                    self.asked = Some(&asked[place + 1..]);
                    let EntryKind::File { size } = entry.kind else {
                        return Err(AgentError::Nonsense("what has no content, as content"));
                    };
                    self.channel.announce(size);
                    return Ok(Some(entry));
                }
                Reply::Fetched => self.asked = None,
                _ => return Err(AgentError::Nonsense("something else than a file")),
            }
        }
    }

    /// Asks for as many as fit into a frame.
    fn ask(&mut self) -> Result<&'c [ByteBuf], AgentError> {
        let mut bytes = 0;
        let fitting = self.paths.iter().take_while(|path| {
            bytes += path.len() + size_of::<u32>();
            bytes <= BATCH
        });
        // One always fits: a path is shorter than a frame by far.
        let (asked, paths) = self.paths.split_at(fitting.count().max(1));
        self.channel.send(&Input::Fetch(asked.to_vec()))?;
        (self.asked, self.paths) = (Some(asked), paths);
        Ok(asked)
    }

    /// The content of the file that came last; empty if it was read.
    pub fn content(&mut self) -> Content<'_, 'a> {
        Content::new(self.channel)
    }
}
