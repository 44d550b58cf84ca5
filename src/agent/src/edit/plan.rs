//! What is to be done, checked as far as that goes without doing it.

use super::carry::{self, Target};
use super::stage::{Stage, StagedFile};
use super::target;
use crate::failure::{Named, invalid, show};
use crate::files::{Beneath, Links, NAME};
use pyro_protocol::{Edit, Failure, path};
use pyro_sys::spawn::Identity;
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use std::collections::BTreeMap;

/// Most memory of a plan, so that no peer exhausts ours: a million paths of usual length.
const PLAN_MAX: usize = 256 << 20;

/// Memory of a change beside its paths, roughly.
const EDIT_SIZE: usize = 192;

/// Changes to be made beneath a directory.
pub struct Plan {
    target: Target,
    edits: Vec<Edit>,
    /// What the changes so far make of the paths that they name.
    planned: BTreeMap<Vec<u8>, Planned>,
    writing: Option<StagedFile>,
    size: usize,
}

/// What will be at a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Planned {
    Nothing,
    /// A file or link.
    File,
    /// A directory that is there already.
    Directory,
    /// A directory that is new, and so empty.
    NewDirectory,
}

impl Plan {
    /// No changes yet.
    pub fn new(beneath: &[u8], owner: Identity) -> Result<Self, Failure> {
        Ok(Self {
            target: Target { beneath: beneath.to_vec(), owner, stage: Stage::new()? },
            edits: Vec::new(),
            planned: BTreeMap::new(),
            writing: None,
            size: 0,
        })
    }

    /// Adds a change, unless it cannot be made.
    pub fn add(&mut self, edit: Edit) -> Result<(), Failure> {
        if self.writing.is_some() {
            return Err(invalid("a change before the content of the last one was whole"));
        }
        let path = target(&edit).to_vec();
        self.size += 2 * path.len() + EDIT_SIZE;
        if let Edit::Symlink { target, .. } = &edit {
            self.size += target.len();
        }
        if self.size > PLAN_MAX {
            return Err(invalid("there are too many changes for one edit"));
        }
        let now = self.look(&path)?;
        let refuse = |why: &str| Err(invalid(format!("{}: {why}", show(&path))));
        let after = match (&edit, now) {
            (Edit::Write { .. } | Edit::Symlink { .. }, Planned::Directory | Planned::NewDirectory) => {
                return refuse("it is a directory");
            }
            (Edit::Write { .. }, _) => {
                let name = carry::staged(self.edits.len());
                self.writing = Some(self.target.stage.create(&name).of(&path)?);
                Planned::File
            }
            (Edit::Symlink { target, .. }, _) => {
                if target.is_empty() || target.contains(&0) || target.len() > path::PATH_MAX {
                    return refuse("a link cannot lead there");
                }
                Planned::File
            }
            (Edit::Directory { .. }, Planned::File) => return refuse("it is no directory"),
            (Edit::Directory { .. }, Planned::Nothing) => Planned::NewDirectory,
            (Edit::Directory { .. }, there) => there,
            (Edit::Remove { .. }, Planned::Nothing) => return Err(Errno::NOENT).of(&path),
            (Edit::Remove { .. }, _) => Planned::Nothing,
        };
        if after == Planned::Nothing {
            self.forget_below(&path);
        }
        self.planned.insert(path, after);
        self.edits.push(edit);
        Ok(())
    }

    /// Appends to the file that was added last.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.edits.last().map(target).unwrap_or_default();
        match &mut self.writing {
            Some(file) => file.append(bytes).of(path),
            None => Err(invalid("content of no file")),
        }
    }

    /// Ends the file that was added last.
    pub fn end_of_data(&mut self) -> Result<(), Failure> {
        let path = self.edits.last().map(target).unwrap_or_default();
        match self.writing.take() {
            Some(file) => file.finish().of(path),
            None => Err(invalid("content of no file")),
        }
    }

    /// Makes the changes.
    pub fn commit(self) -> Result<(), Failure> {
        if self.writing.is_some() {
            return Err(invalid("the content of the last file is not whole"));
        }
        carry::out(&self.target, &self.edits)
    }

    /// What will be at `path` after the changes so far.
    fn look(&self, path: &[u8]) -> Result<Planned, Failure> {
        let mut above = path;
        loop {
            match (self.planned.get(above), above.len() == path.len()) {
                (Some(&there), true) => return Ok(there),
                (Some(Planned::File), false) => return Err(Errno::NOTDIR).of(path),
                (Some(Planned::Nothing | Planned::NewDirectory), false) => return Ok(Planned::Nothing),
                (Some(Planned::Directory), false) | (None, _) if above.is_empty() => break,
                (Some(Planned::Directory), false) => break,
                (None, _) => above = path::parent(above),
            }
        }
        self.look_on_disk(path)
    }

    fn look_on_disk(&self, path: &[u8]) -> Result<Planned, Failure> {
        let beneath = match Beneath::open(&self.target.beneath, Links::Refuse) {
            Err(failure) if failure.kind == pyro_protocol::FailureKind::NotFound => {
                return Ok(Planned::Nothing);
            }
            other => other?,
        };
        let stat = match beneath.resolve(path, NAME) {
            Err(Errno::NOENT) => return Ok(Planned::Nothing),
            handle => fstat(handle.of(path)?).of(path)?,
        };
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Planned::Directory,
            _ => Planned::File,
        })
    }

    /// What was planned in a directory goes with it.
    fn forget_below(&mut self, path: &[u8]) {
        let first = [path, b"/"].concat();
        let below: Vec<Vec<u8>> = self
            .planned
            .range(first.clone()..)
            .map(|(below, _)| below)
            .take_while(|below| below.starts_with(&first))
            .cloned()
            .collect();
        for path in below {
            self.planned.remove(&path);
        }
    }
}
