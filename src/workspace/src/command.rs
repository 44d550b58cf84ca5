//! A command in a workspace: sent to the agent, heard to its end, and kept in the journal.

use crate::directory::Directory;
use crate::journal::{Outcome, Writer};
use crate::session::{InputWriter, Session, SessionError, Stream, connect};
use crate::until::{Cancel, Until};
use pyro_machine::spec::AGENT_SOCKET;
use pyro_oci::RunConfig;
use pyro_protocol::{Ended, Exec, Failure, FailureKind, Status};
use serde_bytes::ByteBuf;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// How much longer than the agent's own limit its word is waited for before the machine is given up.
const GRACE: Duration = Duration::from_secs(10);

/// Why a command was not sent.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The agent.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The journal: a command of which nothing would be known is not run.
    #[error("the command cannot be noted in the journal: {0}")]
    Journal(#[source] io::Error),
}

/// A command that was sent to the agent. Dropping it cancels the command, of which is then known that
/// it was lost.
#[derive(Debug)]
pub struct Command {
    session: Session,
    writer: Writer,
    patience: Option<Instant>,
}

impl Command {
    /// Sends `exec` to the machine of a workspace, in this generation.
    ///
    /// # Errors
    /// [`CommandError`]; then nothing is in the journal.
    pub fn start(directory: &Directory, generation: u32, exec: Exec) -> Result<Self, CommandError> {
        directory.touch();
        Self::send(&directory.run_dir(), &directory.generation(generation).commands(), exec, false)
    }

    fn send(run_dir: &Path, commands: &Path, exec: Exec, detached: bool) -> Result<Self, CommandError> {
        let stream = connect(run_dir, AGENT_SOCKET).map_err(SessionError::Connect)?;
        let writer = Writer::open(commands, &exec, detached).map_err(CommandError::Journal)?;
        let patience = exec
            .timeout_ms
            .and_then(|limit| Instant::now().checked_add(Duration::from_millis(limit).saturating_add(GRACE)));
        match Session::over(stream, exec) {
            Ok(session) => Ok(Self { session, writer, patience }),
            Err(error) => {
                writer.forget();
                Err(error.into())
            }
        }
    }

    /// Its number in the journal.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.writer.sequence()
    }

    /// A handle for standard input, signals and window sizes, for use by another thread.
    ///
    /// # Errors
    /// When descriptors have run out.
    pub fn input(&self) -> Result<InputWriter, SessionError> {
        self.session.input()
    }

    /// Passes output to `sink` as it comes, until the command has ended.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn wait(
        self,
        cancel: &Cancel,
        mut sink: impl FnMut(Stream, &[u8]) -> io::Result<()>,
    ) -> Result<Ended, SessionError> {
        let Self { session, mut writer, patience } = self;
        let ended = session.wait(Until { deadline: patience, cancel }, |stream, bytes| {
            writer.output(stream, bytes);
            sink(stream, bytes)
        });
        close(writer, &ended);
        ended
    }
}

/// A command that was to be started on behalf of somebody who goes away.
pub(crate) enum Detached {
    /// It runs.
    Running(Box<Background>),
    /// It was not started.
    NotRun(Failure),
}

/// A command that nobody waits for but this process.
pub(crate) struct Background {
    command: Command,
    cancel: Cancel,
}

/// Starts a command that is heard by this process alone.
pub(crate) fn detach(run_dir: &Path, commands: &Path, exec: Exec) -> Result<Detached, CommandError> {
    let cancel = Cancel::new().map_err(SessionError::Connect)?;
    let mut command = Command::send(run_dir, commands, exec, true)?;
    match command.session.started(Until { deadline: command.patience, cancel: &cancel }) {
        Ok(()) => Ok(Detached::Running(Box::new(Background { command, cancel }))),
        Err(error) => {
            let result = Err(error);
            close(command.writer, &result);
            match result {
                Err(SessionError::Failed(failure)) => Ok(Detached::NotRun(failure)),
                Err(error) => Err(error.into()),
                Ok(_) => unreachable!("it was an error"),
            }
        }
    }
}

impl Background {
    /// Its number in the journal.
    pub const fn sequence(&self) -> u64 {
        self.command.sequence()
    }

    /// Hears it to its end.
    pub fn finish(self) {
        // How it ended is in the journal.
        let _ = self.command.wait(&self.cancel, |_, _| Ok(()));
    }
}

fn close(writer: Writer, ended: &Result<Ended, SessionError>) {
    let outcome = match ended {
        Ok(ended) => Outcome::Ended { exit_code: exit_code(ended), timed_out: ended.timed_out },
        Err(SessionError::Failed(failure)) => {
            Outcome::NotRun { exit_code: failure_code(failure.kind), message: failure.message.clone() }
        }
        // Whoever reads the output of a command and no longer does has had enough, too.
        Err(SessionError::Cancelled | SessionError::Output(_)) => Outcome::Interrupted,
        Err(error) => Outcome::Lost { message: error.to_string() },
    };
    // A workspace that was deleted under the command has no journal any more.
    if let Err(error) = writer.end(outcome)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "how the command ended is not kept");
    }
}

/// The exit status of a command as a shell would say it; 124 if its time was up.
#[must_use]
pub const fn exit_code(ended: &Ended) -> u8 {
    match ended.status {
        _ if ended.timed_out => 124,
        Status::Exited(code) => code,
        Status::Signaled(signal) => 128_u8.saturating_add(signal),
    }
}

/// The exit status that stands for a command that was not run.
#[must_use]
pub const fn failure_code(kind: FailureKind) -> u8 {
    match kind {
        FailureKind::NotFound => 127,
        FailureKind::NotExecutable => 126,
        FailureKind::Invalid | FailureKind::Internal => 125,
    }
}

/// The environment of a command: the image's, then the user's, over what no program should miss.
#[must_use]
pub fn variables(image: &RunConfig, own: &[(String, String)], tty: bool) -> Vec<(ByteBuf, ByteBuf)> {
    const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let mut variables = BTreeMap::from([("PATH", PATH)]);
    if tty {
        variables.insert("TERM", "xterm-256color");
    }
    variables.extend(image.env.iter().filter_map(|line| line.split_once('=')));
    variables.extend(own.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let bytes = |text: &str| ByteBuf::from(text.as_bytes());
    variables.into_iter().map(|(name, value)| (bytes(name), bytes(value))).collect()
}
