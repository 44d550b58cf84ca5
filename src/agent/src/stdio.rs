//! The standard streams of a command: pipes, or a pseudo-terminal.

use pyro_protocol::Window;
use pyro_protocol::frame::CHUNK_MAX;
use pyro_sys::pty::{self, Pty};
use rustix::buffer::spare_capacity;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Stop taking input from the connection while this much waits for the command to read it.
const PENDING_MAX: usize = 256 << 10;

/// What a terminal takes as end of input.
const END_OF_TRANSMISSION: u8 = 4;

/// The command's ends of its streams. Dropped once it runs.
pub enum Theirs {
    /// Three descriptors.
    Pipes([OwnedFd; 3]),
    /// One terminal for all three.
    Terminal(OwnedFd),
}

impl Theirs {
    /// Standard input, output and error.
    pub fn all(&self) -> [BorrowedFd<'_>; 3] {
        match self {
            Self::Pipes(fds) => fds.each_ref().map(AsFd::as_fd),
            Self::Terminal(slave) => [slave.as_fd(); 3],
        }
    }
}

/// Our ends of a command's streams.
pub struct Ours {
    /// Where input goes, unless the command has none or it was closed.
    pub input: Option<Input>,
    /// Standard output, or the terminal.
    pub stdout: Option<Output>,
    /// Standard error, unless it is the terminal's.
    pub stderr: Option<Output>,
}

/// Makes the streams of a command without a terminal; `with_input` or it reads `/dev/null`.
pub fn pipes(with_input: bool) -> io::Result<(Theirs, Ours)> {
    let (stdin, input) = if with_input {
        let (theirs, ours) = pipe_with(PipeFlags::CLOEXEC)?;
        (theirs, Some(Input::new(ours, false)?))
    } else {
        (rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?, None)
    };
    let (ours, stdout) = pipe_with(PipeFlags::CLOEXEC)?;
    let (ours_too, stderr) = pipe_with(PipeFlags::CLOEXEC)?;
    let ours = Ours { input, stdout: Some(Output::new(ours)?), stderr: Some(Output::new(ours_too)?) };
    Ok((Theirs::Pipes([stdin, stdout, stderr]), ours))
}

/// Makes the streams of a command with a terminal of this size, which `owner` may open again.
pub fn terminal(window: Window, owner: rustix::process::Uid) -> io::Result<(Theirs, Ours)> {
    let Pty { master, slave } = pty::open(window.rows, window.columns)?;
    if !owner.is_root() {
        rustix::fs::fchown(&slave, Some(owner), None)?;
    }
    let input = Input::new(master.try_clone()?, true)?;
    let ours = Ours { input: Some(input), stdout: Some(Output::new(master)?), stderr: None };
    Ok((Theirs::Terminal(slave), ours))
}

/// A stream to the command, with what it has not read yet.
pub struct Input {
    fd: OwnedFd,
    is_terminal: bool,
    pending: Vec<u8>,
    written: usize,
    /// Whether the end follows what is pending.
    ends: bool,
}

impl Input {
    fn new(fd: OwnedFd, is_terminal: bool) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Self { fd, is_terminal, pending: Vec::new(), written: 0, ends: false })
    }

    /// Whether more may be pushed.
    pub fn has_room(&self) -> bool {
        self.pending.len() - self.written < PENDING_MAX
    }

    /// Whether the command has something to read that it did not take yet.
    pub fn is_pending(&self) -> bool {
        self.written < self.pending.len()
    }

    /// Appends bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        if !self.ends {
            self.pending.extend_from_slice(bytes);
        }
    }

    /// Lets the end follow. A terminal stays open and is sent its end-of-file character, twice
    /// if the first only ends an unfinished line.
    pub fn end(&mut self) {
        if self.is_terminal {
            let mid_line = self.pending.last().is_some_and(|&last| last != b'\n' && last != b'\r');
            self.push(if mid_line { &[END_OF_TRANSMISSION; 2] } else { &[END_OF_TRANSMISSION] });
        }
        self.ends = true;
    }

    /// Whether nothing will be written any more.
    pub fn is_finished(&self) -> bool {
        self.ends && !self.is_pending() && !self.is_terminal
    }

    /// Tells the terminal its new size.
    pub fn resize(&self, window: Window) {
        if self.is_terminal {
            // The size is a courtesy; there is nobody to tell about a terminal that hung up.
            let _ = pty::resize(&self.fd, window.rows, window.columns);
        }
    }

    /// Writes what the command takes now. The error says that it takes nothing any more.
    pub fn write(&mut self) -> io::Result<()> {
        while self.is_pending() {
            match rustix::io::write(&self.fd, &self.pending[self.written..]) {
                Ok(count) => self.written += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        self.pending.clear();
        self.written = 0;
        Ok(())
    }
}

impl AsFd for Input {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A stream from the command.
pub struct Output {
    fd: OwnedFd,
    /// Bytes that were in the pipe when the command ended, and so are its own.
    owed: u64,
}

/// What a read found.
pub enum Found {
    /// So many bytes.
    Bytes,
    /// Nothing yet.
    Nothing,
    /// The end: nobody has the other side open.
    End,
}

impl Output {
    fn new(fd: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Self { fd, owed: 0 })
    }

    /// Notes how much there is to read at this moment.
    pub fn settle(&mut self) {
        // A stream that cannot tell is drained for as long as the grace time lasts.
        self.owed = rustix::io::ioctl_fionread(&self.fd).unwrap_or(0);
    }

    /// Whether some of the command's own output is still unread.
    pub fn is_owed(&self) -> bool {
        self.owed > 0
    }

    /// Reads once into `buffer`.
    pub fn read(&mut self, buffer: &mut Vec<u8>) -> Found {
        buffer.clear();
        buffer.reserve_exact(CHUNK_MAX);
        let result = rustix::io::read(&self.fd, spare_capacity(buffer));
        match result {
            Ok(0) => Found::End,
            Ok(count) => {
                self.owed = self.owed.saturating_sub(count as u64);
                Found::Bytes
            }
            Err(Errno::INTR | Errno::AGAIN) => Found::Nothing,
            // EIO: the last user of a terminal has closed it.
            Err(_) => Found::End,
        }
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
