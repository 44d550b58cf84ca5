//! Directories of ours beside the user's files, in which something is made before it is there.
//!
//! Each is locked as long as a process works in it, so whoever makes the next one knows those that a
//! killed process has left. Such a name may also be in what a guest or a stranger's repository has:
//! what is in a directory of that name is believed only as far as anything of a stranger is.

#[cfg(test)]
mod tests;

use rustix::fs::{
    AtFlags, Dir, FlockOperation, Mode, OFlags, RenameFlags, flock, fstat, mkdirat, openat, renameat_with,
    unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;
use std::cell::Cell;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Opens directories, and no links.
pub const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What such a directory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// What is exported.
    Export,
    /// What is applied.
    Apply,
}

impl Purpose {
    /// Begins the names of such directories; sixteen hexadecimal digits follow.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Export => ".pyro-export-",
            Self::Apply => ".pyro-apply-",
        }
    }

    fn names(self, name: &[u8]) -> bool {
        name.strip_prefix(self.prefix().as_bytes())
            .is_some_and(|rest| rest.len() == 16 && rest.iter().all(u8::is_ascii_hexdigit))
    }
}

/// Whether some directory on the path has a name that only ours have.
pub fn is_on_the_way(path: &[u8]) -> bool {
    let is_ours = |name| Purpose::Export.names(name) || Purpose::Apply.names(name);
    path.split(|byte| *byte == b'/').any(is_ours)
}

/// One such directory, locked. It goes, with what is in it, when this does.
#[derive(Debug)]
pub struct Aside {
    above: OwnedFd,
    name: String,
    directory: OwnedFd,
    keep: Cell<bool>,
}

impl Aside {
    /// Makes one in the directory `above`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn make(above: BorrowedFd<'_>, purpose: Purpose) -> Result<Self, Errno> {
        loop {
            let mut random = [0_u8; 8];
            rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
            let name = format!("{}{}", purpose.prefix(), hex::encode(random));
            mkdirat(above, &*name, Mode::RWXU)?;
            match Self::lock(above, &name) {
                Ok(Some(made)) => return Ok(made),
                // Before it was locked, another process took it for one that nobody needs.
                Ok(None) | Err(Errno::NOENT) => {}
                Err(error) => {
                    let _ = unlinkat(above, &*name, AtFlags::REMOVEDIR);
                    return Err(error);
                }
            }
        }
    }

    /// Those that killed processes of this user have left in `above`, one after the other.
    ///
    /// # Errors
    /// When `above` cannot be listed.
    pub fn left(above: BorrowedFd<'_>, purpose: Purpose) -> Result<impl Iterator<Item = Self>, Errno> {
        let mut names = Vec::new();
        for entry in Dir::read_from(above)? {
            let entry = entry?;
            if purpose.names(entry.file_name().to_bytes()) {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(names.into_iter().filter_map(move |name| {
            let left = Self::lock(above, &name).ok().flatten()?;
            let found = fstat(&left.directory).ok();
            // Nothing but us makes them so that nobody else can look into them.
            let is_ours = found.is_some_and(|found| {
                found.st_uid == geteuid().as_raw() && found.st_mode & 0o777 == Mode::RWXU.bits()
            });
            left.keep.set(!is_ours);
            is_ours.then_some(left)
        }))
    }

    /// The directory `name`; none if somebody else works in it, or has removed it.
    fn lock(above: BorrowedFd<'_>, name: &str) -> Result<Option<Self>, Errno> {
        let directory = openat(above, name, DIRECTORY, Mode::empty())?;
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            // A removed directory has no links left.
            Ok(()) if fstat(&directory)?.st_nlink == 0 => Ok(None),
            Ok(()) => {
                let above = rustix::io::fcntl_dupfd_cloexec(above, 0)?;
                Ok(Some(Self { above, name: name.to_owned(), directory, keep: Cell::new(false) }))
            }
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Leaves it there for its user: it holds what could not be moved back.
    pub fn keep(&self) {
        self.keep.set(true);
    }

    /// Whether it stays.
    pub fn is_kept(&self) -> bool {
        self.keep.get()
    }
}

impl AsFd for Aside {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if self.keep.get() {
            return;
        }
        let removed = clear(self.directory.as_fd())
            .and_then(|()| unlinkat(&self.above, &*self.name, AtFlags::REMOVEDIR));
        if let Err(error) = removed {
            tracing::warn!(name = %self.name, %error, "a directory stays behind");
        }
    }
}

/// Removes all that is in a directory, with a few descriptors however deep it is: a guest's directories
/// can be deeper than descriptors are allowed. What is in those at the top is moved to the top first.
fn clear(top: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut moved = 0_u64;
    loop {
        let (mut left, mut progress) = (None, false);
        for entry in Dir::read_from(top)? {
            let entry = entry?;
            let name = entry.file_name();
            if is_dots(name) {
                continue;
            }
            match remove(top, name).or_else(|_| flatten(top, name, &mut moved)) {
                Ok(()) => progress = true,
                Err(error) => left = Some(error),
            }
        }
        match left {
            None if !progress => return Ok(()),
            Some(error) if !progress => return Err(error),
            // There is what came from below.
            _ => {}
        }
    }
}

fn is_dots(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

/// Removes a file, or a directory with nothing in it.
fn remove(directory: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    match unlinkat(directory, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => unlinkat(directory, name, AtFlags::REMOVEDIR),
        other => other,
    }
}

/// Moves what is in the directory `name` to the top, but for files, which go at once; and removes it.
fn flatten(top: BorrowedFd<'_>, name: &CStr, moved: &mut u64) -> Result<(), Errno> {
    let directory = openat(top, name, DIRECTORY, Mode::empty())?;
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if is_dots(name) || remove(directory.as_fd(), name).is_ok() {
            continue;
        }
        loop {
            *moved += 1;
            match renameat_with(&directory, name, top, format!("{moved}"), RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) => {}
                other => break other?,
            }
        }
    }
    unlinkat(top, name, AtFlags::REMOVEDIR)
}
