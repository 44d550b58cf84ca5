//! The files of a stopped workspace, read without changing them.
//!
//! What a guest wrote is never parsed on the host: the workspace's own agent is started on the
//! workspace's layers and its writable disk, for looking only, and asked. Nothing runs there besides,
//! and nothing of the files can be written. Where a machine mounts file systems of its own, there is
//! nothing to see: `/run`, where secrets and sockets are, is in memory and was never on a disk.

mod export;

pub use export::{ExportError, ExportFormat, Exported, export};

use crate::agent::{Agent, AgentError};
use crate::directory::Directory;
use crate::home::Home;
use crate::lifecycle::{LifecycleError, claim};
use crate::live::{FileContent, FileEntry, Listing};
use crate::patch::display_path;
use crate::record::Record;
use crate::running::{NotStarted, launch_machine};
use crate::supervisor::image;
use crate::until::Until;
use crate::workspace::Workspace;
use pyro_machine::launch::Machine;
use pyro_machine::spec::Purpose;
use pyro_oci::StoreError;
use pyro_protocol::path::{self, BadPath};
use pyro_protocol::{Depth, EntryKind, Failure, FailureKind, Read, Walk};
use std::fmt;

/// Names below `/run` that are ours. A guest that takes its own `/run` away could put something there.
const RUNTIME: &[u8] = b"run/pyro";

/// Why the disk of a workspace cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The workspace runs, or cannot be used.
    #[error(transparent)]
    Lifecycle(#[from] LifecycleError),
    /// Its image is not there any more.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The machine to look with did not come up.
    #[error("{}", .0.message)]
    NotStarted(NotStarted),
}

/// The disk of a stopped workspace, which is not started meanwhile. Dropping it ends the look.
#[derive(Debug)]
pub struct Disk {
    machine: Machine,
    workspace: Workspace,
}

impl Disk {
    /// Starts the agent on what a stopped workspace has.
    ///
    /// # Errors
    /// [`LifecycleError::State`] if its machine runs, among others.
    pub fn open(home: &Home, directory: &Directory, until: Until<'_>) -> Result<Self, OpenError> {
        let workspace = claim(directory)?;
        directory.touch();
        let image = image(home, workspace.record())?;
        let launched = launch_machine(home, &image, &workspace, Purpose::Look, until);
        let (machine, _steps) = launched.map_err(|error| OpenError::NotStarted(NotStarted::from(&error)))?;
        Ok(Self { machine, workspace })
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

    /// Lists what is at `path`, at most `max` entries; their paths are absolute. What is mounted in a
    /// machine is not entered; `/tmp` can be listed by its own name.
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn list(
        &self,
        path: &RootPath,
        depth: Depth,
        max: usize,
        until: Until<'_>,
    ) -> Result<Listing, AgentError> {
        path.check_visible()?;
        let walk = Walk { beneath: b"/".to_vec().into(), path: path.0.clone().into(), depth, content: false };
        let mut files = self.agent().walk(&walk, until)?;
        let mut listing = Listing { entries: Vec::new(), truncated: false };
        while let Some(entry) = files.next_entry()? {
            let is_start = entry.path.is_empty();
            let full = path.join(&entry.path);
            if is_start && matches!(entry.kind, EntryKind::Directory { .. }) || is_runtime(&full) {
                continue;
            }
            if listing.entries.len() == max {
                listing.truncated = true;
                break;
            }
            listing.entries.push(FileEntry::of([b"/", &full[..]].concat(), &entry));
        }
        Ok(listing)
    }

    /// The beginning of a file, at most `max` bytes.
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn read(&self, path: &RootPath, max: u64, until: Until<'_>) -> Result<FileContent, AgentError> {
        path.check_visible()?;
        let (beneath, path) = (b"/".to_vec().into(), path.0.clone().into());
        let (entry, bytes) = self.agent().read(&Read { beneath, path, offset: 0, limit: max }, until)?;
        let size = if let EntryKind::File { size } = entry.kind { size } else { 0 };
        Ok(FileContent { bytes, size })
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
pub(crate) fn is_runtime(path: &[u8]) -> bool {
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
