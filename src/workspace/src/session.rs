//! A command in a running machine: one connection to its agent.
//!
//! What the agent sends is a claim of a hostile guest. Here it can only be output bytes and an end;
//! nothing of it names a host path or sizes an allocation.

use crate::until::{Until, Woken};
use pyro_protocol::frame::{self, FrameError};
use pyro_protocol::{Ended, Exec, Failure, FailureKind, Input, Reply, Request, Window};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// Which of a command's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Why a command has no result.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The agent could not be reached.
    #[error("{}", unreachable(.0))]
    Connect(#[source] io::Error),
    /// The agent refused or could not start the command.
    #[error("{}", .0.message)]
    Failed(Failure),
    /// The connection ended before the command did.
    #[error("the machine stopped while the command ran")]
    Lost(#[source] FrameError),
    /// The agent answered something else than was asked.
    #[error("the workspace's agent does not answer what was asked")]
    Confused,
    /// Nothing came before the deadline, though the agent should have ended the command itself.
    #[error("the workspace does not answer any more")]
    Unresponsive,
    /// The output could not be passed on.
    #[error("the command's output cannot be written: {0}")]
    Output(#[source] io::Error),
    /// The wait was cancelled.
    #[error("interrupted")]
    Cancelled,
}

/// A command that was sent to the agent. Dropping it cancels the command.
#[derive(Debug)]
pub struct Session {
    /// Most frames are short, and come together.
    stream: BufReader<UnixStream>,
}

/// The other direction of a [`Session`]: what the command is sent while it runs.
#[derive(Debug)]
pub struct InputWriter {
    stream: UnixStream,
}

impl Session {
    /// Sends `exec` to the agent whose socket `name` is in `run_dir`.
    ///
    /// # Errors
    /// [`SessionError::Connect`].
    pub fn start(run_dir: &Path, name: &str, exec: Exec) -> Result<Self, SessionError> {
        Self::over(connect(run_dir, name).map_err(SessionError::Connect)?, exec)
    }

    /// Sends `exec` over a new connection to the agent.
    pub(crate) fn over(stream: UnixStream, exec: Exec) -> Result<Self, SessionError> {
        match frame::write(&stream, &Request::Exec(exec)) {
            Ok(()) => Ok(Self { stream: BufReader::new(stream) }),
            Err(FrameError::Io(error)) => Err(SessionError::Connect(error)),
            Err(FrameError::TooLong(_)) => Err(SessionError::Failed(too_long())),
            Err(error) => Err(SessionError::Connect(io::Error::other(error))),
        }
    }

    /// A handle for standard input, signals and window sizes, for use by another thread.
    ///
    /// # Errors
    /// [`SessionError::Connect`] when descriptors have run out.
    pub fn input(&self) -> Result<InputWriter, SessionError> {
        Ok(InputWriter { stream: self.stream.get_ref().try_clone().map_err(SessionError::Connect)? })
    }

    /// Waits until the command runs. To be called before [`Session::wait`], or not at all.
    pub(crate) fn started(&mut self, until: Until<'_>) -> Result<(), SessionError> {
        match (Patient { stream: &mut self.stream, until, silence: None, ended: None }).reply()? {
            Reply::Started { .. } => Ok(()),
            Reply::Failed(failure) => Err(SessionError::Failed(failure)),
            _ => Err(SessionError::Confused),
        }
    }

    /// Passes output to `sink` as it comes, until the command has ended.
    ///
    /// # Errors
    /// [`SessionError`]; `Unresponsive` and `Cancelled` as `until` says.
    pub fn wait(
        mut self,
        until: Until<'_>,
        mut sink: impl FnMut(Stream, &[u8]) -> io::Result<()>,
    ) -> Result<Ended, SessionError> {
        let mut reader = Patient { stream: &mut self.stream, until, silence: None, ended: None };
        loop {
            match reader.reply()? {
                Reply::Started { .. } => {}
                Reply::Stdout(bytes) => sink(Stream::Stdout, &bytes).map_err(SessionError::Output)?,
                Reply::Stderr(bytes) => sink(Stream::Stderr, &bytes).map_err(SessionError::Output)?,
                Reply::Ended(ended) => return Ok(ended),
                Reply::Failed(failure) => return Err(SessionError::Failed(failure)),
                _ => return Err(SessionError::Confused),
            }
        }
    }
}

impl InputWriter {
    /// Copies `source` to the command's standard input, then closes it.
    ///
    /// # Errors
    /// What reading says. A command that no longer reads is not an error.
    pub fn copy(&self, mut source: impl Read) -> io::Result<()> {
        let mut buffer = vec![0; frame::CHUNK_MAX];
        loop {
            let count = match source.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    // It would wait for more.
                    let _ = frame::write(&self.stream, &Input::CloseStdin);
                    return Err(error);
                }
            };
            let input = match count {
                0 => Input::CloseStdin,
                _ => Input::Stdin(buffer[..count].to_vec().into()),
            };
            if frame::write(&self.stream, &input).is_err() || count == 0 {
                return Ok(());
            }
        }
    }

    /// Sends `signal` to the command's process group.
    pub fn signal(&self, signal: i32) {
        // The session's own reader reports a connection that is gone.
        let _ = frame::write(&self.stream, &Input::Signal(signal));
    }

    /// Tells the command's terminal its size.
    pub fn resize(&self, window: Window) {
        let _ = frame::write(&self.stream, &Input::Resize(window));
    }
}

/// A reader that gives up when its [`Until`] says so, and remembers why.
#[derive(Debug)]
pub(crate) struct Patient<'a, S> {
    pub stream: S,
    pub until: Until<'a>,
    /// How long the other side may be silent; `None`: as long as it likes.
    pub silence: Option<Duration>,
    pub ended: Option<Woken>,
}

impl<'a, S> Patient<'a, S> {
    /// What limits the next wait.
    pub fn patience(&self) -> Until<'a> {
        let silent = self.silence.map(|limit| Instant::now() + limit);
        Until { deadline: self.until.deadline.into_iter().chain(silent).min(), ..self.until }
    }
}

impl Patient<'_, &mut BufReader<UnixStream>> {
    fn reply(&mut self) -> Result<Reply, SessionError> {
        frame::read(&mut *self).map_err(|error| match self.ended.take() {
            Some(Woken::Cancelled) => SessionError::Cancelled,
            Some(_) => SessionError::Unresponsive,
            None => SessionError::Lost(error),
        })
    }
}

/// What can be waited for.
pub(crate) trait Source: Read {
    /// What becomes readable; `None` if there is something to read already.
    fn awaited(&self) -> Option<BorrowedFd<'_>>;
}

impl Source for UnixStream {
    fn awaited(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }
}

impl Source for &UnixStream {
    fn awaited(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }
}

impl Source for &mut BufReader<UnixStream> {
    fn awaited(&self) -> Option<BorrowedFd<'_>> {
        self.buffer().is_empty().then(|| self.get_ref().as_fd())
    }
}

impl<S: Source> Read for Patient<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(awaited) = self.stream.awaited() else { return self.stream.read(buffer) };
        match self.patience().readable(&[awaited])? {
            Woken::Readable(_) => self.stream.read(buffer),
            other => {
                self.ended = Some(other);
                Err(io::ErrorKind::TimedOut.into())
            }
        }
    }
}

/// Why a command that fits no frame was not run.
pub(crate) fn too_long() -> Failure {
    let message = format!(
        "the command line and its variables are over {} MiB: put what is long into a file",
        frame::FRAME_MAX >> 20
    );
    Failure { kind: FailureKind::Invalid, message }
}

/// Why an agent could not be reached, in words: where nobody listens there is no machine.
pub(crate) fn unreachable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
            "the workspace's machine is gone".into()
        }
        _ => format!("the workspace's agent cannot be reached: {error}"),
    }
}

/// Connects to the socket `name` in `directory`, however long the directory's path is: a socket
/// address holds 107 bytes, and state directories can lie deep.
pub(crate) fn connect(directory: &Path, name: &str) -> io::Result<UnixStream> {
    let handle = File::open(directory)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{name}", handle.as_raw_fd()))
}

/// Listens on a new socket `name` in `directory`, under the same rule.
pub(crate) fn listen(directory: &Path, name: &str) -> io::Result<UnixListener> {
    let handle = File::open(directory)?;
    UnixListener::bind(format!("/proc/self/fd/{}/{name}", handle.as_raw_fd()))
}
