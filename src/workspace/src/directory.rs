//! A workspace's directory: what lies where in it, and how it is changed.
//!
//! ```text
//! workspaces/<id>/
//!   workspace.json   the record
//!   record.lock      held for moments, to change the record
//!   lock             held by the process that answers for the workspace, and by its machine
//!   activity         its time of modification is that of the last activity
//!   gen/<n>/         what a reset throws away; the record's `generation` names the live one
//!     upper.img      the writable disk of a microVM, or
//!     writable/      the writable directory of a machine of namespaces
//!     commands/      what was run, with its output
//!   logs/            console.log, supervisor.log
//!   run/             sockets, while a machine runs
//! ```

use crate::failpoint;
use crate::home::Home;
use crate::id::WorkspaceId;
use crate::lock;
use crate::record::{Record, RecordError};
use jiff::Timestamp;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, utimensat};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Why a workspace could not be made, read, changed or removed.
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
    /// Another workspace has the name.
    #[error("the name {name} is taken by {id}")]
    NameTaken {
        /// The name.
        name: String,
        /// Who has it.
        id: WorkspaceId,
    },
    /// What could be an id is no name: one could not be told from the other.
    #[error("no workspace can be called {0}: ids begin so")]
    NameOfId(String),
    /// Another process answers for it and does not let go.
    #[error("{0} is being worked on by another pyro process")]
    Busy(WorkspaceId),
    /// It was deleted meanwhile.
    #[error("{0} was deleted")]
    Gone(WorkspaceId),
}

impl WorkspaceError {
    /// For `map_err`: with which file it failed.
    pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.into(), source }
    }

    /// Whether what it is about is not there.
    pub(crate) fn is_missing(&self) -> bool {
        match self {
            Self::Io { source, .. } | Self::Record(RecordError::Io { source, .. }) => {
                source.kind() == io::ErrorKind::NotFound
            }
            Self::Gone(_) => true,
            _ => false,
        }
    }
}

/// The directory of a workspace. Holds no lock, and promises nothing about what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    id: WorkspaceId,
    path: PathBuf,
}

impl Directory {
    /// That of `id`.
    #[must_use]
    pub fn of(home: &Home, id: &WorkspaceId) -> Self {
        Self { path: home.workspaces().join(id.as_str()), id: id.clone() }
    }

    /// Those of all workspaces, in no order.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn all(home: &Home) -> io::Result<Vec<Self>> {
        let of = |entry: fs::DirEntry| {
            let id = WorkspaceId::try_from(entry.file_name().into_string().ok()?).ok()?;
            Some(Self { id, path: entry.path() })
        };
        let entries: Vec<fs::DirEntry> = fs::read_dir(home.workspaces())?.collect::<io::Result<_>>()?;
        Ok(entries.into_iter().filter_map(of).collect())
    }

    /// Whose it is.
    #[must_use]
    pub const fn id(&self) -> &WorkspaceId {
        &self.id
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where its sockets are while a machine runs.
    #[must_use]
    pub fn run_dir(&self) -> PathBuf {
        self.path.join("run")
    }

    /// The console of its machine.
    #[must_use]
    pub fn console(&self) -> PathBuf {
        self.path.join("logs/console.log")
    }

    /// What its supervisor has to say to us.
    #[must_use]
    pub fn supervisor_log(&self) -> PathBuf {
        self.path.join("logs/supervisor.log")
    }

    /// A generation of it.
    #[must_use]
    pub fn generation(&self, number: u32) -> Generation {
        Generation(self.path.join("gen").join(number.to_string()))
    }

    /// Its record, as it is now.
    ///
    /// # Errors
    /// [`WorkspaceError::Gone`] if there is none.
    pub fn record(&self) -> Result<Record, WorkspaceError> {
        match Record::load(&self.path) {
            Err(RecordError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Err(WorkspaceError::Gone(self.id.clone()))
            }
            other => Ok(other?),
        }
    }

    /// Changes the record: nobody else does so between reading and writing. Nothing is written if
    /// nothing has changed.
    ///
    /// # Errors
    /// What `change` says; then the record is as it was.
    pub fn edit<E: From<WorkspaceError>>(
        &self,
        change: impl FnOnce(&mut Record) -> Result<(), E>,
    ) -> Result<Record, E> {
        let path = self.path.join("record.lock");
        let locked = lock::open(&path).and_then(|file| file.lock().map(|()| file));
        let lock = locked.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => WorkspaceError::Gone(self.id.clone()),
            _ => WorkspaceError::at(&path)(error),
        })?;
        let before = self.record()?;
        let mut record = before.clone();
        change(&mut record)?;
        if record != before {
            record.save(&self.path).map_err(WorkspaceError::from)?;
        }
        drop(lock);
        Ok(record)
    }

    /// Takes the lock, for as long as it is held; `None` if another process has it.
    ///
    /// # Errors
    /// When there is no such directory, or it cannot be used.
    pub(crate) fn lock(&self) -> Result<Option<File>, WorkspaceError> {
        let path = self.path.join("lock");
        lock::attempt(&path).map_err(WorkspaceError::at(&path))
    }

    /// The same for a lock that others are expected to let go of.
    pub(crate) fn lock_for(&self, limit: std::time::Duration) -> Result<Option<File>, WorkspaceError> {
        let path = self.path.join("lock");
        lock::attempt_for(&path, limit).map_err(WorkspaceError::at(&path))
    }

    /// Notes that something was done with it.
    pub fn touch(&self) {
        let path = self.path.join("activity");
        // Not the kernel's own time, which is the last tick's: who was first would not be told.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec {
                tv_sec: now.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: now.subsec_nanos().into(),
            },
        };
        let touched = utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(io::Error::from);
        match touched {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "the time of the last activity is not kept");
            }
            _ => {}
        }
    }

    /// When something was last done with it.
    #[must_use]
    pub fn last_activity(&self, record: &Record) -> Timestamp {
        let time = fs::metadata(self.path.join("activity")).and_then(|file| file.modified());
        time.ok().and_then(|time| Timestamp::try_from(time).ok()).unwrap_or(record.created_at)
    }

    /// Removes it. Nothing of it may run, and the caller holds the lock. From the removal of the record
    /// on there is no such workspace, whatever happens.
    pub(crate) fn remove(&self) -> Result<(), WorkspaceError> {
        let record = self.path.join("workspace.json");
        failpoint::pass("remove.before");
        match fs::remove_file(&record) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(WorkspaceError::at(&record)(error));
            }
            _ => {}
        }
        failpoint::pass("remove.record");
        self.remove_side_by_side();
        // The lock's file goes last: as long as it is there, its lock is worth something.
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            if entry.file_name() != "lock" {
                remove_all(&entry.path())?;
            }
        }
        failpoint::pass("remove.content");
        remove_all(&self.path)
    }

    /// Removes most of what is there. A file system that discards what is freed waits for the disk at
    /// each directory's end, and an overlay alone leaves five. What fails here is tried again, and told
    /// of, by whoever removes the rest.
    fn remove_side_by_side(&self) {
        let generations = fs::read_dir(self.path.join("gen")).into_iter().flatten().flatten();
        let of_generation = |entry: fs::DirEntry| {
            ["commands", "writable/tmp", "writable/upper", "writable/work"]
                .map(|part| entry.path().join(part))
        };
        let parts = ["logs", "run"].map(|part| self.path.join(part));
        std::thread::scope(|scope| {
            for part in parts.into_iter().chain(generations.flat_map(of_generation)) {
                if part.is_dir() {
                    let _ = std::thread::Builder::new().spawn_scoped(scope, move || fs::remove_dir_all(part));
                }
            }
        });
    }
}

/// What a reset throws away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation(PathBuf);

impl Generation {
    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The writable disk of a microVM.
    #[must_use]
    pub fn upper(&self) -> PathBuf {
        self.0.join("upper.img")
    }

    /// The writable directory of a machine of namespaces.
    #[must_use]
    pub fn writable(&self) -> PathBuf {
        self.0.join("writable")
    }

    /// What was run.
    #[must_use]
    pub fn commands(&self) -> PathBuf {
        self.0.join("commands")
    }
}

/// Makes a directory for its owner alone.
pub(crate) fn make_directory(path: &Path) -> Result<(), WorkspaceError> {
    DirBuilder::new().mode(0o700).create(path).map_err(WorkspaceError::at(path))
}

/// Removes a file, or a directory of ours with all that a machine left in it.
pub(crate) fn remove_all(path: &Path) -> Result<(), WorkspaceError> {
    let denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    let remove = || match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => fs::remove_file(path),
        other => other,
    };
    let removed = match remove() {
        // In a machine of namespaces root may well have closed directories to itself.
        Err(error) if denied(&error) => {
            open_up(path);
            remove()
        }
        other => other,
    };
    match removed {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(WorkspaceError::at(path)(source)),
        _ => Ok(()),
    }
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
