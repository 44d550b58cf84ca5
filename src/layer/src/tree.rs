//! A file tree merged from layers.

use crate::{Device, Meta, Payload};
use std::collections::{BTreeMap, btree_map};

/// A merged tree. It borrows names and attributes from the tables that it was made from.
#[derive(Debug)]
pub struct Tree<'a> {
    /// Every node that ever was; some may have lost all their names.
    pub(crate) nodes: Vec<Node<'a>>,
    pub(crate) layers: Vec<LayerSize>,
}

/// Lengths of the two parts of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerSize {
    /// Length of the tar.
    pub tar_bytes: u64,
    /// Length of the auxiliary part; a multiple of 512.
    pub aux_bytes: u64,
}

/// Names a [`Node`] of one [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) u32);

impl NodeId {
    pub(crate) const ROOT: Self = Self(0);

    /// A small number that no other node of the tree has.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What an inode is: hard links share it.
#[derive(Debug)]
pub struct Node<'a> {
    /// What it is.
    pub kind: NodeKind<'a>,
    /// Mode, owner, time, attributes.
    pub meta: &'a Meta,
    /// How many links it has: its names, or 2 and one for each subdirectory for a directory.
    pub links: u32,
}

/// Kinds of nodes.
#[derive(Debug)]
pub enum NodeKind<'a> {
    /// A directory.
    Directory(Directory<'a>),
    /// A regular file.
    File(Content),
    /// A symbolic link and its target.
    Symlink(&'a [u8]),
    /// A character device.
    Character(Device),
    /// A block device.
    Block(Device),
    /// A named pipe.
    Fifo,
    /// Hides a name of the layers below (overlay trees only); overlayfs' character device 0:0.
    Whiteout,
}

/// What a directory holds.
#[derive(Debug, Default)]
pub struct Directory<'a> {
    /// Hides what the layers below have in it (overlay trees only).
    pub opaque: bool,
    /// Holds whiteouts (overlay trees only). Overlayfs must be told, or it lists their names where no
    /// layer below has the directory.
    pub whiteouts: bool,
    pub(crate) names: BTreeMap<&'a [u8], Link>,
    /// The last layer that emptied it of what earlier layers had there.
    pub(crate) emptied_by: Option<u32>,
}

/// A name in a directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) node: NodeId,
    /// The layer that gave this name, or gave it last.
    pub(crate) layer: u32,
}

/// Where the bytes of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Number of the layer, counted from 0, the lowest.
    pub layer: usize,
    /// Place in that layer.
    pub payload: Payload,
}

impl<'a> Directory<'a> {
    /// The names in bytewise order, without `.` and `..`.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'a [u8], NodeId)> {
        self.names.iter().map(|(name, link)| (*name, link.node))
    }
}

impl<'a> Tree<'a> {
    /// The root; always a directory.
    #[must_use]
    pub fn root(&self) -> NodeId {
        NodeId::ROOT
    }

    /// A node of this tree.
    ///
    /// # Panics
    /// When `id` comes from another, larger tree.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node<'a> {
        &self.nodes[id.index()]
    }

    /// Lengths of the layers that it was merged from, lowest first.
    #[must_use]
    pub fn layers(&self) -> &[LayerSize] {
        &self.layers
    }

    /// Visits every name.
    #[must_use]
    pub fn walk(&self) -> Walk<'_, 'a> {
        Walk { tree: self, path: Vec::new(), open: Vec::new(), started: false }
    }

    /// The node at a path in the form of [`crate::Entry::path`]; no link is followed.
    #[must_use]
    pub fn find(&self, path: &[u8]) -> Option<NodeId> {
        if path.is_empty() {
            return Some(self.root());
        }
        path.split(|&byte| byte == b'/').try_fold(self.root(), |here, name| match &self.node(here).kind {
            NodeKind::Directory(directory) => directory.names.get(name).map(|link| link.node),
            _ => None,
        })
    }
}

/// One name met on a [`Walk`].
#[derive(Debug)]
pub struct Visit<'w, 't, 'a> {
    /// Path below the root; empty for the root itself.
    pub path: &'w [u8],
    /// Its node. One that has several names is met once for each.
    pub id: NodeId,
    /// The same.
    pub node: &'t Node<'a>,
}

/// Visits every name of a tree: a directory before what is in it, its names in bytewise order.
#[derive(Debug)]
pub struct Walk<'t, 'a> {
    tree: &'t Tree<'a>,
    path: Vec<u8>,
    /// For each directory that is being visited: the length of its path, and the names to come.
    open: Vec<(usize, btree_map::Iter<'t, &'a [u8], Link>)>,
    started: bool,
}

impl<'t, 'a> Walk<'t, 'a> {
    /// The next name. This is no `Iterator`, since the path is lent: a walk does not allocate per name.
    #[expect(clippy::should_implement_trait, reason = "what it returns borrows from the walk")]
    pub fn next(&mut self) -> Option<Visit<'_, 't, 'a>> {
        let id = if self.started { self.step()? } else { self.tree.root() };
        self.started = true;
        let node = self.tree.node(id);
        if let NodeKind::Directory(directory) = &node.kind {
            self.open.push((self.path.len(), directory.names.iter()));
        }
        Some(Visit { path: &self.path, id, node })
    }

    fn step(&mut self) -> Option<NodeId> {
        loop {
            let (length, names) = self.open.last_mut()?;
            self.path.truncate(*length);
            if let Some((name, link)) = names.next() {
                if !self.path.is_empty() {
                    self.path.push(b'/');
                }
                self.path.extend_from_slice(name);
                return Some(link.node);
            }
            self.open.pop();
        }
    }
}
