//! Waiting: until something can be read, a deadline passes, or the user has had enough.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Timespec;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

/// A request to stop waiting, made from another thread.
#[derive(Clone, Debug)]
pub struct Cancel {
    /// The ends of a pipe: a byte in it is the request, and stays there.
    pipe: Arc<(OwnedFd, OwnedFd)>,
}

impl Cancel {
    /// One that nobody has asked for yet.
    ///
    /// # Errors
    /// When descriptors have run out.
    pub fn new() -> io::Result<Self> {
        let pipe = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(Self { pipe: Arc::new(pipe) })
    }

    /// A descriptor that cancels when a byte is written to it: what a signal handler can do.
    ///
    /// # Errors
    /// When descriptors have run out.
    pub fn trigger(&self) -> io::Result<OwnedFd> {
        self.pipe.1.try_clone()
    }

    /// Ends every wait that watches this, now and later.
    pub fn cancel(&self) {
        // Fails only when the pipe is full, which it cannot be without a byte.
        let _ = rustix::io::write(&self.pipe.1, &[0]);
    }
}

/// What limits a wait.
#[derive(Clone, Copy, Debug)]
pub struct Until<'a> {
    /// When to give up; `None`: never.
    pub deadline: Option<Instant>,
    /// Who may stop it.
    pub cancel: &'a Cancel,
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// This one of the descriptors can be read, or its other end is gone.
    Readable(usize),
    /// The deadline has passed.
    Deadline,
    /// Somebody cancelled.
    Cancelled,
}

impl Until<'_> {
    /// Waits for the first of `fds`.
    ///
    /// # Errors
    /// What `poll` says.
    pub fn readable(&self, fds: &[BorrowedFd<'_>]) -> io::Result<Woken> {
        self.ready(fds.iter().map(|&fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)))
    }

    /// Waits until `fd` takes bytes, or will never do so again: then `Readable(0)` is returned.
    pub(crate) fn writable(&self, fd: BorrowedFd<'_>) -> io::Result<Woken> {
        self.ready([PollFd::from_borrowed_fd(fd, PollFlags::OUT)])
    }

    /// Whether somebody has cancelled already.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        let mut polled = [PollFd::new(&self.cancel.pipe.0, PollFlags::IN)];
        matches!(poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(1..))
    }

    fn ready<'fd>(&'fd self, fds: impl IntoIterator<Item = PollFd<'fd>>) -> io::Result<Woken> {
        let cancel = PollFd::new(&self.cancel.pipe.0, PollFlags::IN);
        let mut polled: Vec<PollFd<'_>> = std::iter::once(cancel).chain(fds).collect();
        loop {
            let left = self.deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let timeout = left.map(|left| Timespec {
                tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            });
            match poll(&mut polled, timeout.as_ref()) {
                Ok(0) => return Ok(Woken::Deadline),
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        match polled.iter().position(|fd| !fd.revents().is_empty()) {
            Some(0) | None => Ok(Woken::Cancelled),
            Some(number) => Ok(Woken::Readable(number - 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::time::Duration;

    #[test]
    fn the_first_thing_to_happen_ends_a_wait() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let cancel = Cancel::new().unwrap();
        let soon = Until { deadline: Some(Instant::now() + Duration::from_millis(1)), cancel: &cancel };
        assert_eq!(soon.readable(&[reader.as_fd()]).unwrap(), Woken::Deadline);
        writer.write_all(b"x").unwrap();
        let never = Until { deadline: None, cancel: &cancel };
        assert_eq!(never.readable(&[reader.as_fd()]).unwrap(), Woken::Readable(0));
        cancel.cancel();
        assert_eq!(never.readable(&[reader.as_fd()]).unwrap(), Woken::Cancelled);
    }
}
