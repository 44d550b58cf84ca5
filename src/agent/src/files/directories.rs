//! Making directories for somebody.

use crate::failure::Named;
use pyro_protocol::Failure;
use pyro_sys::spawn::Identity;
use rustix::fs::AtFlags;
use rustix::fs::{CWD, Mode, chownat, mkdir, rmdir, stat};
use rustix::io::Errno;

/// Directories that were made, the highest first.
#[derive(Default)]
pub struct Made(Vec<Vec<u8>>);

impl Made {
    /// Removes them again, as far as they are empty.
    pub fn undo(self) {
        for path in self.0.iter().rev() {
            let _ = rmdir(path.as_slice());
        }
    }
}

/// Makes the directory `path`, and those on the way to it that are missing, for `owner`.
pub fn make_directories(path: &[u8], owner: &Identity) -> Result<Made, Failure> {
    let mut made = Made::default();
    if stat(path).is_ok() {
        return Ok(made);
    }
    let ends = path.iter().enumerate().filter(|&(at, &byte)| at > 0 && byte == b'/').map(|(at, _)| at);
    for end in ends.chain([path.len()]) {
        let part = &path[..end];
        let result = match mkdir(part, Mode::from_raw_mode(0o755)) {
            Ok(()) => {
                made.0.push(part.to_vec());
                chownat(CWD, part, Some(owner.uid), Some(owner.gid), AtFlags::SYMLINK_NOFOLLOW)
            }
            Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(failure) = result.of(part) {
            made.undo();
            return Err(failure);
        }
    }
    Ok(made)
}
