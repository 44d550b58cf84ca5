//! Locks that a crash releases: `flock` on files.
//!
//! Such a lock belongs to the open file, not to the process: a process that inherits the descriptor
//! holds it too, and it is free when the last of them is gone.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// How often a lock is tried that somebody is expected to let go of.
const EVERY: Duration = Duration::from_millis(5);

/// The lock of the file `path`; `None` if somebody else has it, or has removed the file meanwhile.
///
/// # Errors
/// What opening or locking says.
pub fn attempt(path: &Path) -> io::Result<Option<File>> {
    take(open(path)?)
}

/// The same for a file that is made if it is missing.
///
/// # Errors
/// As above.
pub fn attempt_or_make(path: &Path) -> io::Result<Option<File>> {
    take(File::options().create(true).append(true).mode(0o600).open(path)?)
}

/// The same for a file that is made now.
///
/// # Errors
/// As above.
pub fn make(path: &Path) -> io::Result<Option<File>> {
    take(File::options().create_new(true).append(true).mode(0o600).open(path)?)
}

/// The same as the first, tried until `limit` has passed: for what is held for moments only, or by
/// somebody who is going.
///
/// # Errors
/// As above.
pub fn attempt_for(path: &Path, limit: Duration) -> io::Result<Option<File>> {
    let deadline = Instant::now() + limit;
    loop {
        let lock = attempt(path)?;
        if lock.is_some() || Instant::now() >= deadline {
            return Ok(lock);
        }
        std::thread::sleep(EVERY);
    }
}

/// Waits for a lock that is never held for long. The file is made if it is missing.
///
/// # Errors
/// What opening or locking says.
pub fn wait(path: &Path) -> io::Result<File> {
    let file = File::options().create(true).append(true).mode(0o600).open(path)?;
    file.lock()?;
    Ok(file)
}

fn take(file: File) -> io::Result<Option<File>> {
    match file.try_lock() {
        // A lock on a file that was deleted meanwhile is no lock.
        Ok(()) => Ok((file.metadata()?.nlink() > 0).then_some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Opens a file to be locked or touched, without making it: a directory that is being removed must not
/// get new files.
///
/// # Errors
/// What opening says.
pub fn open(path: &Path) -> io::Result<File> {
    File::options().append(true).open(path)
}
