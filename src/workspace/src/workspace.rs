//! A workspace that this process answers for: it holds the lock.

use crate::directory::{Directory, Generation, WorkspaceError, make_directory, remove_all};
use crate::failpoint;
use crate::home::Home;
use crate::id::{Name, WorkspaceId};
use crate::lock;
use crate::record::{ExecutionMode, NetworkPolicy, Record, Resources, State, VERSION};
use crate::seed::SeedFacts;
use crate::upper;
use jiff::Timestamp;
use pyro_oci::{Digest, Image};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;

/// File whose lock is held while names are compared and one is taken.
const NAMES_LOCK: &str = ".names.lock";

/// How to make a workspace.
#[derive(Clone, Debug)]
pub struct CreateSpec {
    /// What it is called.
    pub name: Option<Name>,
    /// What is to be remembered of it.
    pub labels: BTreeMap<Name, String>,
    /// What it may use.
    pub resources: Resources,
    /// How it runs.
    pub execution_mode: ExecutionMode,
    /// Where its files come from.
    pub seed: Option<SeedFacts>,
    /// What is above the image's layers, lowest first.
    pub layers: Vec<Digest>,
    /// Whether it goes with this process.
    pub ephemeral: bool,
    /// Seconds without activity after which it is deleted.
    pub ttl_seconds: u64,
}

/// A workspace that this process answers for. Dropping it deletes it if it is ephemeral or was never
/// started.
#[derive(Debug)]
pub struct Workspace {
    directory: Directory,
    record: Record,
    /// Released last, when the directory is gone.
    lock: File,
}

impl Workspace {
    /// Makes a workspace of `image`. No byte of a layer is read. A failure leaves nothing, and no name
    /// taken. The caller holds the store.
    ///
    /// # Errors
    /// [`WorkspaceError`].
    pub fn create(home: &Home, image: &Image, spec: &CreateSpec) -> Result<Self, WorkspaceError> {
        let names = spec.name.as_ref().map(|name| Names::reserve(home, name, None)).transpose()?;
        let (directory, lock) = claim(home)?;
        let record = Record {
            version: VERSION,
            id: directory.id().clone(),
            name: spec.name.clone(),
            labels: spec.labels.clone(),
            environment: image.reference.clone(),
            manifest: image.manifest,
            diff_ids: image.diff_ids(),
            seed: spec.seed.clone(),
            baseline: spec.layers.clone(),
            layers: spec.layers.clone(),
            committed: Vec::new(),
            snapshots: Vec::new(),
            execution_mode: spec.execution_mode,
            resources: spec.resources,
            network_policy: NetworkPolicy::Off,
            ephemeral: spec.ephemeral,
            created_at: Timestamp::now(),
            ttl_seconds: spec.ttl_seconds,
            generation: 0,
            state: State::Creating,
        };
        // From here on dropping it removes everything.
        let workspace = Self { directory, record, lock };
        failpoint::pass("create.claimed");
        workspace.furnish()?;
        drop(names);
        Ok(workspace)
    }

    fn furnish(&self) -> Result<(), WorkspaceError> {
        let path = self.directory.path();
        for name in ["record.lock", "activity"] {
            let path = path.join(name);
            File::create_new(&path).map_err(WorkspaceError::at(&path))?;
        }
        self.record.save(path)?;
        for part in ["logs", "run", "gen"] {
            make_directory(&path.join(part))?;
        }
        failpoint::pass("create.furnished");
        self.generate(&self.generation())
    }

    /// Takes over a workspace whose lock this process was given with its record as it is now.
    ///
    /// # Errors
    /// When there is no record that can be read.
    pub(crate) fn adopt(directory: Directory, lock: File) -> Result<Self, WorkspaceError> {
        Ok(Self { record: directory.record()?, directory, lock })
    }

    /// Takes the lock of a workspace of which nothing runs.
    ///
    /// # Errors
    /// [`WorkspaceError::Busy`] and [`WorkspaceError::Gone`], among others.
    pub(crate) fn open(directory: &Directory) -> Result<Self, WorkspaceError> {
        let gone = |error: WorkspaceError| match error.is_missing() {
            true => WorkspaceError::Gone(directory.id().clone()),
            false => error,
        };
        let lock = directory.lock().map_err(gone)?;
        Self::adopt(directory.clone(), lock.ok_or_else(|| WorkspaceError::Busy(directory.id().clone()))?)
    }

    /// Makes a generation: an empty writable layer and no history. What a crash left there is removed.
    pub(crate) fn generate(&self, generation: &Generation) -> Result<(), WorkspaceError> {
        remove_all(generation.path())?;
        make_directory(generation.path())?;
        make_directory(&generation.commands())?;
        failpoint::pass("generation.made");
        match self.record.execution_mode {
            ExecutionMode::GuestVsock => {
                let path = generation.upper();
                upper::create(&path, self.record.resources.disk_mib).map_err(WorkspaceError::at(&path))?;
            }
            ExecutionMode::HostCompat => make_directory(&generation.writable())?,
        }
        failpoint::pass("generation.filled");
        Ok(())
    }

    /// What is recorded of it.
    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// Where it is.
    #[must_use]
    pub const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The live generation.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.directory.generation(self.record.generation)
    }

    /// The lock, for a process that shares it: it is free when both are done with it.
    pub(crate) fn share_lock(&self) -> io::Result<File> {
        self.lock.try_clone()
    }

    /// Changes the record.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Record)) -> Result<(), WorkspaceError> {
        self.record = self.directory.edit(|record| {
            change(record);
            Ok::<_, WorkspaceError>(())
        })?;
        Ok(())
    }

    /// Removes what a machine that is gone left in its directory for sockets.
    pub(crate) fn clear_run_dir(&self) -> Result<(), WorkspaceError> {
        let path = self.directory.run_dir();
        match fs::read_dir(&path) {
            // It stays: making it again takes room that a full disk does not have.
            Ok(entries) => entries.flatten().try_for_each(|entry| remove_all(&entry.path())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => make_directory(&path),
            Err(error) => Err(WorkspaceError::at(&path)(error)),
        }
    }

    /// Lets go of it: others may answer for it now.
    pub fn release(mut self) -> Directory {
        // Whatever it was: it is no longer ours to delete.
        self.record.ephemeral = false;
        self.record.state = State::Stopped;
        self.directory.clone()
    }

    /// Removes it from the disk. Nothing of it may run.
    ///
    /// # Errors
    /// [`WorkspaceError::Io`] with the first path that could not be removed.
    pub fn delete(self) -> Result<(), WorkspaceError> {
        let directory = self.directory.clone();
        directory.remove()?;
        drop(self.release());
        Ok(())
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if (self.record.ephemeral || self.record.state == State::Creating)
            && let Err(error) = self.directory.remove()
        {
            tracing::warn!(%error, "a workspace's directory stays behind; the next command removes it");
        }
    }
}

/// The names of all workspaces: nobody else takes one.
pub(crate) struct Names {
    _lock: File,
}

impl Names {
    /// Waits until nobody else takes a name, and sees that no workspace but `own` has this one.
    pub(crate) fn reserve(
        home: &Home,
        name: &Name,
        own: Option<&WorkspaceId>,
    ) -> Result<Self, WorkspaceError> {
        if WorkspaceId::may_begin(name.as_str()) {
            return Err(WorkspaceError::NameOfId(name.to_string()));
        }
        let path = home.workspaces().join(NAMES_LOCK);
        let lock = lock::wait(&path).map_err(WorkspaceError::at(&path))?;
        let all = Directory::all(home).map_err(WorkspaceError::at(&home.workspaces()))?;
        for directory in all {
            // One that cannot be read has no name that anybody could use.
            if let Ok(record) = directory.record()
                && record.name.as_ref() == Some(name)
                && own != Some(&record.id)
            {
                return Err(WorkspaceError::NameTaken { name: name.to_string(), id: record.id });
            }
        }
        Ok(Self { _lock: lock })
    }
}

/// Makes a directory under a new identity and takes its lock.
fn claim(home: &Home) -> Result<(Directory, File), WorkspaceError> {
    loop {
        let id = WorkspaceId::random().map_err(WorkspaceError::at("random bytes".as_ref()))?;
        let directory = Directory::of(home, &id);
        make_directory(directory.path())?;
        failpoint::pass("create.directory");
        // Between the two, another process may have taken the directory for an orphan: then it is
        // gone, or going, and this one takes another identity.
        let path = directory.path().join("lock");
        match lock::make(&path) {
            Ok(Some(lock)) => return Ok((directory, lock)),
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let _ = directory.remove();
                return Err(WorkspaceError::at(&path)(error));
            }
        }
    }
}
