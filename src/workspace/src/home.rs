//! The state directory, `PYRO_HOME`.

use pyro_oci::{Store, StoreError};
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Something else has its name.
    #[error("the state directory {} is not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// It could not be made.
    #[error("the state directory {} cannot be used: {source}", path.display())]
    Io {
        /// Which directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An open state directory.
#[derive(Debug)]
pub struct Home {
    root: PathBuf,
    store: Store,
}

impl Home {
    /// Opens `root`, making what is missing; only its owner may look inside.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn open(root: &Path) -> Result<Self, HomeError> {
        let io_error = |path: &Path| {
            let path = path.to_owned();
            move |source: io::Error| match source.kind() {
                io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => HomeError::NotADirectory(path),
                _ => HomeError::Io { path, source },
            }
        };
        // Nearly always it is there, and making it would be two calls.
        let make = |path: &Path| match path.is_dir() {
            true => Ok(()),
            false => DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io_error(path)),
        };
        make(root)?;
        let root = root.canonicalize().map_err(io_error(root))?;
        // First: it refuses a directory of a newer version, in which nothing may be changed.
        let store = Store::open(&root)?;
        for part in ["cache", "lib", "workspaces"] {
            make(&root.join(part))?;
        }
        Ok(Self { root, store })
    }

    /// The directory itself, absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The images.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// What can always be made again.
    #[must_use]
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// One directory for each workspace.
    #[must_use]
    pub fn workspaces(&self) -> PathBuf {
        self.root.join("workspaces")
    }
}
