//! Changing files by a patch.

use super::{AccessError, Live, WORKSPACE};
use crate::agent::{AgentError, Look, Looks};
use crate::diff::Status;
use crate::patch::{
    Action, BINARY_MAX, Body, FilePatch, LineKind, Lines, Misfit, Original, ParseError, Patch, RESULT_MAX,
    display_path,
};
use pyro_protocol::{Edit, EntryKind};
use serde::Serialize;
use serde_bytes::ByteBuf;
use std::collections::HashMap;

/// Why a patch was not applied. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    /// It is none.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// It does not fit.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// A file that it changes is longer than any patch can be.
    #[error("{path}: it is over {} MiB long, and cannot be patched", BINARY_MAX >> 20)]
    Long {
        /// The file; odd bytes quoted.
        path: String,
    },
    /// The files that it changes are too long together.
    #[error("the files that it changes are over {} MiB together", RESULT_MAX >> 20)]
    TooMuch,
    /// The workspace could not be asked.
    #[error(transparent)]
    Access(#[from] AccessError),
}

impl From<AgentError> for PatchError {
    fn from(error: AgentError) -> Self {
        Self::Access(error.into())
    }
}

/// What a patch does, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Patched {
    /// File by file, in its order.
    pub files: Vec<PatchedFile>,
}

/// What a patch does to one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PatchedFile {
    /// Relative to `/workspace`. In JSON, odd bytes are quoted as git does.
    #[serde(serialize_with = "crate::diff::serialize_path")]
    pub path: Vec<u8>,
    /// Where it was before, if it is moved or copied; odd bytes quoted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Whether it comes, goes or changes.
    pub status: Status,
    /// Its lines.
    pub lines: Lines,
}

/// Applies a patch to the files in `/workspace`, or only sees whether it fits.
///
/// # Errors
/// [`PatchError`].
pub fn patch(live: &Live<'_>, text: &[u8], carry: Carry) -> Result<Patched, PatchError> {
    let patch = Patch::parse(text)?;
    let mut originals = HashMap::new();
    let mut left = RESULT_MAX;
    let mut looks = live.agent.looks(WORKSPACE, live.until);
    for path in patch.paths() {
        if let Some(original) = original(&mut looks, path, &mut left)? {
            originals.insert(path, original);
        }
    }
    drop(looks);
    let edits = patch.apply(|path| originals.get(path).cloned())?;
    drop(originals);
    if carry == Carry::Out {
        let mut editing = live.agent.edit(&live.edits()?, live.until)?;
        for edit in edits {
            let path = ByteBuf::from(edit.path);
            match edit.action {
                Action::Write { content, mode } => editing.write(&path, mode, &content[..])?,
                Action::Symlink(target) => editing.add(Edit::Symlink { path, target: target.into() })?,
                Action::Remove | Action::RemoveDirectory => {
                    editing.add(Edit::Remove { path, recursive: false })?;
                }
            }
        }
        editing.commit()?;
    }
    Ok(Patched::of(&patch))
}

/// Whether something is done, or only looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carry {
    /// It is done.
    Out,
    /// It is looked at: nothing changes.
    Nothing,
}

/// What is at `path` in the workspace; at most `left` bytes of content.
fn original(looks: &mut Looks<'_>, path: &[u8], left: &mut u64) -> Result<Option<Original>, PatchError> {
    let (entry, content) = match looks.at(path, BINARY_MAX)? {
        Look::Missing => return Ok(None),
        Look::Long => return Err(PatchError::Long { path: display_path(path) }),
        Look::There(entry, content) => (entry, content),
    };
    Ok(Some(match entry.kind {
        EntryKind::File { .. } => {
            *left = left.checked_sub(content.len() as u64).ok_or(PatchError::TooMuch)?;
            Original::File { content, mode: entry.mode }
        }
        EntryKind::Symlink(target) => Original::Symlink(target.into_vec()),
        EntryKind::Directory { .. } => Original::Directory,
        _ => Original::Other,
    }))
}

impl Patched {
    pub(super) fn of(patch: &Patch<'_>) -> Self {
        Self { files: patch.files().iter().map(PatchedFile::of).collect() }
    }

    /// Lines of all files.
    #[must_use]
    pub fn lines(&self) -> Lines {
        self.files.iter().map(|file| file.lines).sum()
    }
}

impl PatchedFile {
    fn of(file: &FilePatch<'_>) -> Self {
        let status = match (&file.old, &file.new) {
            (None, _) => Status::Added,
            (_, None) => Status::Deleted,
            (Some(old), Some(new)) if old != new && file.keeps_old => Status::Added,
            _ => match &file.body {
                Body::Hunks(hunks) if hunks.is_empty() && file.old_mode != file.new_mode => {
                    Status::ModeChanged
                }
                _ => Status::Modified,
            },
        };
        let from = file.old.as_ref().filter(|old| file.new.as_ref().is_some_and(|new| new != *old));
        let mut lines = Lines::default();
        if let Body::Hunks(hunks) = &file.body {
            for line in hunks.iter().flat_map(|hunk| hunk.lines()) {
                match line.kind {
                    LineKind::Added => lines.added += 1,
                    LineKind::Removed => lines.removed += 1,
                    LineKind::Context => {}
                }
            }
        }
        Self { path: file.path().to_vec(), from: from.map(|path| display_path(path)), status, lines }
    }
}
