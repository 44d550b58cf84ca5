//! A tar, in the canonical form that layers have.

use super::{ExportError, Receiver};
use crate::agent::Content;
use crate::patch::display_path;
use pyro_layer::{LayerWriter, Member, Meta, Time, WriteError, check_path};
use pyro_protocol::{Entry, EntryKind};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The latest nanosecond of a second.
const NANOS_MAX: u32 = 999_999_999;

/// A tar. Of a directory it has what is in it; a single file it has under its own name.
pub(super) struct Archive<'w> {
    writer: LayerWriter<'w>,
    /// The name of a single file.
    name: &'w [u8],
    /// What the tar will be.
    target: PathBuf,
}

impl<'w> Archive<'w> {
    pub fn new(out: &'w mut dyn Write, name: &'w [u8], target: &Path) -> Self {
        Self { writer: LayerWriter::new(out), name, target: target.to_owned() }
    }

    fn add(&mut self, entry: &Entry, member: Member<'_>) -> Result<(), ExportError> {
        let is_directory = matches!(entry.kind, EntryKind::Directory { .. });
        let path = if entry.path.is_empty() && !is_directory { self.name } else { &entry.path };
        let mtime = Time { seconds: entry.mtime, nanos: entry.mtime_nanos.min(NANOS_MAX) };
        // Permissions alone: no setuid, and nothing that only this machine's files can have.
        let mode = (entry.mode & 0o777) as u16;
        let meta = Meta { mode, uid: entry.uid, gid: entry.gid, mtime, xattrs: Vec::new() };
        self.writer.add(path, &meta, member).map_err(|error| match error {
            WriteError::Read(_, source) => ExportError::content(source, &self.target),
            WriteError::Write(source) => ExportError::at(&self.target, source),
            WriteError::Size { .. } => ExportError::Changing(display_path(path)),
            error => ExportError::Unfit { place: display_path(path), why: error.to_string() },
        })
    }
}

impl Receiver for Archive<'_> {
    fn admits(&self, path: &[u8]) -> Result<(), String> {
        let path = if path.is_empty() { self.name } else { path };
        check_path(path).map_err(|error| error.to_string())
    }

    fn directory(&mut self, entry: &Entry) -> Result<(), ExportError> {
        self.add(entry, Member::Directory { opaque: false })
    }

    fn file(&mut self, entry: &Entry, size: u64, mut content: Content<'_, '_>) -> Result<u64, ExportError> {
        self.add(entry, Member::File { size, content: &mut content })?;
        Ok(size)
    }

    fn symlink(&mut self, entry: &Entry, target: &[u8]) -> Result<(), ExportError> {
        self.add(entry, Member::Symlink(target))
    }

    fn finish(self) -> Result<(), ExportError> {
        let failed = |error| match error {
            WriteError::Write(source) => ExportError::at(&self.target, source),
            error => ExportError::Unfit { place: self.target.display().to_string(), why: error.to_string() },
        };
        self.writer.finish().map_err(failed)
    }
}
