//! A full disk, wherever in the causes of an error it is.

use crate::error::UserError;
use std::error::Error;
use std::io::{self, ErrorKind};

/// What to do when the disk of the state directory is full.
pub const STATE: &str = "the disk of the state directory is full; pyro env prune frees what nothing uses";

/// What to do when the disk is full on which something was to be put for the user.
pub const OUTPUT: &str = "the disk is full; free space there, or choose another one";

/// What a user is told if that is the cause.
pub fn full(error: &(dyn Error + 'static), hint: &str) -> Option<UserError> {
    let mut cause = Some(error);
    while let Some(error) = cause.filter(|cause| !is_full(*cause)) {
        cause = error.source();
    }
    cause.map(|_| UserError::new("disk_full", error).hint(hint))
}

/// The disk is full, or the user's share of it.
fn is_full(error: &(dyn Error + 'static)) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
}

#[cfg(test)]
mod tests {
    use super::{OUTPUT, STATE, full};
    use pyro_workspace::WorkspaceError;
    use pyro_workspace::live::ExportError;
    use std::io;

    #[test]
    fn a_full_disk_is_found_among_the_causes() {
        let source = || io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error());
        let error = WorkspaceError::Io { path: "x".into(), source: source() };
        let told = full(&error, STATE).unwrap();
        assert_eq!((told.code, told.hint.as_deref()), ("disk_full", Some(STATE)));
        assert!(full(&ExportError::Host { path: "x".into(), source: source() }, OUTPUT).is_some());
        let other = io::Error::from_raw_os_error(rustix::io::Errno::NOENT.raw_os_error());
        assert!(full(&ExportError::Host { path: "x".into(), source: other }, OUTPUT).is_none());
    }
}
