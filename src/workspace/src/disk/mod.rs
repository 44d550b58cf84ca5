//! The files of a stopped workspace, read without changing them.
//!
//! What a guest wrote is never parsed on the host: the workspace's own agent is started on the
//! workspace's layers and its writable disk, for looking only, and asked. Nothing runs there besides,
//! and nothing of the files can be written. Where a machine mounts file systems of its own, there is
//! nothing to see: `/run`, where secrets and sockets are, is in memory and was never on a disk.

mod export;

pub use export::{ExportFormat, Exported, export_image};

use crate::agent::{Agent, AgentError};
use crate::directory::{Directory, WorkspaceError};
use crate::home::Home;
use crate::lifecycle::{LifecycleError, claim};
use crate::record::Record;
use crate::patch::display_path;
use crate::running::{StartError, launch_machine};
use crate::supervisor::image;
use crate::until::Until;
use crate::workspace::Workspace;
use pyro_machine::launch::Machine;
use pyro_machine::spec::Purpose;
use pyro_oci::{Image, StoreError};
use pyro_protocol::path::{self, BadPath};
use pyro_protocol::{Depth, Entry, EntryKind, Failure, FailureKind, Read, Walk};
use std::{fmt, io};
use std::path::PathBuf;

/// Names below `/run` that are ours. A guest that takes its own `/run` away could put something there.
const RUNTIME: &[u8] = b"run/pyro";

/// Why the disk of a workspace cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The workspace runs, or cannot be used.
    #[error(transparent)]
    Lifecycle(#[from] LifecycleError),
    /// Its image is not there any more.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The machine to look with did not come up.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Its agent.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// What was found cannot be passed on.
    #[error("the result cannot be written: {0}")]
    Output(#[source] io::Error),
    /// Something is in the place of the export.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// A file of the export, or of the workspace.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no such thing as a disk image.
    #[error("{0} runs in namespaces of this host: it has a directory, and no disk image")]
    NoImage(crate::id::WorkspaceId),
    /// The wait was cancelled.
    #[error("interrupted")]
    Cancelled,
}

impl From<WorkspaceError> for LookError {
    fn from(error: WorkspaceError) -> Self {
        Self::Lifecycle(error.into())
    }
}

/// The disk of a stopped workspace, which is not started meanwhile. Dropping it ends the look.
#[derive(Debug)]
pub struct Disk {
    machine: Machine,
    workspace: Workspace,
    image: Image,
}

impl Disk {
    /// Starts the agent on what a stopped workspace has.
    ///
    /// # Errors
    /// [`LifecycleError::State`] if its machine runs, among others.
    pub fn open(home: &Home, directory: &Directory, until: Until<'_>) -> Result<Self, LookError> {
        let workspace = claim(directory)?;
        directory.touch();
        let image = image(home, workspace.record())?;
        let (machine, _steps) = launch_machine(home, &image, &workspace, Purpose::Look, until)?;
        Ok(Self { machine, workspace, image })
    }

    /// What is recorded of the workspace.
    #[must_use]
    pub const fn record(&self) -> &Record {
        self.workspace.record()
    }

    /// The agent, which refuses to run or change anything.
    #[must_use]
    pub fn agent(&self) -> Agent {
        Agent::at(&self.workspace.directory().run_dir())
    }

    /// Passes to `each` what is in the directory `path`, or all that is below it, or the file itself if
    /// it is none, with its path from the root. What is mounted in a machine is not entered; `/tmp`
    /// can be listed by its own name.
    ///
    /// # Errors
    /// [`LookError`]; what `each` says is [`LookError::Output`].
    pub fn list(
        &self,
        path: &RootPath,
        recursive: bool,
        until: Until<'_>,
        mut each: impl FnMut(Entry) -> io::Result<()>,
    ) -> Result<(), LookError> {
        path.check_visible()?;
        let depth = if recursive { Depth::All } else { Depth::Children };
        let walk = Walk { beneath: b"/".to_vec().into(), path: path.0.clone().into(), depth, content: false };
        let mut files = self.agent().walk(&walk, until)?;
        while let Some(mut entry) = files.next_entry()? {
            let is_start = entry.path.is_empty();
            if is_start && matches!(entry.kind, EntryKind::Directory { .. }) {
                continue;
            }
            entry.path = path.join(&entry.path).into();
            if !is_runtime(&entry.path) {
                each(entry).map_err(LookError::Output)?;
            }
        }
        Ok(())
    }

    /// The beginning of a file, at most `limit` bytes, and what the file is.
    ///
    /// # Errors
    /// [`LookError`].
    pub fn read(
        &self,
        path: &RootPath,
        limit: u64,
        until: Until<'_>,
    ) -> Result<(Entry, Vec<u8>), LookError> {
        path.check_visible()?;
        let read = Read { beneath: b"/".to_vec().into(), path: path.0.clone().into(), offset: 0, limit };
        Ok(self.agent().read(&read, until)?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.machine.kill();
        if let Err(error) = self.workspace.clear_run_dir() {
            tracing::debug!(%error, "sockets stay behind; the next start removes them");
        }
    }
}

/// A path from the root of a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootPath(Vec<u8>);

impl RootPath {
    /// An absolute path; empty components and `.` do not count.
    ///
    /// # Errors
    /// When it is not absolute, has a `..`, or is too long.
    pub fn new(absolute: &[u8]) -> Result<Self, BadPath> {
        let relative = absolute.strip_prefix(b"/").ok_or(BadPath::Outside)?;
        let names = relative.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
        let clean = names.collect::<Vec<_>>().join(&b'/');
        path::check(&clean)?;
        Ok(Self(clean))
    }

    /// The path of something below it, from the root.
    fn join(&self, below: &[u8]) -> Vec<u8> {
        match (&self.0[..], below) {
            (own, b"") => own.to_vec(),
            (b"", below) => below.to_vec(),
            (own, below) => [own, b"/", below].concat(),
        }
    }

    /// What is not to be seen is not there.
    fn check_visible(&self) -> Result<(), AgentError> {
        if !is_runtime(&self.0) {
            return Ok(());
        }
        let message = format!("{self}: no such file or directory");
        Err(AgentError::Failed(Failure { kind: FailureKind::NotFound, message }))
    }
}

/// Absolute; odd bytes are quoted as git does.
impl fmt::Display for RootPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&display_path(&[b"/", &self.0[..]].concat()))
    }
}

/// Whether a path, from the root, is one of those where machines keep secrets and sockets.
fn is_runtime(path: &[u8]) -> bool {
    path.strip_prefix(RUNTIME).is_some_and(|rest| matches!(rest.first(), None | Some(b'/' | b'-')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_absolute_and_go_down_only() {
        for (text, path) in [("/", ""), ("/a/b", "a/b"), ("//a/./b/", "a/b"), ("/...", "...")] {
            assert_eq!(RootPath::new(text.as_bytes()), Ok(RootPath(path.into())), "{text}");
        }
        for text in ["", "a", "/a/../b", "/.."] {
            assert_eq!(RootPath::new(text.as_bytes()), Err(BadPath::Outside), "{text}");
        }
        assert_eq!(RootPath::new(b"/a\0"), Err(BadPath::Nul));
        assert_eq!(RootPath::new(b"/a").unwrap().join(b"b"), b"a/b");
        assert_eq!(RootPath::new(b"/").unwrap().join(b"b"), b"b");
    }

    #[test]
    fn what_is_ours_at_run_time_is_not_there() {
        for path in ["run/pyro", "run/pyro/x", "run/pyro-secrets", "run/pyro-secrets/token"] {
            assert!(is_runtime(path.as_bytes()), "{path}");
        }
        for path in ["run", "run/pyromania", "run/x/pyro-secrets", "workspace/run/pyro"] {
            assert!(!is_runtime(path.as_bytes()), "{path}");
        }
    }
}
