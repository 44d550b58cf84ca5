//! Single files.

use super::{AccessError, Live, Place, WORKSPACE};
use crate::agent::{AgentError, Look};
use crate::diff::FileKind;
use jiff::Timestamp;
use pyro_protocol::{Depth, Entry, EntryKind, Failure, FailureKind, Read as Part, Walk};
use serde::Serialize;
use std::io::{self, Read};

/// Most bytes of paths in a listing: a guest must not choose how much memory it takes.
const PATHS_MAX: usize = 64 << 20;

/// What a directory holds, or the one file that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// In the order of a walk: a directory before what is in it.
    pub entries: Vec<FileEntry>,
    /// Whether there is more.
    pub truncated: bool,
}

/// A file, directory or anything else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileEntry {
    /// Relative to `/workspace`, or absolute on a disk. In JSON, odd bytes are quoted as git does.
    #[serde(serialize_with = "crate::diff::serialize_path")]
    pub path: Vec<u8>,
    /// What it is.
    #[serde(flatten)]
    pub kind: FileKind,
    /// Permissions in octal.
    #[serde(serialize_with = "crate::diff::serialize_mode")]
    pub mode: u32,
    /// When its content was changed last; none for times that no calendar has.
    pub modified: Option<Timestamp>,
}

/// The beginning of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileContent {
    /// As much as was asked for.
    pub bytes: Vec<u8>,
    /// Length of the whole file.
    pub size: u64,
}

impl FileContent {
    /// Whether there is more of it.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        (self.bytes.len() as u64) < self.size
    }

    /// As text, if it is UTF-8; a character that the end cuts is left out.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match std::str::from_utf8(&self.bytes) {
            Ok(text) => Some(text),
            Err(error) if error.error_len().is_none() && self.is_truncated() => {
                std::str::from_utf8(&self.bytes[..error.valid_up_to()]).ok()
            }
            Err(_) => None,
        }
    }
}

/// Lists what is at `place`, at most `max` entries. A directory is described by what is in it.
///
/// # Errors
/// [`AccessError`].
pub fn list(live: &Live<'_>, place: &Place, depth: Depth, max: usize) -> Result<Listing, AccessError> {
    let (beneath, path) = (WORKSPACE.as_bytes().to_vec().into(), place.as_bytes().to_vec().into());
    let walk = Walk { beneath, path, depth, content: false };
    let mut files = live.agent.walk(&walk, live.until)?;
    let (mut entries, mut bytes) = (Vec::new(), 0);
    while let Some(entry) = files.next_entry()? {
        if entry.path.is_empty() && matches!(entry.kind, EntryKind::Directory { .. }) {
            continue;
        }
        bytes += place.as_bytes().len() + entry.path.len();
        if entries.len() == max || bytes > PATHS_MAX {
            return Ok(Listing { entries, truncated: true });
        }
        entries.push(FileEntry::of(place.join(&entry.path), &entry));
    }
    Ok(Listing { entries, truncated: false })
}

impl FileEntry {
    /// Of an entry that is to be shown under `path`.
    pub(crate) fn of(path: Vec<u8>, entry: &Entry) -> Self {
        Self {
            path,
            kind: FileKind::of(&entry.kind),
            mode: entry.mode,
            modified: Timestamp::new(entry.mtime, entry.mtime_nanos.try_into().unwrap_or_default()).ok(),
        }
    }
}

/// Reads at most `max` bytes of a file.
///
/// # Errors
/// [`AccessError`].
pub fn read(live: &Live<'_>, place: &Place, max: u64) -> Result<FileContent, AccessError> {
    let (beneath, path) = (WORKSPACE.as_bytes().to_vec().into(), place.as_bytes().to_vec().into());
    let part = Part { beneath, path, offset: 0, limit: max };
    let (entry, bytes) = live.agent.read(&part, live.until)?;
    let size = if let EntryKind::File { size } = entry.kind { size } else { 0 };
    Ok(FileContent { bytes, size })
}

/// Writes a file, all of it or nothing: a new one, or in place of a file that is there. Missing directories are
/// made. Returns how many bytes it has.
///
/// # Errors
/// [`AccessError`].
pub fn write(live: &Live<'_>, place: &Place, content: impl Read) -> Result<u64, AccessError> {
    // Whoever has read a file through a link means that file.
    if let Look::There(Entry { kind: EntryKind::Symlink(target), .. }, _) =
        live.agent.looks(WORKSPACE, live.until).at(place.as_bytes(), 0)?
    {
        let message = format!("{place} is a symbolic link to {}: name that file", target.escape_ascii());
        return Err(AgentError::Failed(Failure { kind: FailureKind::Invalid, message }).into());
    }
    let mut editing = live.agent.edit(&live.edits()?, live.until)?;
    let mut counted = Counted { reader: content, count: 0 };
    editing.write(place.as_bytes(), None, &mut counted)?;
    editing.commit()?;
    Ok(counted.count)
}

struct Counted<R> {
    reader: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.count += count as u64;
        Ok(count)
    }
}
