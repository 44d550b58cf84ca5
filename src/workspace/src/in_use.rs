//! What workspaces need of the store.

use crate::directory::{Directory, WorkspaceError};
use crate::home::Home;
use crate::record::Record;
use pyro_oci::Digest;

/// The records of all workspaces, oldest first.
///
/// # Errors
/// When one cannot be read: then nobody knows what its workspace needs.
pub fn records(home: &Home) -> Result<Vec<Record>, WorkspaceError> {
    let mut records = Vec::new();
    for directory in Directory::all(home).map_err(WorkspaceError::at(&home.workspaces()))? {
        match directory.record() {
            Ok(record) => records.push(record),
            // Being made or deleted.
            Err(WorkspaceError::Gone(_)) => {}
            Err(error) => return Err(error),
        }
    }
    records.sort_by(|one, other| (one.created_at, &one.id).cmp(&(other.created_at, &other.id)));
    Ok(records)
}

/// Manifests and layers of every workspace, for [`pyro_oci::Sweep::prune`].
///
/// # Errors
/// As [`records`]; then nothing may go.
pub fn in_use(home: &Home) -> Result<Vec<Digest>, WorkspaceError> {
    Ok(records(home)?.iter().flat_map(Record::needs).collect())
}
