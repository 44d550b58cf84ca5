//! Changing files, all or none.

use super::AgentError;
use super::channel::Channel;
use pyro_protocol::frame::CHUNK_MAX;
use pyro_protocol::{Edit, Input};
use std::io::{ErrorKind, Read};

/// Changes on their way. Dropping them before the commit leaves everything as it was.
#[derive(Debug)]
pub struct Editing<'a> {
    channel: Channel<'a>,
}

impl<'a> Editing<'a> {
    pub(super) fn new(channel: Channel<'a>) -> Self {
        Self { channel }
    }

    /// Adds a change. Whether the agent takes it, it says at the commit at the latest.
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn add(&mut self, edit: Edit) -> Result<(), AgentError> {
        let content = matches!(edit, Edit::Write { .. });
        self.send(&Input::Edit(edit))?;
        if content { self.send(&Input::EndOfData) } else { Ok(()) }
    }

    /// Adds a regular file with `content` to its end.
    ///
    /// # Errors
    /// [`AgentError`], `Source` if it is the content that cannot be read.
    pub fn write(
        &mut self,
        path: &[u8],
        mode: Option<u32>,
        mut content: impl Read,
    ) -> Result<(), AgentError> {
        self.send(&Input::Edit(Edit::Write { path: path.to_vec().into(), mode }))?;
        let mut buffer = vec![0; CHUNK_MAX];
        loop {
            match content.read(&mut buffer) {
                Ok(0) => return self.send(&Input::EndOfData),
                Ok(count) => self.send(&Input::Data(buffer[..count].to_vec().into()))?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(AgentError::Source(error)),
            }
        }
    }

    /// Carries the changes out.
    ///
    /// # Errors
    /// [`AgentError`]. If it is `Failed`, nothing has changed (but see [`pyro_protocol::Request`]);
    /// after any other, all may have or none.
    pub fn commit(mut self) -> Result<(), AgentError> {
        self.send(&Input::Commit)?;
        self.channel.done()
    }

    /// Sends a frame, unless the agent has given up already.
    fn send(&mut self, input: &Input) -> Result<(), AgentError> {
        if self.channel.has_spoken() {
            return Err(self.channel.last_word());
        }
        self.channel.send(input)
    }
}
