//! What workspaces need of the store.

use crate::directory::{Directory, WorkspaceError};
use crate::home::Home;
use pyro_oci::Digest;

/// Manifests and layers of every workspace, for [`pyro_oci::Sweep::prune`].
///
/// # Errors
/// When a record cannot be read: then nobody knows what its workspace needs, and nothing may go.
pub fn in_use(home: &Home) -> Result<Vec<Digest>, WorkspaceError> {
    let mut needed = Vec::new();
    for directory in Directory::all(home).map_err(WorkspaceError::at(&home.workspaces()))? {
        match directory.record() {
            Ok(record) => needed.extend(record.needs()),
            // Being made or deleted.
            Err(WorkspaceError::Gone(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(needed)
}
