//! Clones that nobody needs any more.

use super::{Place, RepositoryError, UPDATE, clones, failed};
use crate::home::Home;
use crate::lock;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// How long a clone is kept that no server asks for. Each does so at its start, and which will be started
/// again is written in configurations that pyro does not know: what is used every few weeks stays.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The clones of a repository that nobody uses, and nobody can use while this lives.
#[derive(Debug)]
pub struct IdleClone {
    /// The directory, which may be moved away.
    pub path: PathBuf,
    _locks: [File; 2],
}

/// The clones that nobody has asked for in a month, or all that nobody uses now.
///
/// # Errors
/// When the cache cannot be read.
pub fn idle_clones(home: &Home, all: bool) -> Result<Vec<IdleClone>, RepositoryError> {
    let directory = clones(home);
    let entries = match fs::read_dir(&directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed(&directory))?,
    };
    let mut idle = Vec::new();
    for entry in entries {
        let place = Place { directory: entry.map_err(failed(&directory))?.path() };
        idle.extend(place.idle(all)?);
    }
    idle.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(idle)
}

impl Place {
    fn idle(self, all: bool) -> Result<Option<IdleClone>, RepositoryError> {
        let path = self.directory.join(UPDATE);
        let update = match lock::attempt(&path) {
            Ok(Some(update)) => update,
            Ok(None) => return Ok(None),
            // It is none of ours, or not yet one.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(failed(&path)(error)),
        };
        let asked = update.metadata().and_then(|file| file.modified()).map_err(failed(&path))?;
        // A clock that was put back makes nothing idle.
        if !all && asked.elapsed().unwrap_or_default() < KEPT {
            return Ok(None);
        }
        let used = self.used()?;
        match used.try_lock() {
            Ok(()) => Ok(Some(IdleClone { path: self.directory, _locks: [update, used] })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed(&self.directory)(error)),
        }
    }
}
