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
    /// Describe a file or directory, with content if wanted: [`Reply::Entry`] frames in the order
    /// of [`crate::path::order`], each with its content, then [`Reply::Done`]. After the answer, also
    /// after a [`Reply::Failed`], the same connection may be used for another request.
    Walk(Walk),
    /// Part of a regular file: [`Reply::Entry`], [`Reply::Data`], then [`Reply::Done`].
    Read(Read),
    /// Change files, all or none: [`Input::Edit`] frames follow, each with its [`Input::Data`], then
    /// [`Input::Commit`]; then [`Reply::Done`]. Before the commit nothing has changed. The one
    /// exception to "none": a directory of the layers below that is removed with what is in it is
    /// removed last, since the kernel cannot put it aside; if that fails in the middle, everything
    /// else is undone, and the failure says what is not.
    Edit(Edits),
    /// What the writable layer holds: [`Reply::Entry`] frames in the order of
    /// [`crate::path::order`], the root first, then [`Reply::Walked`]. Then any number of
    /// [`Input::Fetch`], each answered by the [`Reply::Entry`] of each of its files as it is now with
    /// its content, and [`Reply::Fetched`]. Closing the connection ends it.
    Changes(Changes),
    /// Write everything to disk, and let nobody write again until the connection is closed:
    /// [`Reply::Done`] when that is so. If it takes too long the agent ends it by itself, and says
    /// so by a [`Reply::Failed`] after that.
    Freeze,
}

/// Arguments of [`Request::Walk`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walk {
    /// An absolute directory. No path and no link on the way leads out of it.
    pub beneath: ByteBuf,
    /// Where to start, relative to `beneath`; empty for itself. A link at its end is what is
    /// described. Other file systems are not entered.
    pub path: ByteBuf,
    /// How far down: only the start, what is in it, or everything below it.
    pub depth: Depth,
    /// Whether the content of regular files is sent.
    pub content: bool,
}

/// How far a [`Walk`] goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Depth {
    /// The start alone.
    #[default]
    Start,
    /// The start, and if it is a directory what is in it.
    Children,
    /// Everything.
    All,
}

/// Arguments of [`Request::Read`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// As in [`Walk`].
    pub beneath: ByteBuf,
    /// The file, relative to `beneath`. A link at its end is followed, but not out of `beneath`.
    pub path: ByteBuf,
    /// First byte.
    pub offset: u64,
    /// Most bytes.
    pub limit: u64,
}

/// Arguments of [`Request::Edit`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edits {
    /// As in [`Walk`]. Made if it is missing, even if no change follows.
    pub beneath: ByteBuf,
    /// Whom new files and directories belong to: as in [`Exec::user`].
    pub user: String,
}

/// One change of files. Each sees what those before it did. Missing parents are made; nothing is
/// reached through a link. A path is removed at most once, and after that made at most once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Edit {
    /// A regular file with the [`Input::Data`] that follows, up to [`Input::EndOfData`]; it replaces
    /// a file or link of that name, and keeps a file's owner, permissions and attributes (but for
    /// capabilities, which belong to the content).
    Write {
        /// Relative to [`Edits::beneath`].
        path: ByteBuf,
        /// Permissions; `None` keeps those of the file that it replaces, or 0644.
        mode: Option<u32>,
    },
    /// A symbolic link; it replaces a file or link of that name, and keeps the owner.
    Symlink {
        /// Relative to [`Edits::beneath`].
        path: ByteBuf,
        /// Its target, as it stands.
        target: ByteBuf,
    },
    /// A directory; one that is there stays.
    Directory {
        /// Relative to [`Edits::beneath`].
        path: ByteBuf,
        /// Permissions; `None` keeps those of the directory that is there, or 0755.
        mode: Option<u32>,
    },
    /// Remove a file or link, or a directory that is empty by then.
    Remove {
        /// Relative to [`Edits::beneath`].
        path: ByteBuf,
        /// Whether a directory goes with what is in it.
        recursive: bool,
    },
}

/// Arguments of [`Request::Changes`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Only what is at or below this path, relative to the root; empty for everything. The
    /// directories on the way to it are described too.
    pub below: ByteBuf,
    /// Whether nobody may write until the connection is closed. The agent ends it by itself when
    /// that takes too long; the request then fails.
    pub freeze: bool,
}

/// A file, directory or anything else that has a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Relative to the start of a [`Walk`], to the root in [`Changes`], to `beneath` in [`Read`];
    /// `/` between components, empty for the start or root itself.
    pub path: ByteBuf,
    /// What it is.
    pub kind: EntryKind,
    /// Permissions, setuid, setgid, sticky: 12 bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change of content: seconds since 1970.
    pub mtime: i64,
    /// And nanoseconds.
    pub mtime_nanos: u32,
    /// Extended attributes, sorted by name; without those of overlayfs itself. Only in
    /// [`Request::Changes`].
    pub xattrs: Vec<(ByteBuf, ByteBuf)>,
    /// Tells whether this is what it was: see [`Stamp`].
    pub stamp: Stamp,
}

/// As long as a name's stamp stays the same in one writable layer, neither content nor metadata
/// of it has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// Inode number. Names with the same are hard links of each other.
    pub inode: u64,
    /// How many names it has.
    pub links: u32,
    /// Last change of anything, in seconds since 1970.
    pub ctime: i64,
    /// And nanoseconds.
    pub ctime_nanos: u32,
}

/// Kinds of [`Entry`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryKind {
    /// A regular file.
    File {
        /// Bytes.
        size: u64,
    },
    /// A directory.
    Directory {
        /// Whether it hides what layers below have in it. Only in [`Request::Changes`].
        opaque: bool,
    },
    /// A symbolic link and its target.
    Symlink(ByteBuf),
    /// A character device: major, minor.
    Character(u32, u32),
    /// A block device: major, minor.
    Block(u32, u32),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// Hides the name in the layers below. Only in [`Request::Changes`].
    Whiteout,
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
    /// Whether a missing `cwd` is made, as container runtimes do for the image's own. What is made
    /// belongs to `user`, as everywhere.
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

/// What the host sends after its request.
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
    /// One change of [`Request::Edit`].
    Edit(Edit),
    /// Content of the file that was last named.
    Data(ByteBuf),
    /// The content is whole.
    EndOfData,
    /// Carry the changes out.
    Commit,
    /// Send these files of [`Request::Changes`], by their paths.
    Fetch(Vec<ByteBuf>),
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
    /// A file that was asked for.
    Entry(Entry),
    /// Content of the last [`Reply::Entry`], in order.
    Data(ByteBuf),
    /// The content is whole; never longer than its entry said, and shorter only if the file was cut
    /// meanwhile. Follows every regular file whose content was asked for.
    EndOfData,
    /// All entries of [`Request::Changes`] were sent.
    Walked,
    /// Everything that an [`Input::Fetch`] named was sent, but what is no longer a regular file.
    Fetched,
    /// The request was carried out. Last frame.
    Done,
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
    /// No such program, exit status 127; or no such file.
    NotFound,
    /// The program cannot be executed: exit status 126.
    NotExecutable,
    /// The request itself is wrong: unknown user, no such directory, empty command.
    Invalid,
    /// The agent or its kernel failed.
    Internal,
}
