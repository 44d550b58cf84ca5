//! A machine that holds still.

use super::AgentError;
use super::channel::Channel;

/// A machine to whose disk nobody writes, until this is dropped or the agent finds that it takes
/// too long.
#[derive(Debug)]
pub struct Frozen<'a> {
    channel: Channel<'a>,
}

impl<'a> Frozen<'a> {
    /// Waits until it is so.
    pub(super) fn new(mut channel: Channel<'a>) -> Result<Self, AgentError> {
        channel.done()?;
        Ok(Self { channel })
    }

    /// Whether it still is, as far as the agent is to be believed.
    ///
    /// # Errors
    /// [`AgentError`]: it is not.
    pub fn still(&mut self) -> Result<(), AgentError> {
        if self.channel.has_spoken() { Err(self.channel.last_word()) } else { Ok(()) }
    }
}
