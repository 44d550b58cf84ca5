//! A workspace on disk: its directory, its lock, its record, its writable layer.
//!
//! ```text
//! workspaces/<id>/
//!   workspace.json   the record
//!   lock             held (flock) by the process that answers for the workspace
//!   upper.img        the writable disk of a microVM, or
//!   writable/        the writable directory of a machine of namespaces
//!   logs/            console.log
//!   run/             sockets, while a machine runs
//! ```

use crate::home::Home;
use crate::id::WorkspaceId;
use crate::record::{self, ExecutionMode, Record, RecordError, Resources, VERSION};
use crate::upper;
use jiff::Timestamp;
use pyro_oci::{Digest, Image};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Name of the lock in the directory of a workspace.
const LOCK: &str = "lock";

/// How to make a workspace.
#[derive(Clone, Debug)]
pub struct CreateSpec {
    /// Layers on top of the image, lowest first; only ones that this program wrote.
    pub delta: Vec<Digest>,
    /// What it may use.
    pub resources: Resources,
    /// How it runs.
    pub execution_mode: ExecutionMode,
    /// Whether it goes with this process.
    pub ephemeral: bool,
    /// Seconds without activity after which it is deleted.
    pub ttl_seconds: u64,
}

/// Why a workspace could not be made or removed.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// A file or directory of the workspace.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its record.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// A workspace that this process answers for. If it is ephemeral, dropping it deletes it.
#[derive(Debug)]
pub struct Workspace {
    directory: PathBuf,
    record: Record,
    /// Released last, when the directory is gone.
    _lock: File,
}

impl Workspace {
    /// Makes a workspace of `image`. No byte of a layer is read. A failure leaves nothing.
    ///
    /// # Errors
    /// [`WorkspaceError`].
    pub fn create(home: &Home, image: &Image, spec: &CreateSpec) -> Result<Self, WorkspaceError> {
        let (id, lock) = claim(home)?;
        let directory = home.workspaces().join(id.as_str());
        let undo = Undo(&directory);
        let record = Record {
            version: VERSION,
            id,
            environment: image.reference.to_string(),
            manifest: image.manifest,
            diff_ids: image.diff_ids(),
            delta: spec.delta.clone(),
            execution_mode: spec.execution_mode,
            resources: spec.resources,
            ephemeral: spec.ephemeral,
            created_at: Timestamp::now(),
            ttl_seconds: spec.ttl_seconds,
        };
        record.save(&directory)?;
        for part in ["logs", "run"] {
            make_directory(&directory.join(part))?;
        }
        match spec.execution_mode {
            ExecutionMode::GuestVsock => {
                let path = directory.join("upper.img");
                upper::create(&path, spec.resources.disk_mib)
                    .map_err(|source| WorkspaceError::Io { path, source })?;
            }
            ExecutionMode::HostCompat => make_directory(&directory.join("writable"))?,
        }
        std::mem::forget(undo);
        Ok(Self { directory, record, _lock: lock })
    }

    /// What is recorded of it.
    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// The writable disk of a microVM.
    #[must_use]
    pub fn upper(&self) -> PathBuf {
        self.directory.join("upper.img")
    }

    /// The writable directory of a machine of namespaces.
    #[must_use]
    pub fn writable(&self) -> PathBuf {
        self.directory.join("writable")
    }

    /// Where its sockets are while a machine runs.
    #[must_use]
    pub fn run_dir(&self) -> PathBuf {
        self.directory.join("run")
    }

    /// The console of its machine.
    #[must_use]
    pub fn console(&self) -> PathBuf {
        self.directory.join("logs/console.log")
    }

    /// Removes it from the disk. Nothing of it may run.
    ///
    /// # Errors
    /// [`WorkspaceError::Io`] with the first path that could not be removed.
    pub fn delete(mut self) -> Result<(), WorkspaceError> {
        self.record.ephemeral = false;
        remove(&self.directory)
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if self.record.ephemeral
            && let Err(error) = remove(&self.directory)
        {
            tracing::warn!(%error, "a workspace's directory stays behind; the next command removes it");
        }
    }
}

/// Deletes ephemeral workspaces whose process is gone (it was killed), and directories that a
/// killed `create` left without a record. Returns how many.
pub fn reap(home: &Home) -> usize {
    let Ok(entries) = fs::read_dir(home.workspaces()) else { return 0 };
    let orphaned = |directory: &Path| match Record::load(directory) {
        Ok(record) => record.ephemeral,
        Err(RecordError::Io { source, .. }) => source.kind() == io::ErrorKind::NotFound,
        Err(RecordError::Malformed { .. } | RecordError::Newer { .. }) => false,
    };
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|directory| {
            // The lock is taken before the record is read: its owner writes the record under it.
            match lock(directory, File::options().append(true)) {
                Ok(Some(_lock)) => orphaned(directory) && remove(directory).is_ok(),
                // Its owner was killed as the directory's first or last moment came: it is empty. If
                // the owner lives, it notices.
                Err(error) if is_missing(&error) => fs::remove_dir(directory).is_ok(),
                _ => false,
            }
        })
        .count()
}

/// Makes a directory under a new identity and takes its lock.
fn claim(home: &Home) -> Result<(WorkspaceId, File), WorkspaceError> {
    loop {
        let id = WorkspaceId::random()
            .map_err(|source| WorkspaceError::Io { path: "random bytes".into(), source })?;
        let directory = home.workspaces().join(id.as_str());
        make_directory(&directory)?;
        // Between the two, another process may have taken the directory for an orphan: then it
        // is gone, or going, and this one takes another identity.
        match lock(&directory, File::options().append(true).create(true)) {
            Ok(Some(lock)) => return Ok((id, lock)),
            Ok(None) => {}
            Err(error) if is_missing(&error) => {}
            Err(error) => {
                let _ = remove(&directory);
                return Err(error);
            }
        }
    }
}

/// Takes the lock of the workspace in `directory`; `None` if another process has it. Only who makes
/// a workspace makes the file: elsewhere it would get in the way of one who deletes the directory.
fn lock(directory: &Path, options: &OpenOptions) -> Result<Option<File>, WorkspaceError> {
    let path = directory.join(LOCK);
    let io_error = |source| WorkspaceError::Io { path: path.clone(), source };
    let file = options.open(&path).map_err(io_error)?;
    match file.try_lock() {
        // A lock on a file that was deleted meanwhile is no lock.
        Ok(()) => Ok((file.metadata().map_err(io_error)?.nlink() > 0).then_some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(io_error(source)),
    }
}

fn is_missing(error: &WorkspaceError) -> bool {
    matches!(error, WorkspaceError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}

fn make_directory(path: &Path) -> Result<(), WorkspaceError> {
    DirBuilder::new()
        .mode(0o700)
        .create(path)
        .map_err(|source| WorkspaceError::Io { path: path.into(), source })
}

/// What of a workspace's directory is removed side by side.
const PARTS: [&str; 5] = ["logs", "run", "writable/tmp", "writable/upper", "writable/work"];

/// Removes a directory of ours with all that a machine left in it.
fn remove(directory: &Path) -> Result<(), WorkspaceError> {
    // First of all, so that whatever is killed here leaves an orphan.
    let _ = fs::remove_file(directory.join(record::FILE));
    // A file system that discards what is freed waits for the disk at each directory's end, and an
    // overlay alone leaves five. What fails here is tried again, and told of, below.
    std::thread::scope(|scope| {
        for part in PARTS.map(|part| directory.join(part)) {
            if part.is_dir() {
                let _ = std::thread::Builder::new().spawn_scoped(scope, move || fs::remove_dir_all(part));
            }
        }
    });
    let denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    let removed = match remove_parts(directory) {
        // In a machine of namespaces root may well have closed directories to itself.
        Err(error) if denied(&error) => {
            open_up(directory);
            remove_parts(directory)
        }
        other => other,
    };
    match removed {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(WorkspaceError::Io { path: directory.into(), source })
        }
        _ => Ok(()),
    }
}

/// The lock last, so that [`reap`] can go on wherever this was killed.
fn remove_parts(directory: &Path) -> io::Result<()> {
    let remove_file = |path: &Path| match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        match entry.file_type()? {
            kind if kind.is_dir() => fs::remove_dir_all(entry.path())?,
            _ if entry.file_name() == LOCK => {}
            _ => remove_file(&entry.path())?,
        }
    }
    remove_file(&directory.join(LOCK))?;
    fs::remove_dir(directory)
}

/// Lets the owner into every directory at and below `directory`; follows no link.
fn open_up(directory: &Path) {
    let _ = fs::set_permissions(directory, fs::Permissions::from_mode(0o700));
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

/// Removes a half-made directory when `create` fails.
struct Undo<'a>(&'a Path);

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        let _ = remove(self.0);
    }
}
