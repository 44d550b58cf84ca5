//! Applying a patch in memory: all of it, or nothing.

use super::misfit::{FileMisfit, Misfit, Reason};
use super::{Binary, Body, FilePatch, Mode, Patch, RESULT_MAX, base85, delta, fit, object_id};
use std::collections::{BTreeMap, BTreeSet};

/// What is at a path before a patch is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Original {
    /// A regular file.
    File {
        /// What is in it.
        content: Vec<u8>,
        /// Its permissions.
        mode: u32,
    },
    /// A symbolic link and its target.
    Symlink(Vec<u8>),
    /// A directory.
    Directory,
    /// Something else.
    Other,
}

/// A change that makes a patch true. Carried out in order, those of [`Patch::apply`] never find
/// something of theirs in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEdit {
    /// Where; clean and relative.
    pub path: Vec<u8>,
    /// What.
    pub action: Action,
}

/// Kinds of [`FileEdit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Remove the file or link.
    Remove,
    /// Remove the directory, which must be empty by now: a file takes its place.
    RemoveDirectory,
    /// Make or replace a regular file.
    Write {
        /// What will be in it.
        content: Vec<u8>,
        /// Its permissions; `None` if it is new and has the usual ones.
        mode: Option<u32>,
    },
    /// Make or replace a symbolic link.
    Symlink(Vec<u8>),
}

impl FileEdit {
    /// As the agent is told; the content of a file follows it.
    #[must_use]
    pub fn to_message(&self) -> pyro_protocol::Edit {
        use pyro_protocol::Edit;
        let path = self.path.clone().into();
        match &self.action {
            Action::Remove | Action::RemoveDirectory => Edit::Remove { path, recursive: false },
            Action::Write { mode, .. } => Edit::Write { path, mode: *mode },
            Action::Symlink(target) => Edit::Symlink { path, target: target.clone().into() },
        }
    }
}

/// A file or link, as far as a patch can change it.
#[derive(Clone, Debug)]
struct Version {
    content: Vec<u8>,
    /// None for a new file with the usual permissions.
    permissions: Option<u32>,
    mode: Mode,
}

impl Patch<'_> {
    /// Finds what must be changed so that the patch is applied to what `original` knows. Every file
    /// is tried, so that the answer is about all of them.
    ///
    /// # Errors
    /// [`Misfit`]; then there is nothing to change.
    pub fn apply(
        &self,
        mut original: impl FnMut(&[u8]) -> Option<Original>,
    ) -> Result<Vec<FileEdit>, Misfit> {
        let vacated = self.files().iter().filter(|file| !file.keeps_old && file.old != file.new);
        let vacated = vacated.filter_map(|file| file.old.as_deref()).collect();
        let mut state = State {
            original: &mut original,
            vacated,
            removed: BTreeSet::new(),
            made: BTreeMap::new(),
            work: fit::WORK_MAX,
        };
        let (mut misfits, mut bytes) = (Vec::new(), 0_u64);
        for file in self.files() {
            let applied = state.apply(file).and_then(|length| {
                bytes += length;
                if bytes > RESULT_MAX { Err(Reason::TooMuch) } else { Ok(()) }
            });
            if let Err(reason) = applied {
                let end = matches!(reason, Reason::TooMuch);
                misfits.push(FileMisfit::new(file.path(), file.line, reason));
                if end {
                    break;
                }
            }
        }
        if misfits.is_empty() {
            Ok(state.edits())
        } else {
            Err(Misfit { files: misfits, of: self.files().len() })
        }
    }
}

struct State<'p, F> {
    original: &'p mut F,
    /// Paths that some part of the patch moves or deletes: what comes there replaces nothing.
    vacated: BTreeSet<&'p [u8]>,
    removed: BTreeSet<&'p [u8]>,
    made: BTreeMap<&'p [u8], Version>,
    /// What may still be spent on finding where hunks belong.
    work: u64,
}

impl<'p, F: FnMut(&[u8]) -> Option<Original>> State<'p, F> {
    /// Applies the change of one file; returns how many bytes it made.
    fn apply(&mut self, file: &'p FilePatch<'_>) -> Result<u64, Reason> {
        let before = match &file.old {
            Some(path) => Some(self.before(path, file)?),
            None => None,
        };
        if let Some(new) = &file.new
            && file.old.as_ref() != Some(new)
            && (self.made.contains_key(new.as_slice()) || !self.is_free(new))
        {
            return Err(Reason::Exists);
        }
        let after = change(file, before.as_ref(), &mut self.work)?;
        let moved = file.old != file.new && !file.keeps_old;
        if let Some(old) = file.old.as_deref().filter(|_| moved) {
            // Of a swap, the other half may have put something here; that stays.
            let is_rename = file.new.is_some();
            if !is_rename || !self.removed.contains(old) && (self.original)(old).is_none() {
                self.made.remove(old);
            }
            self.removed.insert(old);
        }
        let Some(new) = &file.new else { return Ok(0) };
        let length = after.content.len() as u64;
        self.made.insert(new, after);
        Ok(length)
    }

    /// What a change starts from. Parts of a patch build on those before them, but the source of a
    /// rename or copy is what was there before the whole patch, as git has it.
    fn before(&mut self, path: &'p [u8], file: &FilePatch<'_>) -> Result<Version, Reason> {
        let builds_on = file.new.as_deref().is_none_or(|new| new == path);
        if builds_on && let Some(made) = self.made.get(path) {
            return Ok(made.clone());
        }
        if builds_on && self.removed.contains(path) {
            return Err(Reason::Missing);
        }
        match (self.original)(path) {
            Some(Original::File { content, mode }) => {
                Ok(Version { content, permissions: Some(mode), mode: Mode::of_file(mode) })
            }
            Some(Original::Symlink(content)) => {
                Ok(Version { content, permissions: None, mode: Mode::Symlink })
            }
            Some(Original::Directory | Original::Other) => Err(Reason::NotFile),
            None => match self.made.get(path) {
                Some(made) => Ok(made.clone()),
                // A plain patch does not say that it creates a file; that nothing was there does.
                None if creates(file) => {
                    Ok(Version { content: Vec::new(), permissions: None, mode: Mode::Regular })
                }
                None => Err(Reason::Missing),
            },
        }
    }

    fn is_free(&mut self, path: &'p [u8]) -> bool {
        // A directory that the patch empties goes too; if something stays in it, its removal fails.
        self.vacated.contains(path) || matches!((self.original)(path), None | Some(Original::Directory))
    }

    /// The changes, removals first.
    fn edits(self) -> Vec<FileEdit> {
        let edit = |path: &[u8], action| FileEdit { path: path.to_vec(), action };
        let gone: Vec<&[u8]> =
            self.removed.iter().copied().filter(|path| !self.made.contains_key(path)).collect();
        let mut edits: Vec<FileEdit> = gone.iter().map(|path| edit(path, Action::Remove)).collect();
        // Deepest first; only those in whose place something comes.
        let mut directories = BTreeSet::new();
        for path in &gone {
            let parents =
                path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at]);
            let mut below = false;
            for parent in parents {
                below |= self.made.contains_key(parent);
                if below {
                    directories.insert(parent);
                }
            }
        }
        edits.extend(directories.into_iter().rev().map(|path| edit(path, Action::RemoveDirectory)));
        // A file that was a link, or the other way round, is replaced at once.
        edits.extend(self.made.into_iter().map(|(path, version)| match version.mode {
            Mode::Symlink => edit(path, Action::Symlink(version.content)),
            _ => edit(path, Action::Write { content: version.content, mode: version.permissions }),
        }));
        edits
    }
}

/// Whether a change without hunks' old lines may start from nothing.
fn creates(file: &FilePatch<'_>) -> bool {
    let plain = file.old_mode.is_none() && file.new_mode.is_none() && file.old == file.new;
    match &file.body {
        Body::Hunks(hunks) => {
            plain && matches!(&hunks[..], [hunk] if hunk.old_count == 0 && hunk.old_start == 0)
        }
        Body::Binary(_) => false,
    }
}

/// The file after its change.
fn change(file: &FilePatch<'_>, before: Option<&Version>, work: &mut u64) -> Result<Version, Reason> {
    let is_link = |mode| mode == Mode::Symlink;
    if let (Some(before), Some(stated)) = (before, file.old_mode)
        && is_link(before.mode) != is_link(stated)
    {
        return Err(Reason::OtherKind);
    }
    let old = before.map_or(&b""[..], |before| &before.content);
    let content = match &file.body {
        Body::Hunks(hunks) if hunks.is_empty() => old.to_vec(),
        Body::Hunks(hunks) => fit::apply(old, hunks, work)?,
        Body::Binary(binary) => apply_binary(binary, before.is_some(), old, file.new.is_some())?,
    };
    if file.new.is_none()
        && !content.is_empty()
        && matches!(&file.body, Body::Hunks(hunks) if !hunks.is_empty())
    {
        return Err(Reason::Leftover);
    }
    let was = before.map_or(Mode::Regular, |before| before.mode);
    let mode = file.new_mode.unwrap_or(was);
    if before.is_some() && is_link(was) != is_link(mode) {
        return Err(Reason::OtherKind);
    }
    let permissions = before.and_then(|before| before.permissions);
    let permissions = match mode {
        Mode::Symlink => None,
        // Who may read it may execute it; nothing else of the permissions changes.
        Mode::Executable if was != Mode::Executable || before.is_none() => {
            let old = permissions.unwrap_or(0o644);
            Some(old | (old & 0o444) >> 2)
        }
        Mode::Regular if was == Mode::Executable => permissions.map(|old| old & !0o111),
        _ => permissions,
    };
    if is_link(mode) && (content.is_empty() || content.contains(&0)) && file.new.is_some() {
        return Err(Reason::Refused { why: "would be a symbolic link to nothing".into() });
    }
    Ok(Version { content, permissions, mode })
}

fn apply_binary(binary: &Binary<'_>, exists: bool, old: &[u8], stays: bool) -> Result<Vec<u8>, Reason> {
    if exists && object_id(old) != binary.old_id {
        return Err(Reason::OtherContent);
    }
    if !stays {
        return Ok(Vec::new());
    }
    let lines = binary.lines.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let data =
        base85::read(lines.filter(|line| !line.is_empty()), binary.size).ok_or(Reason::BinaryDamaged)?;
    let new = if binary.is_delta {
        delta::apply(old, &data, super::BINARY_MAX as usize).ok_or(Reason::BinaryDamaged)?
    } else {
        data
    };
    if object_id(&new) == binary.new_id { Ok(new) } else { Err(Reason::BinaryDamaged) }
}
