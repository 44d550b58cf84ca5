//! The vocabulary. Paths, names, arguments and environment are bytes, as on Linux.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// What the agent says once, on its own connection to [`crate::READY_PORT`], when its root stands
/// or could not be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// [`crate::BUILD_ID`] of the agent.
    pub build: String,
    /// What the agent did since it started, in order.
    pub steps: Vec<Step>,
    /// Why there is no root, in words; `None` if the agent serves.
    pub problem: Option<String>,
}

/// One step of the agent's start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What was done: a few words.
    pub name: String,
    /// Guest clock at its end, microseconds since the kernel started.
    pub at_us: u64,
}

/// What the host asks of the agent; the first frame of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Run a command.
    Exec(Exec),
}

/// A command to run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// Program and arguments. A program without a slash is looked up in the `PATH` of `env`.
    pub argv: Vec<ByteBuf>,
    /// The whole environment, but for `HOME`, `USER` and `LOGNAME`, which the agent adds from the
    /// guest's user database where they are missing.
    pub env: Vec<(ByteBuf, ByteBuf)>,
    /// Working directory; empty means `/`. Created if `create_cwd`.
    pub cwd: ByteBuf,
    /// Whether a missing `cwd` is made, as container runtimes do for the image's own.
    pub create_cwd: bool,
    /// `USER[:GROUP]`, names or numbers, as in an image's configuration; empty means root.
    pub user: String,
    /// Whether [`Input::Stdin`] frames follow. Without, the command reads `/dev/null`.
    pub stdin: bool,
    /// Run under a pseudo-terminal of this size; its output is all [`Reply::Stdout`].
    pub tty: Option<Window>,
    /// After this many milliseconds the process group is killed.
    pub timeout_ms: Option<u64>,
}

/// Size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Height.
    pub rows: u16,
    /// Width.
    pub columns: u16,
}

/// What the host sends while a command runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// Bytes for standard input.
    Stdin(ByteBuf),
    /// End of standard input.
    CloseStdin,
    /// The terminal has a new size.
    Resize(Window),
    /// Send this signal to the command's process group.
    Signal(i32),
}

/// What the agent answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The command runs.
    Started {
        /// Its process id in the guest.
        pid: u32,
    },
    /// Bytes from standard output, or from the terminal.
    Stdout(ByteBuf),
    /// Bytes from standard error.
    Stderr(ByteBuf),
    /// The command ended; all of its output came before. Last frame.
    Ended(Ended),
    /// The request could not be carried out. Last frame.
    Failed(Failure),
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Its status.
    pub status: Status,
    /// Whether the agent killed it because its time was up.
    pub timed_out: bool,
    /// How long it ran, in microseconds of the guest's clock.
    pub duration_us: u64,
}

/// Exit status of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// It returned this code.
    Exited(u8),
    /// It was killed by this signal.
    Signaled(u8),
}

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind, for the exit status.
    pub kind: FailureKind,
    /// In words: what, and why.
    pub message: String,
}

/// Kinds of [`Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// No such program: exit status 127.
    NotFound,
    /// The program cannot be executed: exit status 126.
    NotExecutable,
    /// The request itself is wrong: unknown user, no such directory, empty command.
    Invalid,
    /// The agent or its kernel failed.
    Internal,
}
