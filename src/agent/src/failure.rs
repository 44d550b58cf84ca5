//! Why a request is given up, in words for whoever asked.

use pyro_protocol::frame::FrameError;
use pyro_protocol::path::BadPath;
use pyro_protocol::{Failure, FailureKind};
use rustix::io::Errno;
use std::io;

/// Why a request is given up.
pub enum Stop {
    /// The peer went away: nobody is left to be told.
    Gone,
    /// The peer is to be told this.
    Failed(Failure),
}

/// Of the connection alone: failures of files are given words by [`Named::of`].
impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<FrameError> for Stop {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Io(_) | FrameError::Closed => Self::Gone,
            error => Self::Failed(invalid(error.to_string())),
        }
    }
}

/// The request itself is wrong.
pub fn invalid(message: impl Into<String>) -> Failure {
    Failure { kind: FailureKind::Invalid, message: message.into() }
}

/// The agent or its kernel failed.
pub fn internal(what: &str, error: impl Into<io::Error>) -> Failure {
    Failure { kind: FailureKind::Internal, message: format!("{what}: {}", error.into()) }
}

/// A path as part of a message.
pub fn show(path: &[u8]) -> String {
    if path.is_empty() {
        return ".".into();
    }
    String::from_utf8_lossy(path).into_owned()
}

/// Gives the failure of a file's operation the file's name.
pub trait Named<T> {
    /// `path` is the file as the peer knows it.
    fn of(self, path: &[u8]) -> Result<T, Failure>;
}

impl<T> Named<T> for Result<T, Errno> {
    fn of(self, path: &[u8]) -> Result<T, Failure> {
        self.map_err(|error| failed(path, error))
    }
}

impl<T> Named<T> for Result<T, BadPath> {
    fn of(self, path: &[u8]) -> Result<T, Failure> {
        self.map_err(|error| invalid(format!("{}: {error}", show(path))))
    }
}

/// What the kernel said of `path`.
pub fn failed(path: &[u8], error: Errno) -> Failure {
    let (kind, why) = explain(error);
    let why = why.map_or_else(|| io::Error::from(error).to_string(), str::to_owned);
    Failure { kind, message: format!("{}: {why}", show(path)) }
}

/// What the kernel means, where its own words do not say.
fn explain(error: Errno) -> (FailureKind, Option<&'static str>) {
    use FailureKind::{Internal, Invalid, NotFound};
    match error {
        Errno::NOENT => (NotFound, Some("no such file or directory")),
        Errno::NOTDIR => (Invalid, Some("something on the way to it is no directory")),
        Errno::XDEV => (Invalid, Some("it is out of the directory, or on another file system")),
        Errno::ISDIR => (Invalid, Some("it is a directory")),
        Errno::NOTEMPTY => (Invalid, Some("the directory is not empty")),
        Errno::LOOP => (Invalid, Some("a link is on the way to it")),
        Errno::NAMETOOLONG => (Invalid, Some("the name is too long")),
        Errno::NOSPC | Errno::DQUOT => (Invalid, Some("no space is left in the workspace")),
        Errno::ROFS => (Invalid, Some("it is on a read-only file system")),
        Errno::BUSY => (Invalid, Some("something is mounted on it")),
        Errno::PERM | Errno::ACCESS => (Invalid, Some("permission denied")),
        Errno::IO | Errno::NOMEM | Errno::NFILE | Errno::MFILE => (Internal, None),
        _ => (Invalid, None),
    }
}
