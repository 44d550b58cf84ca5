//! What workspaces need of the store.

use crate::home::Home;
use crate::record::{Record, RecordError};
use pyro_oci::Digest;
use std::fs;
use std::io;

/// Manifests and layers of every workspace, for [`pyro_oci::Sweep::prune`].
///
/// # Errors
/// When a record cannot be read: then nobody knows what its workspace needs, and nothing may go.
pub fn in_use(home: &Home) -> Result<Vec<Digest>, RecordError> {
    let directory = home.workspaces();
    let unlisted = |source| RecordError::Io { path: directory.clone(), source };
    let mut needed = Vec::new();
    for entry in fs::read_dir(&directory).map_err(unlisted)? {
        match Record::load(&entry.map_err(unlisted)?.path()) {
            Ok(record) => {
                needed.push(record.manifest);
                needed.extend(record.diff_ids);
                needed.extend(record.delta);
            }
            // Being made or deleted.
            Err(RecordError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(needed)
}
