//! What an agent may claim.

use super::AgentError;
use pyro_protocol::path::{self, PATH_MAX};
use pyro_protocol::{Entry, EntryKind};
use std::cmp::Ordering;

/// Most entries of one answer: as many as a layer may have.
pub const ENTRIES_MAX: u64 = 2_000_000;

/// Most bytes of paths, targets of links and attributes of one answer about a writable layer, which is
/// held in memory as a whole: a guest must not choose how much of it. Enough for [`ENTRIES_MAX`] files
/// with paths as long as they usually are.
pub const TOLD_MAX: u64 = 256 << 20;

/// Longest name of a file or an extended attribute: the kernel's limit for both.
const NAME_MAX: usize = 255;

/// Most extended attributes of a file, and most bytes of the value of one. The kernel's limit for
/// the names together leaves room for more, which nobody uses.
const ATTRIBUTES_MAX: usize = 1024;
const VALUE_MAX: usize = 64 << 10;

/// What kind of answer entries are part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A tree as commands see it: its start alone, or so many levels below.
    Tree {
        /// The most components of a path.
        levels: usize,
    },
    /// The writable layer, at, below, and on the way to this path.
    Layer {
        /// Where it begins.
        below: Vec<u8>,
    },
}

/// Judges entry by entry whether they describe a tree in order. Remembers one path.
#[derive(Debug)]
pub struct Judge {
    scope: Scope,
    last: Option<(Vec<u8>, bool)>,
    count: u64,
    bytes: u64,
}

impl Judge {
    /// Nothing was claimed yet.
    pub fn new(scope: Scope) -> Self {
        Self { scope, last: None, count: 0, bytes: 0 }
    }

    /// Whether there was a first entry, without which there is no tree.
    pub fn has_begun(&self) -> bool {
        self.last.is_some()
    }

    /// Takes the next claim, or says why not: it cannot be true, or there is too much of it.
    pub fn admit(&mut self, entry: &Entry) -> Result<(), AgentError> {
        self.order(entry).map_err(AgentError::Nonsense)?;
        self.count += 1;
        if self.count > ENTRIES_MAX {
            return Err(AgentError::TooMuch("over 2000000 files"));
        }
        if matches!(self.scope, Scope::Layer { .. }) {
            self.bytes += weight(entry);
            if self.bytes > TOLD_MAX {
                return Err(AgentError::TooMuch(
                    "files whose paths and attributes are over 256 MiB together",
                ));
            }
        }
        Ok(())
    }

    /// Whether it can be, after those before it.
    fn order(&mut self, entry: &Entry) -> Result<(), &'static str> {
        plausible(entry)?;
        let path = entry.path.as_slice();
        match &self.last {
            None if path.is_empty() => {}
            None => return Err("a tree without a start"),
            Some((last, is_directory)) => {
                if path::order(last, path) != Ordering::Less {
                    return Err("files out of order");
                }
                let parent = path::parent(path);
                let inside = if parent == last { *is_directory } else { path::is_within(last, parent) };
                if !inside {
                    return Err("a file in no directory");
                }
            }
        }
        match &self.scope {
            Scope::Tree { levels } => {
                if !entry.xattrs.is_empty()
                    || matches!(entry.kind, EntryKind::Whiteout | EntryKind::Directory { opaque: true })
                {
                    return Err("what only layers have");
                }
                if path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()).count() > *levels {
                    return Err("files deeper than was asked for");
                }
            }
            Scope::Layer { below } => {
                if path.is_empty() && !matches!(entry.kind, EntryKind::Directory { .. }) {
                    return Err("a root that is no directory");
                }
                if !path::is_within(path, below) && !path::is_within(below, path) {
                    return Err("files that were not asked for");
                }
            }
        }
        self.last = Some((path.to_vec(), matches!(entry.kind, EntryKind::Directory { .. })));
        Ok(())
    }
}

/// Bytes of an entry that its guest chose how many they are.
fn weight(entry: &Entry) -> u64 {
    let target = if let EntryKind::Symlink(target) = &entry.kind { target.len() } else { 0 };
    let xattrs: usize = entry.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
    (entry.path.len() + target + xattrs) as u64
}

/// Whether there can be such an entry at all.
pub fn plausible(entry: &Entry) -> Result<(), &'static str> {
    if path::check(&entry.path).is_err() {
        return Err("a path that is none");
    }
    if entry.path.split(|&byte| byte == b'/').any(|name| name.len() > NAME_MAX) {
        return Err("a name longer than names are");
    }
    if entry.mode > 0o7777 || entry.mtime_nanos >= 1_000_000_000 || entry.stamp.ctime_nanos >= 1_000_000_000 {
        return Err("numbers out of range");
    }
    match &entry.kind {
        EntryKind::File { size } if i64::try_from(*size).is_err() => {
            return Err("a file longer than files are");
        }
        EntryKind::Symlink(target) if target.is_empty() || target.len() > PATH_MAX || target.contains(&0) => {
            return Err("a link that leads nowhere");
        }
        _ => {}
    }
    let plausible = |(name, value): &(serde_bytes::ByteBuf, serde_bytes::ByteBuf)| {
        (1..=NAME_MAX).contains(&name.len()) && !name.contains(&0) && value.len() <= VALUE_MAX
    };
    if entry.xattrs.len() > ATTRIBUTES_MAX
        || !entry.xattrs.iter().all(plausible)
        || !entry.xattrs.is_sorted_by(|(left, _), (right, _)| left < right)
    {
        return Err("attributes that are none");
    }
    Ok(())
}
