//! Carrying a plan out, and undoing what was done when something fails.

use super::stage::Stage;
use super::target;
use crate::failure::{Named, show};
use crate::files::{Beneath, Links, Listing, Made, READ, is_regular, make_directories, remove};
use pyro_protocol::{Edit, Failure, path};
use pyro_sys::spawn::Identity;
use rustix::buffer::spare_capacity;
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Stat, Uid, XattrFlags, chmodat, chownat, fgetxattr,
    flistxattr, fsetxattr, mkdirat, openat, renameat_with, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

/// Where changes are made, for whom, and by which way.
pub struct Target {
    /// The directory beneath which everything is.
    pub beneath: Vec<u8>,
    /// Whom what is new belongs to.
    pub owner: Identity,
    /// Where new content waits, and what is replaced goes.
    pub stage: Stage,
}

/// Permissions of new files and directories of which nothing was said.
const FILE: u32 = 0o644;
const DIRECTORY: u32 = 0o755;

/// The name in the stage of what change `number` brings, or takes away.
pub fn staged(number: usize) -> CString {
    CString::new(number.to_string()).expect("a number has no NUL")
}

/// Makes all of `edits`, or none.
pub fn out(target: &Target, edits: &[Edit]) -> Result<(), Failure> {
    let made = make_directories(&target.beneath, &target.owner)?;
    let beneath = match Beneath::open(&target.beneath, Links::Refuse) {
        Ok(beneath) => beneath,
        Err(failure) => {
            made.undo();
            return Err(failure);
        }
    };
    let mut carrier = Carrier { target, beneath, done: Vec::new(), last: Vec::new() };
    match carrier.all(edits) {
        Ok(()) => Ok(()),
        Err(failure) => Err(carrier.undo(made, failure)),
    }
}

/// How a change is undone.
enum Undo {
    /// Remove what is new.
    Remove { path: Vec<u8> },
    /// Exchange what is new for what is in the stage.
    Exchange { path: Vec<u8>, staged: CString },
    /// Bring back what is in the stage.
    Restore { path: Vec<u8>, staged: CString },
    /// Give a directory its permissions back.
    Mode { path: Vec<u8>, mode: u32 },
}

struct Carrier<'a> {
    target: &'a Target,
    beneath: Beneath,
    done: Vec<Undo>,
    /// Removals that cannot be undone, and what has to wait for them, by number.
    last: Vec<usize>,
}

/// What became of a change.
enum Outcome {
    Done,
    /// It cannot be undone, and so must be among the last.
    Later,
}

impl Carrier<'_> {
    fn all(&mut self, edits: &[Edit]) -> Result<(), Failure> {
        for (number, edit) in edits.iter().enumerate() {
            let path = target(edit);
            let waits = |&other: &usize| {
                let other = target(&edits[other]);
                path::is_within(path, other) || path::is_within(other, path)
            };
            if self.last.iter().any(waits) {
                self.last.push(number);
            } else if let Outcome::Later = self.one(number, edit)? {
                self.last.push(number);
            }
        }
        let mut lost: Vec<&[u8]> = Vec::new();
        for number in std::mem::take(&mut self.last) {
            let edit = &edits[number];
            let result = match edit {
                Edit::Remove { path, recursive } => {
                    lost.push(path);
                    self.remove_for_good(path, *recursive).of(path)
                }
                _ => self.one(number, edit).map(drop),
            };
            result.map_err(|failure| {
                let lost = lost.iter().map(|path| show(path)).collect::<Vec<_>>().join(", ");
                let message = format!("{}; some of this was removed before that: {lost}", failure.message);
                Failure { message, ..failure }
            })?;
        }
        Ok(())
    }

    fn one(&mut self, number: usize, edit: &Edit) -> Result<Outcome, Failure> {
        let path = target(edit);
        let staged = staged(number);
        match edit {
            Edit::Write { mode, .. } => {
                let (parent, name) = self.parent(path)?;
                let old = look(&parent, &name).of(path)?;
                self.dress(&parent, &name, &staged, old.as_ref(), *mode).of(path)?;
                self.put(&parent, &name, path, staged).of(path)?;
                Ok(Outcome::Done)
            }
            Edit::Symlink { target, .. } => {
                let (parent, name) = self.parent(path)?;
                symlinkat(target.as_slice(), &self.target.stage, &staged).of(path)?;
                let old = look(&parent, &name).of(path)?;
                self.give(&self.target.stage, &staged, old.as_ref()).of(path)?;
                self.put(&parent, &name, path, staged).of(path)?;
                Ok(Outcome::Done)
            }
            Edit::Directory { mode, .. } => {
                let (parent, name) = self.parent(path)?;
                self.directory(&parent, &name, path, *mode).of(path)?;
                Ok(Outcome::Done)
            }
            Edit::Remove { recursive, .. } => self.put_aside(path, *recursive, staged),
        }
    }
    /// The directory that `path` is in, made if it is missing, and the name there.
    fn parent(&mut self, path: &[u8]) -> Result<(OwnedFd, CString), Failure> {
        match self.beneath.parent(path) {
            Err(Errno::NOENT) => {}
            other => return other.of(path),
        }
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for part in ends.map(|end| &path[..end]) {
            let (parent, name) = self.beneath.parent(part).of(path)?;
            if look(&parent, &name).of(path)?.is_none() {
                self.directory(&parent, &name, part, None).of(part)?;
            }
        }
        self.beneath.parent(path).of(path)
    }

    /// Gives a new file what the one that it replaces has, or what new files have.
    fn dress(
        &self,
        parent: &OwnedFd,
        name: &CStr,
        staged: &CStr,
        old: Option<&Stat>,
        mode: Option<u32>,
    ) -> Result<(), Errno> {
        let stage = &self.target.stage;
        self.give(stage, staged, old)?;
        let old = old.filter(|old| is_regular(old));
        if old.is_some() {
            let old = openat(parent, name, READ | OFlags::NOFOLLOW, Mode::empty())?;
            let new = openat(stage, staged, READ | OFlags::NOFOLLOW, Mode::empty())?;
            copy_attributes(&old, &new)?;
        }
        let mode = mode.unwrap_or_else(|| old.map_or(FILE, |old| old.st_mode));
        chmodat(stage, staged, Mode::from_raw_mode(mode & 0o7777), AtFlags::empty())
    }

    /// Gives `name` to whom `old` belongs, or what is new.
    fn give(&self, parent: impl AsFd, name: &CStr, old: Option<&Stat>) -> Result<(), Errno> {
        let owner = &self.target.owner;
        let (uid, gid) = match old {
            Some(old) => (Uid::from_raw(old.st_uid), Gid::from_raw(old.st_gid)),
            None => (owner.uid, owner.gid),
        };
        chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Moves what is staged to its place, and what was there to the stage.
    fn put(&mut self, parent: &OwnedFd, name: &CStr, path: &[u8], staged: CString) -> Result<(), Errno> {
        let stage = &self.target.stage;
        let path = path.to_vec();
        let undo = match renameat_with(stage, &staged, parent, name, RenameFlags::NOREPLACE) {
            Ok(()) => Undo::Remove { path },
            Err(Errno::EXIST) if look(parent, name)?.is_some_and(|old| is_directory(&old)) => {
                return Err(Errno::ISDIR);
            }
            Err(Errno::EXIST) => {
                renameat_with(stage, &staged, parent, name, RenameFlags::EXCHANGE)?;
                Undo::Exchange { path, staged }
            }
            Err(error) => return Err(error),
        };
        self.done.push(undo);
        Ok(())
    }

    /// Makes a directory, or changes the permissions of the one that is there.
    fn directory(
        &mut self,
        parent: &OwnedFd,
        name: &CStr,
        path: &[u8],
        mode: Option<u32>,
    ) -> Result<(), Errno> {
        let path = path.to_vec();
        let set = |mode: u32| chmodat(parent, name, Mode::from_raw_mode(mode & 0o7777), AtFlags::empty());
        match mkdirat(parent, name, Mode::from_raw_mode(DIRECTORY)) {
            Ok(()) => {
                self.done.push(Undo::Remove { path });
                self.give(parent, name, None)?;
                mode.map_or(Ok(()), set)
            }
            Err(Errno::EXIST) => {
                let old = look(parent, name)?.ok_or(Errno::NOENT)?;
                if !is_directory(&old) {
                    return Err(Errno::NOTDIR);
                }
                if let Some(mode) = mode {
                    set(mode)?;
                    self.done.push(Undo::Mode { path, mode: old.st_mode });
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Moves what is to be removed to the stage.
    fn put_aside(&mut self, path: &[u8], recursive: bool, staged: CString) -> Result<Outcome, Failure> {
        let (parent, name) = self.beneath.parent(path).of(path)?;
        let old = look(&parent, &name).and_then(|old| old.ok_or(Errno::NOENT)).of(path)?;
        if is_directory(&old) && !recursive && !is_empty(&parent, &name).of(path)? {
            return Err(Errno::NOTEMPTY).of(path);
        }
        match renameat_with(&parent, &name, &self.target.stage, &staged, RenameFlags::NOREPLACE) {
            Ok(()) => {
                self.done.push(Undo::Restore { path: path.to_vec(), staged });
                Ok(Outcome::Done)
            }
            // A directory of the layers below, of which the kernel moves none; or a file of theirs,
            // which it copies to move it, and for which there is no space.
            Err(Errno::XDEV | Errno::NOSPC | Errno::DQUOT) => Ok(Outcome::Later),
            Err(error) => Err(error).of(path),
        }
    }

    fn remove_for_good(&self, path: &[u8], recursive: bool) -> Result<(), Errno> {
        let (parent, name) = self.beneath.parent(path)?;
        match look(&parent, &name)? {
            Some(old) if is_directory(&old) && !recursive => unlinkat(&parent, &name, AtFlags::REMOVEDIR),
            _ => remove(&parent, &name),
        }
    }

    /// Undoes everything, and returns `failure`, with what could not be undone.
    fn undo(&mut self, made: Made, failure: Failure) -> Failure {
        let mut left: Vec<String> = Vec::new();
        while let Some(undo) = self.done.pop() {
            if let Err(path) = self.undo_one(&undo) {
                left.push(show(path));
            }
        }
        made.undo();
        if left.is_empty() {
            return failure;
        }
        let message = format!("{}; this could not be undone: {}", failure.message, left.join(", "));
        Failure { message, ..failure }
    }

    fn undo_one<'u>(&self, undo: &'u Undo) -> Result<(), &'u [u8]> {
        let (Undo::Remove { path }
        | Undo::Exchange { path, .. }
        | Undo::Restore { path, .. }
        | Undo::Mode { path, .. }) = undo;
        let stage = &self.target.stage;
        let undone = self.beneath.parent(path).and_then(|(parent, name)| match undo {
            // Whatever was put into a new directory was undone before.
            Undo::Remove { .. } if look(&parent, &name)?.is_some_and(|new| is_directory(&new)) => {
                unlinkat(&parent, &name, AtFlags::REMOVEDIR)
            }
            Undo::Remove { .. } => unlinkat(&parent, &name, AtFlags::empty()),
            Undo::Exchange { staged, .. } => {
                renameat_with(stage, staged, &parent, &name, RenameFlags::EXCHANGE)
            }
            Undo::Restore { staged, .. } => {
                renameat_with(stage, staged, &parent, &name, RenameFlags::NOREPLACE)
            }
            Undo::Mode { mode, .. } => {
                chmodat(&parent, &name, Mode::from_raw_mode(mode & 0o7777), AtFlags::empty())
            }
        });
        undone.map_err(|_| path.as_slice())
    }
}

/// What `name` in `parent` is; `None` if it is nothing.
fn look(parent: impl AsFd, name: &CStr) -> Result<Option<Stat>, Errno> {
    match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

fn is_empty(parent: impl AsFd, name: &CStr) -> Result<bool, Errno> {
    let directory = openat(parent, name, READ | OFlags::DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
    Ok(Listing::of(&directory)?.next().is_none())
}

/// Most bytes of the names of a file's attributes, and of the value of each: the kernel's limit.
const ATTRIBUTE_MAX: usize = 64 << 10;

/// Gives `new` the extended attributes of `old`, but for capabilities: they were granted to content.
fn copy_attributes(old: &OwnedFd, new: &OwnedFd) -> Result<(), Errno> {
    let mut names = Vec::with_capacity(ATTRIBUTE_MAX);
    match flistxattr(old, spare_capacity(&mut names)) {
        Ok(_) => {}
        Err(Errno::NOTSUP) => return Ok(()),
        Err(error) => return Err(error),
    }
    let mut value = Vec::with_capacity(ATTRIBUTE_MAX);
    let names =
        names.split_inclusive(|&byte| byte == 0).filter_map(|name| CStr::from_bytes_with_nul(name).ok());
    for name in names.filter(|name| *name != c"security.capability") {
        value.clear();
        match fgetxattr(old, name, spare_capacity(&mut value))
            .and_then(|_| fsetxattr(new, name, &value, XattrFlags::empty()))
        {
            // What not even root may see or set is the kernel's own.
            Ok(()) | Err(Errno::NODATA | Errno::NOTSUP | Errno::PERM) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
