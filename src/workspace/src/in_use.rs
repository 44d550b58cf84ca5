//! What workspaces need of the store.

use crate::home::Home;
use crate::record::{Record, RecordError};
use pyro_oci::Digest;
use std::fs;
use std::io;

/// The records of all workspaces, oldest first.
///
/// # Errors
/// When one cannot be read: then nobody knows what its workspace needs.
pub fn records(home: &Home) -> Result<Vec<Record>, RecordError> {
    let directory = home.workspaces();
    let unlisted = |source| RecordError::Io { path: directory.clone(), source };
    let mut records = Vec::new();
    for entry in fs::read_dir(&directory).map_err(unlisted)? {
        match Record::load(&entry.map_err(unlisted)?.path()) {
            Ok(record) => records.push(record),
            // Being made or deleted.
            Err(RecordError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
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
pub fn in_use(home: &Home) -> Result<Vec<Digest>, RecordError> {
    let needs = |record: Record| std::iter::once(record.manifest).chain(record.diff_ids).chain(record.delta);
    Ok(records(home)?.into_iter().flat_map(needs).collect())
}
