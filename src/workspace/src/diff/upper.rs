//! What the writable layer holds, as its agent tells.

use super::DiffError;
use crate::patch::{check_path, display_path};
use pyro_protocol::{Entry, EntryKind};
use std::collections::BTreeMap;

/// The entries of the writable layer as a tree.
#[derive(Debug)]
pub struct Upper {
    pub(super) root: UpperNode,
}

/// A name in the writable layer.
#[derive(Debug)]
pub(super) struct UpperNode {
    pub(super) entry: Entry,
    pub(super) children: BTreeMap<Vec<u8>, Self>,
}

impl Upper {
    /// Makes a tree of entries, each of them after the directory that it is in. Their paths are
    /// relative to the root.
    ///
    /// # Errors
    /// [`DiffError::Upper`] when they cannot be a tree.
    pub fn new(entries: impl IntoIterator<Item = Entry>) -> Result<Self, DiffError> {
        let mut root = UpperNode { entry: bare(), children: BTreeMap::new() };
        for entry in entries {
            let path = entry.path.clone().into_vec();
            let wrong = |problem| DiffError::Upper { path: display_path(&path), problem };
            if path.is_empty() {
                root.entry = entry;
                continue;
            }
            check_path(&path).map_err(|_| wrong("it is not a clean, relative path"))?;
            let (parents, name) = match path.iter().rposition(|byte| *byte == b'/') {
                Some(at) => (Some(&path[..at]), &path[at + 1..]),
                None => (None, &path[..]),
            };
            let mut here = &mut root;
            for parent in parents.into_iter().flat_map(|it| it.split(|byte| *byte == b'/')) {
                here =
                    here.children.get_mut(parent).ok_or_else(|| wrong("its directory is not described"))?;
            }
            if !matches!(here.entry.kind, EntryKind::Directory { .. }) {
                return Err(wrong("it is in something that is not a directory"));
            }
            let node = UpperNode { entry, children: BTreeMap::new() };
            if here.children.insert(name.to_vec(), node).is_some() {
                return Err(wrong("it is described twice"));
            }
        }
        Ok(Self { root })
    }
}

/// A root that nobody described.
fn bare() -> Entry {
    Entry {
        path: Vec::new().into(),
        kind: EntryKind::Directory { opaque: false },
        mode: 0o755,
        uid: 0,
        gid: 0,
        mtime: 0,
        mtime_nanos: 0,
        xattrs: Vec::new(),
        stamp: pyro_protocol::Stamp::default(),
    }
}
