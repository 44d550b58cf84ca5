//! What is to be done about a full disk.

use crate::error::UserError;
use pyro_workspace::is_full;
use std::error::Error;

/// What to do when the disk of the state directory is full.
pub const STATE: &str = "the disk of the state directory is full; pyro env prune frees what nothing uses";

/// What to do when the disk is full on which something was to be put for the user.
pub const OUTPUT: &str = "the disk is full; free space there, or choose another one";

/// What a user is told if that is the cause.
pub fn full(error: &(dyn Error + 'static), hint: &str) -> Option<UserError> {
    is_full(error).then(|| UserError::new("disk_full", error).hint(hint))
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
