//! A connection whose two directions never block each other.

use pyro_protocol::frame::{self, FRAME_MAX, FrameError};
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};
use serde::{Serialize, de::DeserializeOwned};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Most bytes taken from the socket at once.
const READ_MAX: usize = 64 << 10;

/// How much is encoded before it is written: a system call for each small frame would cost more
/// than the frame.
const BATCH: usize = 64 << 10;

/// How long a peer that got the last frame may take to send the next bytes, or to hang up.
const LINGER: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// Length of a frame's head.
const HEAD: usize = 4;

/// A connected, non-blocking socket with what was read and not yet decoded, and what was encoded
/// and not yet written. Invariant: `received` holds less than one frame after [`Wire::next`] has
/// returned `None`, so a peer cannot make it grow.
pub struct Wire {
    socket: OwnedFd,
    received: Vec<u8>,
    unsent: Vec<u8>,
    sent: usize,
}

impl Wire {
    /// Wraps a socket, which must be non-blocking.
    pub fn new(socket: OwnedFd) -> Self {
        Self { socket, received: Vec::new(), unsent: Vec::new(), sent: 0 }
    }

    /// Whether everything encoded was handed to the kernel.
    pub fn is_flushed(&self) -> bool {
        self.sent == self.unsent.len()
    }

    /// Encodes one frame; nothing is written before [`Wire::flush`].
    pub fn push(&mut self, message: &impl Serialize) -> Result<(), FrameError> {
        frame::append(&mut self.unsent, message)
    }

    /// Writes what the kernel takes now.
    pub fn flush(&mut self) -> io::Result<()> {
        while !self.is_flushed() {
            match rustix::io::write(&self.socket, &self.unsent[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        self.unsent.clear();
        self.sent = 0;
        Ok(())
    }

    /// Encodes one frame and writes it with others, waiting for the peer as long as it takes.
    pub fn send(&mut self, message: &impl Serialize) -> Result<(), FrameError> {
        self.push(message)?;
        if self.unsent.len() >= BATCH { Ok(self.drain()?) } else { Ok(()) }
    }

    /// Writes out everything, for as long as the peer listens.
    pub fn drain(&mut self) -> io::Result<()> {
        loop {
            self.flush()?;
            if self.is_flushed() {
                return Ok(());
            }
            self.wait(PollFlags::OUT, None)?;
        }
    }

    /// The next frame, waited for until `patience` ends; `None` if it does, or if the peer left.
    pub fn receive<T: DeserializeOwned>(
        &mut self,
        patience: Option<&Timespec>,
    ) -> Result<Option<T>, FrameError> {
        loop {
            if let Some(message) = self.next()? {
                return Ok(Some(message));
            }
            if !self.wait(PollFlags::IN, patience)? || self.fill().is_err() {
                return Ok(None);
            }
        }
    }

    /// Waits for one of `events`, or the connection's end; `false` if `patience` came first.
    pub fn wait(&self, events: PollFlags, patience: Option<&Timespec>) -> io::Result<bool> {
        loop {
            match poll(&mut [PollFd::new(&self.socket, events)], patience) {
                Ok(count) => return Ok(count > 0),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reads once. `UnexpectedEof` if the peer closed.
    pub fn fill(&mut self) -> io::Result<()> {
        self.received.reserve(READ_MAX);
        match rustix::io::read(&self.socket, spare_capacity(&mut self.received)) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(Errno::INTR | Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// After the last frame: waits for the peer to hang up, and throws away what it still sends.
    /// To close a socket with something unread in it resets the connection, and the peer may then
    /// lose what it has not read yet.
    pub fn linger(&mut self) {
        if shutdown(&self.socket, Shutdown::Write).is_err() {
            return;
        }
        loop {
            self.received.clear();
            if !self.wait(PollFlags::IN, Some(&LINGER)).unwrap_or(false) || self.fill().is_err() {
                return;
            }
        }
    }

    /// Decodes the next frame, if it was received whole.
    pub fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let Some((head, rest)) = self.received.split_first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*head) as usize;
        if length > FRAME_MAX {
            return Err(FrameError::TooLong(length));
        }
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        let message = frame::decode(body)?;
        self.received.drain(..HEAD + length);
        Ok(Some(message))
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
