//! Undoing what a killed process had begun.
//!
//! Before anything of a directory is changed, the stage gets a plan: what each edit is, and how the new
//! files in it look. With that and with what is still in the stage it can be told how far it came. The
//! plan goes before everything else of the stage, so a stage without one has nothing to undo.

use super::{HostError, HostTree, guard, split};
use crate::aside::{Aside, Purpose};
use crate::patch::{Action, FileEdit};
use rustix::fs::{
    AtFlags, Mode, OFlags, RenameFlags, fstat, mkdirat, openat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};

/// The plan's name in the stage.
const PLAN: &str = "plan";

/// More than the plan of any patch.
const PLAN_MAX: u64 = 64 << 20;

/// What tells a file from another one that came in its place, or was changed.
fn looks(directory: BorrowedFd<'_>, name: &[u8]) -> Result<Option<String>, Errno> {
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => {
            Ok(Some(format!("{}:{}:{}:{}", found.st_ino, found.st_size, found.st_mtime, found.st_mtime_nsec)))
        }
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes the plan of `edits`, for which everything new is in the stage.
pub(super) fn plan(tree: &HostTree, stage: BorrowedFd<'_>, edits: &[FileEdit]) -> Result<(), Errno> {
    let mut text = Vec::new();
    let mut missing = BTreeSet::new();
    let mut line = |kind: u8, note: &str, path: &[u8]| {
        text.push(kind);
        text.extend_from_slice(note.as_bytes());
        text.push(b' ');
        text.extend_from_slice(path);
        text.push(0);
    };
    for (number, edit) in edits.iter().enumerate() {
        let path = &edit.path[..];
        match edit.action {
            Action::Write { .. } | Action::Symlink(_) => {
                let new = looks(stage, format!("new-{number}").as_bytes())?;
                line(b'w', &new.unwrap_or_default(), path);
                let above =
                    path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at]);
                missing.extend(above.filter(|above| matches!(tree.directory(above), Err(Errno::NOENT))));
            }
            Action::Remove => line(b'r', "", path),
            Action::RemoveDirectory => {
                let mode = fstat(tree.directory(path)?)?.st_mode & 0o7777;
                line(b'd', &mode.to_string(), path);
            }
        }
    }
    missing.iter().for_each(|path| line(b'm', "", path));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let whole = "plan.new";
    let mut file = File::from(openat(stage, whole, flags, Mode::RUSR | Mode::WUSR)?);
    file.write_all(&text).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    renameat_with(stage, whole, stage, PLAN, RenameFlags::NOREPLACE)
}

/// From here on there is nothing to undo.
pub(super) fn forget(stage: BorrowedFd<'_>) -> Result<(), Errno> {
    unlinkat(stage, PLAN, AtFlags::empty())
}

impl HostTree {
    /// Undoes what a process that was killed has begun here.
    ///
    /// # Errors
    /// [`HostError::Left`] when somebody has changed the same files since.
    pub fn recover(&self) -> Result<(), HostError> {
        for left in Aside::left(self.root.as_fd(), Purpose::Apply).map_err(super::at("list", b"."))? {
            self.undo_plan(left.as_fd()).map_err(|why| {
                left.keep();
                HostError::Left { left: left.name().to_owned(), why }
            })?;
        }
        Ok(())
    }

    /// Takes back what the plan of a stage has begun.
    fn undo_plan(&self, stage: BorrowedFd<'_>) -> Result<(), String> {
        let mut text = Vec::new();
        match openat(stage, PLAN, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(format!("its plan cannot be read: {error}")),
            Ok(file) => {
                File::from(file).take(PLAN_MAX).read_to_end(&mut text).map_err(|error| error.to_string())?
            }
        };
        let lines: Vec<(u8, &[u8], &[u8])> = text.split(|byte| *byte == 0).filter_map(parse).collect();
        // Whoever wrote the plan: it moves nothing that no patch could.
        lines.iter().try_for_each(|(.., path)| guard(path)).map_err(|error| error.to_string())?;
        let steps = lines.iter().filter(|(kind, ..)| *kind != b'm').enumerate().collect::<Vec<_>>();
        for (number, (kind, note, path)) in steps.into_iter().rev() {
            let why = |error: Errno| format!("{}: {error}", crate::patch::display_path(path));
            match *kind {
                b'd' => self.bring_back_directory(path, note).map_err(why)?,
                _ => self.bring_back(stage, number, path, (*kind == b'w').then_some(*note)).map_err(why)?,
            }
        }
        for (_, _, path) in lines.iter().rev().filter(|(kind, ..)| *kind == b'm') {
            let (above, name) = split(path);
            // One that was not made, or that somebody uses by now, stays as it is.
            let _ = self.directory(above).and_then(|above| unlinkat(above, name, AtFlags::REMOVEDIR));
        }
        forget(stage).map_err(|error| error.to_string())
    }

    /// Puts what was at `path` back. `new` is what a file that came looks like.
    fn bring_back(
        &self,
        stage: BorrowedFd<'_>,
        number: usize,
        path: &[u8],
        new: Option<&[u8]>,
    ) -> Result<(), Errno> {
        let (above, name) = split(path);
        let above = match self.directory(above) {
            // Nothing has come in a directory that is not there.
            Err(Errno::NOENT | Errno::NOTDIR) if new.is_some() => return Ok(()),
            other => other?,
        };
        let there = looks(above.as_fd(), name)?;
        if new.is_some() && there.as_deref().map(str::as_bytes) == new {
            unlinkat(&above, name, AtFlags::empty())?;
        }
        let old = format!("old-{number}");
        match renameat_with(stage, &*old, &above, name, RenameFlags::NOREPLACE) {
            // It was not moved away yet, or is back already.
            Err(Errno::NOENT) => Ok(()),
            other => other,
        }
    }

    fn bring_back_directory(&self, path: &[u8], mode: &[u8]) -> Result<(), Errno> {
        let (above, name) = split(path);
        let mode = str::from_utf8(mode).ok().and_then(|mode| mode.parse().ok()).unwrap_or(0o755);
        match mkdirat(self.directory(above)?, name, Mode::from_raw_mode(mode)) {
            Err(Errno::EXIST) => Ok(()),
            other => other,
        }
    }
}

/// `KIND NOTE <space> PATH`.
fn parse(line: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (kind, rest) = line.split_first()?;
    let space = rest.iter().position(|byte| *byte == b' ')?;
    Some((*kind, &rest[..space], &rest[space + 1..]))
}
