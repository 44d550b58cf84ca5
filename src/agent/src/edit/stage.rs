//! Where new files wait, and replaced ones.

use crate::failure::Named;
use crate::files::{READ, remove};
use pyro_protocol::Failure;
use rustix::fs::ftruncate;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, unlinkat};
use rustix::io::{Errno, pwrite};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

/// The directory in the root that holds the stages of all edits, while there are any.
pub const STAGING: &[u8] = b".pyro-edits";

/// How many stages there are, and how many there were: the number of the next one.
static STAGES: Mutex<(usize, u64)> = Mutex::new((0, 0));

/// What failures call it: nobody asked for this path.
const NAME: &[u8] = b"the staging directory";

/// A directory of one edit, removed with all that is in it when dropped.
pub struct Stage {
    above: OwnedFd,
    name: CString,
    directory: OwnedFd,
}

impl Stage {
    /// Makes an empty one.
    pub fn new() -> Result<Self, Failure> {
        let mut stages = STAGES.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, next) = &mut *stages;
        let staging = [b"/", STAGING].concat();
        let root = openat(CWD, c"/", READ | OFlags::DIRECTORY, Mode::empty()).of(NAME)?;
        let own = CString::new(STAGING).expect("a constant without NUL");
        if *count == 0 {
            // What is there belongs to a machine that was killed.
            match remove(&root, &own) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error).of(NAME),
            }
            mkdirat(&root, &own, Mode::RWXU).of(NAME)?;
        }
        let flags = READ | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let above = openat(CWD, staging, flags, Mode::empty()).of(NAME)?;
        let name = CString::new(next.to_string()).expect("a number without NUL");
        mkdirat(&above, &name, Mode::RWXU).of(NAME)?;
        let directory = openat(&above, &name, flags, Mode::empty()).of(NAME)?;
        *count += 1;
        *next += 1;
        Ok(Self { above, name, directory })
    }

    /// A new file in it.
    pub fn create(&self, name: &CString) -> Result<StagedFile, Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        Ok(StagedFile { file: openat(&self.directory, name, flags, Mode::RUSR | Mode::WUSR)?, length: 0 })
    }
}

impl AsFd for Stage {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let mut stages = STAGES.lock().unwrap_or_else(PoisonError::into_inner);
        // What cannot be removed now is removed by the first edit that finds no other.
        let _ = remove(&self.above, &self.name);
        stages.0 -= 1;
        if stages.0 == 0 {
            let staging = [b"/", STAGING].concat();
            let _ = unlinkat(CWD, staging, AtFlags::REMOVEDIR);
        }
    }
}

/// A file that is being written.
pub struct StagedFile {
    file: OwnedFd,
    length: u64,
}

impl StagedFile {
    /// Appends `bytes`; those that are all zero become a hole.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        let mut rest = if bytes.iter().all(|&byte| byte == 0) { &[] } else { bytes };
        let mut offset = self.length;
        while !rest.is_empty() {
            match pwrite(&self.file, rest, offset) {
                Ok(count) => {
                    rest = &rest[count..];
                    offset += count as u64;
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Ends it where it ends.
    pub fn finish(self) -> Result<(), Errno> {
        ftruncate(&self.file, self.length)
    }
}
