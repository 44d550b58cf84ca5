//! Finds what may differ, without looking at content.

use super::view::{Content, Directory, Kind, Node, View};
use super::{DEPTH_MAX, DiffError, Touched};
use crate::patch::{display_path, is_repository};
use pyro_protocol::path::is_within;
use std::collections::BTreeSet;

/// Something that differs, or two files whose content must tell.
#[derive(Debug)]
pub(super) struct Pair<'v> {
    /// Relative to where the comparison began.
    pub(super) path: Vec<u8>,
    pub(super) old: Option<Node<'v>>,
    pub(super) new: Option<Node<'v>>,
}

/// What may differ below `below`, of that only what is at or in `within`, sorted by path.
pub(super) fn pairs<'v>(
    old: &'v View,
    new: &'v View,
    below: &[u8],
    within: &[u8],
    mut touched: Touched,
) -> Result<Vec<Pair<'v>>, DiffError> {
    if let Some(upper) = new.upper() {
        touched.add_upper(upper);
    }
    let touched = touched.below(below);
    let mut search = Search { old, new, path: Vec::new(), found: Vec::new() };
    let directory = |node: Option<Node<'v>>| match node {
        Some(Node { kind: Kind::Directory(directory), .. }) => Some(directory),
        _ => None,
    };
    let (before, after) = (directory(old.find(below)?), directory(new.find(below)?));
    let hint = Hint { touched: Some(&touched), whole: touched.whole };
    search.directories(before.as_ref(), after.as_ref(), hint, 0)?;
    search.found.retain(|pair| is_within(&pair.path, within));
    search.found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(search.found)
}

/// Where to look in a directory: at these names, or at all.
#[derive(Clone, Copy)]
struct Hint<'t> {
    touched: Option<&'t Touched>,
    whole: bool,
}

struct Search<'v> {
    old: &'v View,
    new: &'v View,
    path: Vec<u8>,
    found: Vec<Pair<'v>>,
}

impl<'v> Search<'v> {
    /// Compares what is in two directories, one of which may not be there.
    fn directories(
        &mut self,
        old: Option<&Directory<'v>>,
        new: Option<&Directory<'v>>,
        Hint { touched, whole }: Hint<'_>,
        depth: usize,
    ) -> Result<(), DiffError> {
        if depth > DEPTH_MAX {
            return Err(DiffError::Deep(display_path(&self.path)));
        }
        let whole = whole || old.is_none() || new.is_none();
        let names: BTreeSet<Vec<u8>> = if whole {
            let mut names = old.map_or_else(|| Ok(BTreeSet::new()), |old| self.old.names(old))?;
            names.extend(new.map_or_else(|| Ok(BTreeSet::new()), |new| self.new.names(new))?);
            names
        } else {
            touched.into_iter().flat_map(|touched| touched.names.keys().cloned()).collect()
        };
        for name in names {
            if is_repository(&name) {
                continue;
            }
            let before = old.map_or(Ok(None), |old| self.old.child(old, &name))?;
            let after = new.map_or(Ok(None), |new| self.new.child(new, &name))?;
            let below = touched.and_then(|touched| touched.names.get(&name));
            let below = Hint { touched: below, whole: whole || below.is_some_and(|below| below.whole) };
            let length = self.path.len();
            if length > 0 {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(&name);
            self.pair(before, after, below, depth)?;
            self.path.truncate(length);
        }
        Ok(())
    }

    fn pair(
        &mut self,
        old: Option<Node<'v>>,
        new: Option<Node<'v>>,
        hint: Hint<'_>,
        depth: usize,
    ) -> Result<(), DiffError> {
        let directory = |node: &Option<Node<'v>>| matches!(node, Some(Node { kind: Kind::Directory(_), .. }));
        let before = self.found.len();
        if directory(&old) || directory(&new) {
            let (a, b) = (inside(&old), inside(&new));
            self.directories(a, b, hint, depth + 1)?;
        }
        let empty = self.found.len() == before;
        let differs = match (&old, &new) {
            (None, None) => false,
            (Some(old), Some(new)) => self.differ(old, new),
            // git knows no directories; one that comes or goes with all that is in it is only in the way.
            (Some(node), None) | (None, Some(node)) => empty || !matches!(node.kind, Kind::Directory(_)),
        };
        if differs {
            self.found.push(Pair { path: self.path.clone(), old, new });
        }
        Ok(())
    }

    /// Whether two things differ, or are files that may.
    fn differ(&self, old: &Node<'v>, new: &Node<'v>) -> bool {
        let same = match (&old.kind, &new.kind) {
            (Kind::Directory(_), Kind::Directory(_))
            | (Kind::Fifo, Kind::Fifo)
            | (Kind::Socket, Kind::Socket) => true,
            (Kind::File(before), Kind::File(after)) => self.is_same_place(*before, *after),
            (Kind::Symlink(before), Kind::Symlink(after)) => before == after,
            (Kind::Character(a, b), Kind::Character(c, d)) | (Kind::Block(a, b), Kind::Block(c, d)) => {
                (a, b) == (c, d)
            }
            _ => false,
        };
        // Links have no permissions of their own.
        let modes = old.mode == new.mode || matches!(new.kind, Kind::Symlink(_));
        !same || !modes || (old.uid, old.gid) != (new.uid, new.gid) || old.xattrs != new.xattrs
    }

    /// Whether two contents are the same bytes of the same tar.
    fn is_same_place(&self, old: Content, new: Content) -> bool {
        let place = |view: &'v View, content| match content {
            Content::Lower { number, extent } => Some((view.lower(number).place(extent).ok()?, extent.size)),
            Content::Upper { .. } => None,
        };
        place(self.old, old).is_some_and(|old| place(self.new, new) == Some(old))
    }
}

fn inside<'a, 'v>(node: &'a Option<Node<'v>>) -> Option<&'a Directory<'v>> {
    match node {
        Some(Node { kind: Kind::Directory(directory), .. }) => Some(directory),
        _ => None,
    }
}
