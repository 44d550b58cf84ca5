//! A file tree merged from layers.

use crate::{Device, Meta, Payload};
use std::collections::BTreeMap;

/// A merged tree. Borrows names and attributes from the tables that it was made from.
#[derive(Debug)]
pub struct Tree<'a> {
    pub(crate) nodes: Vec<Node<'a>>,
    /// For each layer, the lengths of its tar and of its auxiliary part.
    pub(crate) layers: Vec<(u64, u64)>,
}

/// Names a [`Node`] of one [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) u32);

/// What an inode is: hard links share it.
#[derive(Debug)]
pub struct Node<'a> {
    /// What it is.
    pub kind: NodeKind<'a>,
    /// Mode, owner, time, attributes.
    pub meta: &'a Meta,
    /// How many links it has: names for most, 2 and one for each subdirectory for a directory.
    pub links: u32,
}

/// Kinds of nodes.
#[derive(Debug)]
pub enum NodeKind<'a> {
    /// A directory.
    Directory {
        /// Hides what lower layers have there (overlay trees only).
        opaque: bool,
        /// Name, in bytewise order, to node.
        children: BTreeMap<&'a [u8], NodeId>,
    },
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
    /// Hides a name of lower layers (overlay trees only). overlayfs wants a character device 0:0.
    Whiteout,
}

/// Where the bytes of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Number of the layer, counted from 0, the lowest.
    pub layer: u32,
    /// Place in that layer.
    pub payload: Payload,
}

/// One name met on a [`Walk`].
#[derive(Debug)]
pub struct Visit<'t, 'a> {
    /// Path below the root; empty for the root itself.
    pub path: &'t [u8],
    /// Its node.
    pub id: NodeId,
    /// The same.
    pub node: &'t Node<'a>,
}

/// Visits every name of a tree, a directory before what is in it, names in bytewise order.
#[derive(Debug)]
pub struct Walk<'t, 'a> {
    tree: &'t Tree<'a>,
}

impl<'a> Tree<'a> {
    /// The root directory.
    #[must_use]
    pub fn root(&self) -> NodeId {
        NodeId(0)
    }

    /// A node.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node<'a> {
        &self.nodes[id.0 as usize]
    }

    /// Visits every name.
    #[must_use]
    pub fn walk(&self) -> Walk<'_, 'a> {
        Walk { tree: self }
    }

    /// The node at a path in the form of [`crate::Entry::path`], no link followed.
    #[must_use]
    pub fn find(&self, _path: &[u8]) -> Option<NodeId> {
        unimplemented!()
    }
}

impl<'t, 'a> Walk<'t, 'a> {
    /// The next name. Not an `Iterator`: the path is lent, so that a walk does not allocate.
    #[expect(clippy::should_implement_trait, reason = "what it returns borrows from the walk")]
    pub fn next(&mut self) -> Option<Visit<'_, 'a>> {
        let _ = self.tree;
        unimplemented!()
    }
}
