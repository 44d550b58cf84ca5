//! One connection to an agent: frames in both directions, and no wait without an end.

use super::AgentError;
use crate::session::{Patient, connect};
use crate::until::{Until, Woken};
use pyro_protocol::frame;
use pyro_protocol::{Reply, Request};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use serde::Serialize;
use serde_bytes::ByteBuf as Bytes;
use std::io::{self, BufReader, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Most bytes taken from the connection at once: many descriptions, or a piece of content.
const BUFFER: usize = 64 << 10;

/// How long an agent may be silent when it is its turn. It answers at once, or tells what it finds as it goes;
/// only to write everything to a disk can take long, on a machine that is slow.
const SILENCE_MAX: Duration = Duration::from_secs(120);

/// A connection with one request.
#[derive(Debug)]
pub struct Channel<'a> {
    reader: BufReader<Patient<'a, UnixStream>>,
    /// How much content may still come before its end.
    announced: Option<u64>,
}

impl<'a> Channel<'a> {
    /// Connects to the socket `name` in `run_dir` and sends `request`.
    pub fn open(run_dir: &Path, name: &str, request: &Request, until: Until<'a>) -> Result<Self, AgentError> {
        let mut channel = Self::over(connect(run_dir, name).map_err(AgentError::Connect)?, until);
        channel.send(request)?;
        Ok(channel)
    }

    /// A channel over a connection.
    pub fn over(stream: UnixStream, until: Until<'a>) -> Self {
        let patient = Patient { stream, until, silence: Some(SILENCE_MAX), ended: None };
        Self { reader: BufReader::with_capacity(BUFFER, patient), announced: None }
    }

    /// Sends one frame.
    pub fn send(&mut self, message: &impl Serialize) -> Result<(), AgentError> {
        let mut bytes = Vec::new();
        frame::append(&mut bytes, message).map_err(AgentError::Lost)?;
        let patient = self.reader.get_ref();
        let stream = &patient.stream;
        let mut rest = bytes.as_slice();
        let lost = |error: io::Error| AgentError::Lost(error.into());
        while !rest.is_empty() {
            match send(stream, rest, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(count) => rest = &rest[count..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => match patient.patience().writable(stream.as_fd()).map_err(lost)? {
                    Woken::Readable(_) => {}
                    other => return Err(given_up(other)),
                },
                // It has left; why, it may have said.
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(self.last_word()),
                Err(error) => return Err(lost(error.into())),
            }
        }
        Ok(())
    }

    /// The next frame. A failure of the agent is one of ours.
    pub fn receive(&mut self) -> Result<Reply, AgentError> {
        match frame::read(&mut self.reader) {
            Ok(Reply::Failed(failure)) => Err(AgentError::Failed(failure)),
            Ok(reply) => Ok(reply),
            Err(error) => Err(match self.reader.get_mut().ended.take() {
                Some(woken) => given_up(woken),
                None => AgentError::Lost(error),
            }),
        }
    }

    /// Whether the agent has said something, or left.
    pub fn has_spoken(&self) -> bool {
        let mut polled = [PollFd::new(&self.reader.get_ref().stream, PollFlags::IN)];
        !self.reader.buffer().is_empty()
            || poll(&mut polled, Some(&Timespec::default())).is_ok_and(|count| count > 0)
    }

    /// What an agent says that should have said nothing yet.
    pub fn last_word(&mut self) -> AgentError {
        match self.receive() {
            Ok(_) => AgentError::Nonsense("an answer before the question"),
            Err(error) => error,
        }
    }

    /// Takes the frame that ends a request.
    pub fn done(&mut self) -> Result<(), AgentError> {
        match self.receive()? {
            Reply::Done => Ok(()),
            _ => Err(AgentError::Nonsense("something else than the end")),
        }
    }

    /// Expects content of at most `size` bytes next.
    pub fn announce(&mut self, size: u64) {
        self.announced = Some(size);
    }

    /// The next piece of the content that was announced.
    pub fn chunk(&mut self) -> Result<Option<Bytes>, AgentError> {
        let Some(left) = self.announced else { return Ok(None) };
        match self.receive()? {
            // An agent that sends nothing, for ever, would keep us busy for ever.
            Reply::Data(bytes) if bytes.is_empty() => Err(AgentError::Nonsense("content of no length")),
            Reply::Data(bytes) => {
                let left = left.checked_sub(bytes.len() as u64);
                self.announced = Some(left.ok_or(AgentError::Nonsense("more content than announced"))?);
                Ok(Some(bytes))
            }
            Reply::EndOfData => {
                self.announced = None;
                Ok(None)
            }
            _ => Err(AgentError::Nonsense("something else than content")),
        }
    }

    /// Passes over content that nobody wanted.
    pub fn skip(&mut self) -> Result<(), AgentError> {
        while self.chunk()?.is_some() {}
        Ok(())
    }
}

fn given_up(woken: Woken) -> AgentError {
    match woken {
        Woken::Cancelled => AgentError::Cancelled,
        Woken::Readable(_) | Woken::Deadline => AgentError::Unresponsive,
    }
}

/// The content of the file that was described last. It may be shorter than its description said,
/// if the file was cut meanwhile, and is never longer.
#[derive(Debug)]
pub struct Content<'c, 'a> {
    channel: &'c mut Channel<'a>,
    chunk: Bytes,
    read: usize,
}

impl<'c, 'a> Content<'c, 'a> {
    pub(super) fn new(channel: &'c mut Channel<'a>) -> Self {
        Self { channel, chunk: Bytes::new(), read: 0 }
    }
}

/// Errors are [`AgentError`]s inside those of other kinds.
impl Read for Content<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read == self.chunk.len() {
            match self.channel.chunk().map_err(io::Error::other)? {
                Some(chunk) => (self.chunk, self.read) = (chunk, 0),
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.chunk.len() - self.read);
        buffer[..count].copy_from_slice(&self.chunk[self.read..self.read + count]);
        self.read += count;
        Ok(count)
    }
}
