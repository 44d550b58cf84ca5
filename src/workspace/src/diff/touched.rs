//! Which paths may differ.

use super::upper::UpperNode;
use pyro_layer::{Kind, Toc};
use pyro_protocol::EntryKind;
use std::collections::BTreeMap;

/// A set of paths that may differ between two states: what one has in layers that the other has not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Everything below may differ, not only what is named.
    pub(super) whole: bool,
    pub(super) names: BTreeMap<Vec<u8>, Self>,
}

impl Touched {
    /// Adds what a layer touches that only one of the states has.
    pub fn add_layer(&mut self, toc: &Toc) {
        for entry in toc.entries() {
            let (directory, name) = match entry.path.iter().rposition(|byte| *byte == b'/') {
                Some(at) => (&entry.path[..at], &entry.path[at + 1..]),
                None => (&b""[..], &entry.path[..]),
            };
            match name.strip_prefix(b".wh.") {
                Some(b".wh..opq") => self.at(directory).whole = true,
                Some(hidden) if !hidden.starts_with(b".wh.") => {
                    self.at(directory).at(hidden).whole = true;
                }
                Some(_) => {}
                // A directory alone hides nothing; anything else hides a directory below.
                None => self.at(&entry.path).whole |= entry.kind != Kind::Directory,
            }
        }
    }

    /// Adds what a writable layer holds.
    pub(super) fn add_upper(&mut self, node: &UpperNode) {
        match node.entry.kind {
            EntryKind::Directory { opaque } => self.whole |= opaque,
            _ => self.whole = true,
        }
        for (name, child) in &node.children {
            self.at(name).add_upper(child);
        }
    }

    fn at(&mut self, path: &[u8]) -> &mut Self {
        let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        names.fold(self, |here, name| here.names.entry(name.to_vec()).or_default())
    }

    /// What is touched at or below `path`.
    pub(super) fn below(self, path: &[u8]) -> Self {
        let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        let mut here = self;
        for name in names {
            here = match here.names.remove(name) {
                Some(next) => Self { whole: next.whole | here.whole, ..next },
                None => Self { whole: here.whole, names: BTreeMap::new() },
            };
        }
        here
    }
}
