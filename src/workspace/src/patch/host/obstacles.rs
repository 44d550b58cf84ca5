//! What is in the way of changes: seen before anything is done.

use super::{HostError, HostTree, at, display, failed, split};
use crate::patch::apply::{Action, FileEdit};
use rustix::fs::{AtFlags, Dir, FileType, statat};
use rustix::io::Errno;
use std::collections::HashSet;

impl HostTree {
    /// Sees that nothing is in the way of these changes: no file where a directory is needed, and nothing unknown
    /// in a directory that goes. Empty directories in place of new files are no part of any patch: they go, too.
    ///
    /// # Errors
    /// [`HostError::Blocked`] among others.
    pub fn clear(&self, edits: Vec<FileEdit>) -> Result<Vec<FileEdit>, HostError> {
        let goes = |edit: &&FileEdit| matches!(edit.action, Action::Remove | Action::RemoveDirectory);
        let gone: HashSet<&[u8]> = edits.iter().filter(goes).map(|edit| &edit.path[..]).collect();
        let (mut empty, mut passed) = (Vec::new(), HashSet::new());
        for edit in &edits {
            let path = &edit.path[..];
            match edit.action {
                Action::Remove => {}
                Action::RemoveDirectory => self.holds_only(path, &gone)?,
                Action::Write { .. } | Action::Symlink(_) => {
                    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
                    // Each directory once, however many files go into it.
                    for above in slashes.map(|(slash, _)| &path[..slash]).filter(|it| passed.insert(*it)) {
                        match self.kind(above)? {
                            Some(kind) if kind != FileType::Directory && !gone.contains(above) => {
                                return Err(blocked(path, format!("{} is no directory", display(above))));
                            }
                            _ => {}
                        }
                    }
                    if self.kind(path)? == Some(FileType::Directory) && !gone.contains(path) {
                        self.holds_only(path, &HashSet::new())?;
                        empty.push(FileEdit { path: path.to_vec(), action: Action::RemoveDirectory });
                    }
                }
            }
        }
        empty.extend(edits);
        Ok(empty)
    }

    /// What is at a path; nothing if a part of it is a link.
    fn kind(&self, path: &[u8]) -> Result<Option<FileType>, HostError> {
        let (parent, name) = split(path);
        let found =
            self.directory(parent).and_then(|parent| statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW));
        match found {
            Ok(found) => Ok(Some(FileType::from_raw_mode(found.st_mode))),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(error) => Err(at("read", path)(error)),
        }
    }

    /// Sees that there is nothing in a directory but what goes, and directories of it.
    fn holds_only(&self, path: &[u8], gone: &HashSet<&[u8]>) -> Result<(), HostError> {
        let directory = self.directory(path).map_err(at("read", path))?;
        let entries = Dir::new(directory).map_err(at("read", path))?;
        for entry in entries {
            let entry = entry.map_err(|error| failed("read", path, error.into()))?;
            let name = entry.file_name().to_bytes();
            let whole = [path, b"/", name].concat();
            if !matches!(name, b"." | b"..") && !gone.contains(&whole[..]) {
                let why = format!("it is a directory, and {} is in it", display(name));
                return Err(blocked(path, why));
            }
        }
        Ok(())
    }
}

fn blocked(path: &[u8], why: String) -> HostError {
    HostError::Blocked { path: display(path), why }
}
