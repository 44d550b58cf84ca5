//! A full disk, wherever in the causes of an error it is.

use std::error::Error;
use std::io::{self, ErrorKind};

/// Whether an error comes of a disk that is full, or of the user's share of it.
#[must_use]
pub fn is_full(error: &(dyn Error + 'static)) -> bool {
    let of_io = |error: &io::Error| matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref().is_some_and(of_io) {
            return true;
        }
        cause = error.source();
    }
    false
}
