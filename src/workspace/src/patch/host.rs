//! A directory of the host that a patch is applied to: all of it, or nothing.
//!
//! Every name is opened beneath one descriptor and through no symbolic link (`openat2`), so no path
//! leads outside, whatever is there and whoever changes it meanwhile. New content is staged in a
//! directory of its own beside the files; then one rename for each file puts it in place, and what
//! was there goes into the same directory. A failure moves everything back; a kill leaves that to the
//! next one ([`HostTree::recover`]).

mod obstacles;
mod recovery;
#[cfg(test)]
mod tests;

use super::name::{check, display, is_repository};
use super::{Action, BINARY_MAX, FileEdit, Original};
use crate::aside::{Aside, Purpose, is_on_the_way};
use crate::failpoint;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags, fchmod, fstat, mkdirat, openat, openat2,
    readlinkat, renameat, renameat_with, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

/// Why a directory of the host could not be read or changed. Nothing of it was changed.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The directory itself.
    #[error("{path}: {source}")]
    Root {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Something in it.
    #[error("cannot {action} {path}: {source}")]
    Path {
        /// What was to be done.
        action: &'static str,
        /// Relative to the directory; odd bytes quoted.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A path that may not be changed.
    #[error("{path}: its path {why}")]
    Refused {
        /// Odd bytes quoted.
        path: String,
        /// Why.
        why: String,
    },
    /// A failure, and then another one while undoing what was done before it.
    #[error("{first}; and what was changed before could not all be undone: what is missing is in {left}")]
    Torn {
        /// The failure.
        first: Box<HostError>,
        /// The directory that holds what was moved away.
        left: String,
    },
    /// Something is in the way that the workspace does not know.
    #[error("{path} cannot be replaced or made: {why}")]
    Blocked {
        /// The file.
        path: String,
        /// What is in the way.
        why: String,
    },
    /// What a killed process had begun cannot be undone.
    #[error("an apply to it was killed, and cannot be undone ({why}); what it had moved away is in {left}")]
    Left {
        /// The directory that holds what was moved away.
        left: String,
        /// Why not.
        why: String,
    },
}

/// A directory of the host.
#[derive(Debug)]
pub struct HostTree {
    root: OwnedFd,
}

const RESOLVE: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

fn at<'p>(action: &'static str, path: &'p [u8]) -> impl Fn(Errno) -> HostError + 'p {
    move |error| failed(action, path, error.into())
}

fn failed(action: &'static str, path: &[u8], source: io::Error) -> HostError {
    HostError::Path { action, path: display(path), source }
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

fn is_missing(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::NOTDIR)
}

impl HostTree {
    /// Opens a directory, which must be there.
    ///
    /// # Errors
    /// [`HostError::Root`].
    pub fn open(directory: &Path) -> Result<Self, HostError> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        let root = rustix::fs::open(directory, flags, Mode::empty());
        let failed =
            |error: Errno| HostError::Root { path: directory.display().to_string(), source: error.into() };
        Ok(Self { root: root.map_err(failed)? })
    }

    /// What is at `path`: what [`super::Patch::apply`] asks for.
    ///
    /// # Errors
    /// When it cannot be read, or is too large for any patch.
    pub fn read(&self, path: &[u8]) -> Result<Option<Original>, HostError> {
        guard(path)?;
        let (parent, name) = split(path);
        let parent = match self.directory(parent) {
            Ok(parent) => parent,
            Err(error) if is_missing(error) => return Ok(None),
            Err(error) => return Err(at("read", path)(error)),
        };
        let found = match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => found,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(at("read", path)(error)),
        };
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory => Ok(Some(Original::Directory)),
            FileType::Symlink => {
                let target = readlinkat(&parent, name, Vec::new()).map_err(at("read", path))?;
                Ok(Some(Original::Symlink(target.into_bytes())))
            }
            FileType::RegularFile => {
                // It may have become a pipe meanwhile: opening must not wait for a writer.
                let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
                let file = openat2(&parent, name, flags, Mode::empty(), RESOLVE).map_err(at("read", path))?;
                let mode = fstat(&file).map_err(at("read", path))?.st_mode & 0o7777;
                let mut content = Vec::new();
                let read = File::from(file).take(BINARY_MAX + 1).read_to_end(&mut content);
                read.map_err(|error| failed("read", path, error))?;
                if content.len() as u64 > BINARY_MAX {
                    return Err(failed("read", path, io::ErrorKind::FileTooLarge.into()));
                }
                Ok(Some(Original::File { content, mode }))
            }
            _ => Ok(Some(Original::Other)),
        }
    }

    /// Carries all edits out, or none.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn apply(&self, edits: &[FileEdit]) -> Result<(), HostError> {
        edits.iter().try_for_each(|edit| guard(&edit.path))?;
        let stage = Stage::new(self)?;
        failpoint::pass("apply.staged");
        for (number, edit) in edits.iter().enumerate() {
            stage.prepare(number, edit)?;
        }
        failpoint::pass("apply.prepared");
        recovery::plan(self, stage.aside.as_fd(), edits).map_err(at("plan", b"the changes"))?;
        failpoint::pass("apply.planned");
        let mut done = Vec::new();
        for (number, edit) in edits.iter().enumerate() {
            if let Err(first) = stage.commit(number, edit, &mut done) {
                return Err(stage.undo(done, first));
            }
            failpoint::pass("apply.begun");
        }
        failpoint::pass("apply.carried");
        recovery::forget(stage.aside.as_fd()).map_err(at("finish", b"the changes"))?;
        failpoint::pass("apply.forgotten");
        let emptied = edits.iter().filter(|edit| edit.action == Action::Remove);
        emptied.for_each(|edit| self.prune(split(&edit.path).0));
        Ok(())
    }

    fn directory(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { b"." } else { path };
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        openat2(&self.root, path, flags, Mode::empty(), RESOLVE)
    }

    /// Removes a directory and those above it as long as they are empty, as git does.
    fn prune(&self, mut path: &[u8]) {
        while !path.is_empty() {
            let (parent, name) = split(path);
            let removed =
                self.directory(parent).and_then(|parent| unlinkat(parent, name, AtFlags::REMOVEDIR));
            if removed.is_err() {
                return;
            }
            path = parent;
        }
    }
}

/// Refuses paths that lead elsewhere, and the repository: a guest must not plant hooks.
fn guard(path: &[u8]) -> Result<(), HostError> {
    let refused = |why: String| HostError::Refused { path: display(path), why };
    check(path).map_err(|error| refused(error.to_string()))?;
    if is_repository(path) {
        return Err(refused("leads into the repository (`.git`)".into()));
    }
    // What is in one of these may be taken for what a killed apply has left.
    if is_on_the_way(path) {
        return Err(refused("has a name that pyro's own directories have while it works".into()));
    }
    Ok(())
}

/// A step that was taken, to be undone in reverse order.
enum Step<'e> {
    /// What was at the path is in the stage, under this name.
    Away(&'e [u8], String),
    /// Something new is at the path.
    Placed(&'e [u8]),
    /// A directory was made.
    Made(Vec<u8>),
    /// An empty directory was removed; its permissions.
    RemovedDirectory(&'e [u8], Mode),
}

/// A directory beside the files, for what comes and what goes.
struct Stage<'t> {
    tree: &'t HostTree,
    aside: Aside,
}

impl<'t> Stage<'t> {
    fn new(tree: &'t HostTree) -> Result<Self, HostError> {
        let aside = Aside::make(tree.root.as_fd(), Purpose::Apply);
        Ok(Self { tree, aside: aside.map_err(at("make", b"a directory for new files"))? })
    }

    /// Writes what comes.
    fn prepare(&self, number: usize, edit: &FileEdit) -> Result<(), HostError> {
        let name = format!("new-{number}");
        match &edit.action {
            Action::Write { content, mode } => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                // Without permissions of its own it gets those that the user's mask leaves.
                let file = openat(&self.aside, &*name, flags, Mode::from_raw_mode(0o666));
                let mut file = File::from(file.map_err(at("write", &edit.path))?);
                file.write_all(content).map_err(|error| failed("write", &edit.path, error))?;
                if let Some(mode) = mode {
                    // Setuid bits of what was there are not passed on to what a guest wrote.
                    fchmod(&file, Mode::from_raw_mode(mode & 0o777)).map_err(at("write", &edit.path))?;
                }
                Ok(())
            }
            Action::Symlink(target) => {
                symlinkat(&target[..], &self.aside, &*name).map_err(at("write", &edit.path))
            }
            Action::Remove | Action::RemoveDirectory => Ok(()),
        }
    }

    /// Carries one edit out, noting each step.
    fn commit<'e>(
        &self,
        number: usize,
        edit: &'e FileEdit,
        done: &mut Vec<Step<'e>>,
    ) -> Result<(), HostError> {
        let path = &edit.path[..];
        let (parent, name) = split(path);
        match edit.action {
            Action::Remove => self.put_away(path, number, done),
            Action::RemoveDirectory => {
                let parent = self.tree.directory(parent).map_err(at("remove", path))?;
                let mode =
                    statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(at("remove", path))?.st_mode;
                unlinkat(&parent, name, AtFlags::REMOVEDIR).map_err(at("remove", path))?;
                done.push(Step::RemovedDirectory(path, Mode::from_raw_mode(mode)));
                Ok(())
            }
            Action::Write { .. } | Action::Symlink(_) => {
                let parent = self.make(parent, done)?;
                match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(_) => self.put_away(path, number, done)?,
                    Err(Errno::NOENT) => {}
                    Err(error) => return Err(at("write", path)(error)),
                }
                let new = format!("new-{number}");
                renameat_with(&self.aside, &*new, &parent, name, RenameFlags::NOREPLACE)
                    .map_err(at("write", path))?;
                done.push(Step::Placed(path));
                Ok(())
            }
        }
    }

    fn put_away<'e>(&self, path: &'e [u8], number: usize, done: &mut Vec<Step<'e>>) -> Result<(), HostError> {
        let (parent, name) = split(path);
        let parent = self.tree.directory(parent).map_err(at("remove", path))?;
        let found = statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(at("remove", path))?;
        if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
            return Err(at("replace", path)(Errno::ISDIR));
        }
        let old = format!("old-{number}");
        renameat(&parent, name, &self.aside, &*old).map_err(at("remove", path))?;
        done.push(Step::Away(path, old));
        Ok(())
    }

    /// The directory at `path`, made with its parents where it is missing.
    fn make(&self, path: &[u8], done: &mut Vec<Step<'_>>) -> Result<OwnedFd, HostError> {
        let ends =
            (0..path.len()).filter(|at| path[*at] == b'/').chain((!path.is_empty()).then_some(path.len()));
        for end in ends {
            let (parent, name) = split(&path[..end]);
            let made =
                self.tree.directory(parent).and_then(|it| mkdirat(it, name, Mode::from_raw_mode(0o777)));
            match made {
                Ok(()) => done.push(Step::Made(path[..end].to_vec())),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(at("make", &path[..end])(error)),
            }
        }
        self.tree.directory(path).map_err(at("open", path))
    }

    /// Takes every step back, the last one first.
    fn undo(&self, done: Vec<Step<'_>>, first: HostError) -> HostError {
        let back = |step: &Step<'_>| -> Result<(), Errno> {
            let parent = |path| self.tree.directory(split(path).0);
            match step {
                Step::Away(path, old) => {
                    renameat_with(&self.aside, &**old, parent(path)?, split(path).1, RenameFlags::NOREPLACE)
                }
                Step::Placed(path) => unlinkat(parent(path)?, split(path).1, AtFlags::empty()),
                Step::Made(path) => unlinkat(parent(path)?, split(path).1, AtFlags::REMOVEDIR),
                Step::RemovedDirectory(path, mode) => mkdirat(parent(path)?, split(path).1, *mode),
            }
        };
        let undone = done.iter().rev().filter(|step| back(step).is_err()).count();
        if undone == 0 {
            return first;
        }
        self.aside.keep();
        HostError::Torn { first: Box::new(first), left: self.aside.name().to_owned() }
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        // The plan first: without it there is nothing to undo.
        if !self.aside.is_kept() {
            let _ = recovery::forget(self.aside.as_fd());
        }
    }
}
