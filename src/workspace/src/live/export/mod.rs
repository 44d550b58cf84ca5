//! Files of a workspace, onto the host: as files, a tar or a patch.
//!
//! The machine is hostile. Everything is made in a directory of ours beside the target ([`Stage`]), each
//! name relative to an open directory that was made there, and appears by one rename: the target is
//! there whole or not at all, and nothing else is written. No devices, pipes and sockets are made, no
//! setuid bits, no owners, and no link that could lead out of what is exported.

mod archive;
mod link;
mod stage;
#[cfg(test)]
mod tests;
mod tree;

use super::changes::{ChangesError, diff};
use super::{AccessError, Live, Place, WORKSPACE};
use crate::agent::{AgentError, Content, Files};
use crate::exports;
use crate::failpoint;
use crate::patch::display_path;
use crate::seed::Skipped;
use archive::Archive;
use pyro_protocol::path::name;
use pyro_protocol::{Depth, Entry, EntryKind, Walk};
use serde::Serialize;
use stage::Stage;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use tree::Tree;

/// How many files that were skipped are named; the rest is counted. A guest can have millions.
const NAMED_MAX: usize = 1000;

/// Most bytes that are exported: as many as a layer may have. A sparse file claims any length, and every
/// zero of it comes through here.
const EXPORT_MAX: u64 = 64 << 30;

/// Bytes of a tar that are written at once.
const BUFFER: usize = 256 << 10;

/// In which form files are exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// As they are.
    Files,
    /// As a tar of what is in the directory, or of the one file.
    Tar,
    /// What of them has changed, as a patch.
    Patch,
}

impl Format {
    /// The name that users give and results carry.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Tar => "tar",
            Self::Patch => "patch",
        }
    }
}

/// What was exported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// Files and links; with [`Format::Patch`], changes.
    pub entries: u64,
    /// Bytes in them, or in the patch.
    pub bytes: u64,
    /// What cannot be on the host; of very many, the first.
    pub skipped: Vec<Skipped>,
    /// How many were skipped.
    pub skipped_count: u64,
    /// Whether there is a repository, whose hooks and configuration the guest wrote.
    pub has_repository: bool,
}

/// Why nothing was exported. There is nothing new on the host.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The workspace could not be asked.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// It cannot be said what has changed.
    #[error(transparent)]
    Changes(#[from] ChangesError),
    /// The target is there already.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// The target has no name of its own.
    #[error("{} cannot be a new file", .0.display())]
    Nameless(PathBuf),
    /// A file of the host.
    #[error("{}: {source}", path.display())]
    Host {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is too much.
    #[error("{place}: with it there are over {} GiB to export", EXPORT_MAX >> 30)]
    TooMuch {
        /// Where the limit is passed.
        place: String,
    },
    /// What was asked for cannot be on the host.
    #[error("{place}: {why}")]
    Unfit {
        /// What.
        place: String,
        /// Why not.
        why: String,
    },
    /// A tar says first how long a file is, and then it was shorter.
    #[error("{0} changed while it was read")]
    Changing(String),
}

impl From<AgentError> for ExportError {
    fn from(error: AgentError) -> Self {
        Self::Access(error.into())
    }
}

impl ExportError {
    fn at(path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Host { path: path.to_owned(), source: source.into() }
    }

    /// Reading content failed.
    fn content(error: io::Error, path: &Path) -> Self {
        match AgentError::inside(error) {
            Ok(error) => error.into(),
            Err(error) => Self::at(path, error),
        }
    }
}

/// Where files go.
trait Receiver {
    /// Whether it can have something of this path; the error says why not.
    fn admits(&self, path: &[u8]) -> Result<(), String>;

    /// Takes a directory, before what is in it.
    fn directory(&mut self, entry: &Entry) -> Result<(), ExportError>;

    /// Takes a file, and returns its length.
    fn file(&mut self, entry: &Entry, size: u64, content: Content<'_, '_>) -> Result<u64, ExportError>;

    /// Takes a link that leads nowhere else.
    fn symlink(&mut self, entry: &Entry, target: &[u8]) -> Result<(), ExportError>;

    /// Nothing more comes.
    fn finish(self) -> Result<(), ExportError>;
}

/// Exports what is at `place` to `target`, which must not exist.
///
/// # Errors
/// [`ExportError`].
pub fn export(
    live: &Live<'_>,
    place: &Place,
    target: &Path,
    format: Format,
) -> Result<Exported, ExportError> {
    let stage = Stage::beside(target)?;
    // However long it takes, this is activity.
    let active = || live.directory.touch();
    let exported = match format {
        Format::Files => receive(walk(live, place)?, place, Tree::new(&stage), active)?,
        Format::Tar => {
            let mut out = BufWriter::with_capacity(BUFFER, stage.file()?);
            let archive = Archive::new(&mut out, name(place.as_bytes()), target);
            receive(walk(live, place)?, place, archive, active)?
        }
        Format::Patch => patch(live, place, &stage)?,
    };
    stage.publish()?;
    exports::made(&live.directory, &place.to_string(), format.as_str(), target);
    Ok(exported)
}

/// Everything at and below `place`, with content.
fn walk<'a>(live: &Live<'a>, place: &Place) -> Result<Files<'a>, AgentError> {
    let (beneath, path) = (WORKSPACE.as_bytes().to_vec().into(), place.as_bytes().to_vec().into());
    live.agent.walk(&Walk { beneath, path, depth: Depth::All, content: true }, live.until)
}

/// Passes `files`, which begin at `place`, to `receiver`; `each` is told of each.
fn receive(
    mut files: Files<'_>,
    place: &Place,
    mut receiver: impl Receiver,
    each: impl Fn(),
) -> Result<Exported, ExportError> {
    let mut exported = Exported::default();
    while let Some(entry) = files.next_entry()? {
        each();
        failpoint::pass("export.entry");
        let unfit = receiver.admits(&entry.path).and_then(|()| check(&entry));
        if let Err(why) = unfit {
            if entry.path.is_empty() {
                return Err(ExportError::Unfit { place: place.to_string(), why });
            }
            exported.skip(&entry.path, why);
            continue;
        }
        match &entry.kind {
            EntryKind::File { size } => {
                // Not left out: its content would come all the same.
                if exported.bytes + size > EXPORT_MAX {
                    return Err(ExportError::TooMuch { place: display_path(&entry.path) });
                }
                exported.bytes += receiver.file(&entry, *size, files.content())?;
                exported.entries += 1;
            }
            EntryKind::Symlink(target) => {
                receiver.symlink(&entry, target)?;
                exported.entries += 1;
            }
            _ => {
                receiver.directory(&entry)?;
                exported.has_repository |= name(&entry.path) == b".git";
            }
        }
    }
    receiver.finish()?;
    Ok(exported)
}

/// Whether something can be on the host; the error says why not.
fn check(entry: &Entry) -> Result<(), String> {
    let why = match &entry.kind {
        EntryKind::File { .. } | EntryKind::Directory { .. } => return Ok(()),
        EntryKind::Symlink(target) => return link::check(&entry.path, target),
        EntryKind::Character(..) | EntryKind::Block(..) | EntryKind::Whiteout => "it is a device",
        EntryKind::Fifo => "it is a named pipe",
        EntryKind::Socket => "it is a socket",
    };
    Err(why.into())
}

impl Exported {
    fn skip(&mut self, path: &[u8], why: String) {
        self.skipped_count += 1;
        if self.skipped.len() < NAMED_MAX {
            self.skipped.push(Skipped { path: display_path(path), why });
        }
    }
}

fn patch(live: &Live<'_>, place: &Place, stage: &Stage) -> Result<Exported, ExportError> {
    let failed = |source| ExportError::at(stage.target(), source);
    let mut out = BufWriter::new(stage.file()?);
    let diff = match diff(live, None, place.as_bytes(), Some(&mut out)) {
        Err(ChangesError::Diff(crate::diff::DiffError::Output(source))) => return Err(failed(source)),
        other => other?,
    };
    out.flush().map_err(failed)?;
    let bytes = out.get_ref().metadata().map_err(failed)?.len();
    let mut exported = Exported { entries: diff.changes.len() as u64, bytes, ..Exported::default() };
    for change in diff.left_out() {
        exported.skip(&change.path, "it is too large for a patch".into());
    }
    Ok(exported)
}
