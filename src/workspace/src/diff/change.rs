//! What differs, as results carry it.

use super::compare::Pair;
use super::view::{Content, Kind, Node};
use crate::patch::{Lines, StatLine, Written, display_path, write_stat};
use pyro_protocol::EntryKind;
use serde::{Serialize, Serializer};
use std::io::{self, Write};

/// All that differs between two states.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// Sorted by path.
    pub changes: Vec<Change>,
}

/// One path that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Relative to where the comparison began. In JSON, odd bytes are quoted as git does.
    #[serde(serialize_with = "serialize_path")]
    pub path: Vec<u8>,
    /// How.
    pub status: Status,
    /// Where it was, if it has moved: the deleted file of the same content.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "serialize_moved")]
    pub renamed_from: Option<Vec<u8>>,
    /// Where it is now, if it has moved: the added file of the same content.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "serialize_moved")]
    pub renamed_to: Option<Vec<u8>>,
    /// Before; none if it is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Side>,
    /// After; none if it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Side>,
    /// Lines, if it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines: Option<Lines>,
    /// Whether its content is treated as bytes.
    pub binary: bool,
    /// Whether the patch has it. It has no directories, devices, pipes, sockets, owners and attributes,
    /// no permissions but the owner's right to execute, and no content of over 32 MiB.
    pub in_patch: bool,
}

/// How a path differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is new.
    Added,
    /// It is gone.
    Deleted,
    /// Its content or target differs.
    Modified,
    /// Only its permissions differ.
    ModeChanged,
    /// It is something else now.
    TypeChanged,
    /// Only its owner or its extended attributes differ.
    MetadataChanged,
}

impl Status {
    /// The name that results carry.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Deleted => "deleted",
            Self::Modified => "modified",
            Self::ModeChanged => "mode_changed",
            Self::TypeChanged => "type_changed",
            Self::MetadataChanged => "metadata_changed",
        }
    }
}

impl Status {
    /// As git shows it.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Added => 'A',
            Self::Deleted => 'D',
            Self::Modified | Self::ModeChanged | Self::MetadataChanged => 'M',
            Self::TypeChanged => 'T',
        }
    }
}

/// A path before or after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Side {
    /// What it is.
    #[serde(flatten)]
    pub kind: FileKind,
    /// Permissions in octal.
    #[serde(serialize_with = "serialize_mode")]
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Names of its extended attributes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub xattrs: Vec<String>,
}

/// What a path is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum FileKind {
    /// A regular file.
    File {
        /// Bytes.
        size: u64,
        /// Digest of a binary file, in hexadecimal.
        #[serde(skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
    },
    /// A directory with nothing in it that is described by itself.
    Directory,
    /// A symbolic link.
    Symlink {
        /// Bytes of the target.
        size: u64,
        /// Its target, odd bytes quoted.
        target: String,
    },
    /// A character device.
    CharacterDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

pub(crate) fn serialize_path<S: Serializer>(path: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&display_path(path))
}

fn serialize_moved<S: Serializer>(path: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_some(&path.as_deref().map(display_path))
}

pub(crate) fn serialize_mode<S: Serializer>(mode: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format!("{mode:04o}"))
}

impl Side {
    pub(super) fn of(node: &Node<'_>) -> Self {
        let kind = match &node.kind {
            Kind::Directory(_) => FileKind::Directory,
            Kind::File(Content::Upper { size }) => FileKind::File { size: *size, sha256: None },
            Kind::File(Content::Lower { extent, .. }) => FileKind::File { size: extent.size, sha256: None },
            Kind::Symlink(target) => FileKind::link(target),
            Kind::Character(major, minor) => FileKind::CharacterDevice { major: *major, minor: *minor },
            Kind::Block(major, minor) => FileKind::BlockDevice { major: *major, minor: *minor },
            Kind::Fifo => FileKind::Fifo,
            Kind::Socket => FileKind::Socket,
        };
        let xattrs = node.xattrs.iter().map(|(name, _)| display_path(name)).collect();
        Self { kind, mode: node.mode, uid: node.uid, gid: node.gid, xattrs }
    }

    /// Notes the digest of a file's content.
    pub(super) fn set_digest(&mut self, digest: &str) {
        if let FileKind::File { sha256, .. } = &mut self.kind {
            *sha256 = Some(digest.into());
        }
    }

    fn size(&self) -> u64 {
        match self.kind {
            FileKind::File { size, .. } | FileKind::Symlink { size, .. } => size,
            _ => 0,
        }
    }
}

impl FileKind {
    fn link(target: &[u8]) -> Self {
        Self::Symlink { size: target.len() as u64, target: display_path(target) }
    }

    /// As an agent tells it.
    pub(crate) fn of(kind: &EntryKind) -> Self {
        match kind {
            EntryKind::File { size } => Self::File { size: *size, sha256: None },
            EntryKind::Directory { .. } => Self::Directory,
            EntryKind::Symlink(target) => Self::link(target),
            EntryKind::Character(major, minor) => Self::CharacterDevice { major: *major, minor: *minor },
            EntryKind::Block(major, minor) => Self::BlockDevice { major: *major, minor: *minor },
            EntryKind::Fifo => Self::Fifo,
            EntryKind::Socket | EntryKind::Whiteout => Self::Socket,
        }
    }
}

impl Change {
    /// Of `pair`, before anything is known of content.
    pub(super) fn new(pair: &Pair<'_>, status: Status) -> Self {
        Self {
            path: pair.path.clone(),
            status,
            renamed_from: None,
            renamed_to: None,
            old: pair.old.as_ref().map(Side::of),
            new: pair.new.as_ref().map(Side::of),
            lines: None,
            binary: false,
            in_patch: false,
        }
    }

    /// Notes what the patch has of it.
    pub(super) fn written(&mut self, written: Written) {
        match written {
            Written::Text(lines) => self.lines = Some(lines),
            Written::Binary | Written::TooLarge => self.binary = true,
        }
        self.in_patch = written != Written::TooLarge;
    }
}

impl Diff {
    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// What of it a patch cannot have, though git knows it: content that is too large.
    pub fn left_out(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.binary && !change.in_patch)
    }

    /// How many files have changed; one that has moved is one.
    #[must_use]
    pub fn file_count(&self) -> usize {
        self.changes.iter().filter(|change| change.renamed_to.is_none()).count()
    }

    /// Lines that were added and removed in all files.
    #[must_use]
    pub fn lines(&self) -> Lines {
        self.changes.iter().filter_map(|change| change.lines).sum()
    }

    /// Writes a table of the changed files, as `git diff --stat` does.
    ///
    /// # Errors
    /// What `out` says.
    pub fn write_stat(&self, out: impl Write) -> io::Result<()> {
        let size = |side: &Option<Side>| side.as_ref().map_or(0, Side::size);
        let known = self.changes.iter().filter(|change| change.in_patch || change.binary);
        // What has moved is one line, where it is now.
        let known = known.filter(|change| change.renamed_to.is_none());
        let lines: Vec<StatLine<'_>> = known
            .map(|change| StatLine {
                path: &change.path,
                from: change.renamed_from.as_deref(),
                change: change.lines.ok_or_else(|| match change.renamed_from {
                    Some(_) => (0, 0),
                    None => (size(&change.old), size(&change.new)),
                }),
            })
            .collect();
        write_stat(&lines, out)
    }
}
