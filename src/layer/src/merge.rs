//! Merging the tables of a chain of layers into one tree.
//!
//! Within a layer the order of entries decides which of two of the same path stands, and to what a
//! hard link refers, but whiteouts act on earlier layers only, wherever in their layer they stand.

#[cfg(test)]
mod tests;

use crate::limits::{DEPTH_MAX, NAME_MAX};
use crate::name::display;
use crate::tree::{Directory, LayerSize, Link};
use crate::whiteout::Meaning;
use crate::{Content, Entry, Kind, Meta, Node, NodeId, NodeKind, Time, Toc, Tree};

/// Most components that are looked at on the way to one entry, symbolic links followed. Linux
/// follows 40 links; this bounds the time as well.
const STEPS_MAX: usize = 1024;

/// Directories that no layer describes, and whiteouts.
static BARE: Meta =
    Meta { mode: 0o755, uid: 0, gid: 0, mtime: Time { seconds: 0, nanos: 0 }, xattrs: Vec::new() };

/// Why layers cannot be merged.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {path:?} of layer {layer}: {problem}")]
pub struct MergeError {
    /// Number of the layer, counted from 0, the lowest.
    pub layer: usize,
    /// The entry, with odd bytes replaced.
    pub path: String,
    /// What is wrong with it.
    pub problem: MergeProblem,
}

/// What is wrong with an entry among others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeProblem {
    /// A hard link to nothing that came before it.
    #[error("it is a hard link to {0:?}, which does not exist before it")]
    LinkTarget(String),
    /// A hard link to a directory.
    #[error("it is a hard link to {0:?}, which is a directory")]
    LinkDirectory(String),
    /// Something that is no directory is on the way.
    #[error("{0:?} on its path is not a directory")]
    NotDirectory(String),
    /// Symbolic links on its path lead nowhere, or too far.
    #[error("there are too many symbolic links on its path, or they lead too deep")]
    Loop,
    /// It names no file that could be hidden.
    #[error("it is not a whiteout of anything")]
    Whiteout,
    /// The root must be a directory.
    #[error("the root is not a directory")]
    Root,
    /// More nodes than can be numbered.
    #[error("the layers have too many entries")]
    Entries,
}

/// Merges layers, lowest first, as an image is: whiteouts take effect and are gone.
///
/// Symbolic links on the way to an entry are followed inside the tree, as unpackers do.
///
/// # Errors
/// [`MergeError`] names layer and path.
pub fn flatten(layers: &[Toc]) -> Result<Tree<'_>, MergeError> {
    merge(layers, Style::Flatten)
}

/// Merges layers, lowest first, into one lower layer of overlayfs: whiteouts stay.
///
/// Only for layers that describe the parents of whatever they hold, and link only to what is in
/// `layers`, as those that pyro writes do.
///
/// # Errors
/// [`MergeError`] names layer and path.
pub fn overlay(layers: &[Toc]) -> Result<Tree<'_>, MergeError> {
    merge(layers, Style::Overlay)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Flatten,
    Overlay,
}

fn merge(layers: &[Toc], style: Style) -> Result<Tree<'_>, MergeError> {
    let root = Node { kind: NodeKind::Directory(Directory::default()), meta: &BARE, links: 0 };
    let mut merger = Merger { nodes: vec![root], style, layer: 0, recent: None };
    for (number, toc) in layers.iter().enumerate() {
        let at = |path: &[u8], problem| MergeError { layer: number, path: display(path), problem };
        merger.layer = u32::try_from(number).map_err(|_| at(b"", MergeProblem::Entries))?;
        merger.recent = None;
        for entry in toc.entries() {
            merger.apply(entry).map_err(|problem| at(&entry.path, problem))?;
        }
    }
    let sizes = layers.iter().map(|toc| LayerSize { tar_bytes: toc.tar_bytes(), aux_bytes: toc.aux_bytes() });
    let mut tree = Tree { nodes: merger.nodes, layers: sizes.collect() };
    count_links(&mut tree);
    if style == Style::Overlay {
        mark_whiteouts(&mut tree);
    }
    Ok(tree)
}

struct Merger<'a> {
    nodes: Vec<Node<'a>>,
    style: Style,
    layer: u32,
    /// The directory that was last looked up, as long as nothing on the way to it can have changed.
    recent: Option<(&'a [u8], NodeId)>,
}

impl<'a> Merger<'a> {
    fn apply(&mut self, entry: &'a Entry) -> Result<(), MergeProblem> {
        let overlay = self.style == Style::Overlay;
        match Meaning::of(&entry.path) {
            Meaning::Ignored => Ok(()),
            Meaning::Broken => Err(MergeProblem::Whiteout),
            Meaning::Root if entry.kind == Kind::Directory => {
                self.nodes[0].meta = &entry.meta;
                Ok(())
            }
            Meaning::Root => Err(MergeProblem::Root),
            Meaning::Entry { directory, name } => self.insert(directory, name, entry),
            Meaning::Opaque { directory } => {
                if let Some(directory) = self.directory(directory, overlay)? {
                    self.empty_of_older(directory);
                    self.names(directory).opaque = overlay;
                }
                Ok(())
            }
            Meaning::Whiteout { directory, name } => match self.directory(directory, overlay)? {
                Some(directory) => self.white_out(directory, name),
                None => Ok(()),
            },
        }
    }

    fn insert(&mut self, directory: &'a [u8], name: &'a [u8], entry: &'a Entry) -> Result<(), MergeProblem> {
        let kind = match &entry.kind {
            Kind::HardLink(target) => {
                let node = self.link_target(target)?;
                let directory = self.create(directory)?;
                self.put(directory, name, node);
                return Ok(());
            }
            Kind::Directory => {
                let directory = self.create(directory)?;
                return self.insert_directory(directory, name, &entry.meta);
            }
            Kind::File(payload) => NodeKind::File(Content { layer: self.layer as usize, payload: *payload }),
            Kind::Symlink(target) => NodeKind::Symlink(target),
            Kind::Character(device) => NodeKind::Character(*device),
            Kind::Block(device) => NodeKind::Block(*device),
            Kind::Fifo => NodeKind::Fifo,
        };
        let directory = self.create(directory)?;
        let node = self.add(kind, &entry.meta)?;
        self.put(directory, name, node);
        Ok(())
    }

    /// A directory over a directory keeps what is in it; over anything else it starts empty, and
    /// then what the layers below have of that name must not shine through.
    fn insert_directory(
        &mut self,
        directory: NodeId,
        name: &'a [u8],
        meta: &'a Meta,
    ) -> Result<(), MergeProblem> {
        let old = self.child(directory, name);
        if let Some(link) = old
            && let NodeKind::Directory(_) = self.nodes[link.node.index()].kind
        {
            self.nodes[link.node.index()].meta = meta;
            let link = Link { layer: self.layer, ..link };
            self.names(directory).names.insert(name, link);
            return Ok(());
        }
        let opaque = old.is_some() && self.style == Style::Overlay;
        let node = self.add(NodeKind::Directory(Directory { opaque, ..Directory::default() }), meta)?;
        self.put(directory, name, node);
        Ok(())
    }

    fn link_target(&mut self, target: &'a [u8]) -> Result<NodeId, MergeProblem> {
        let missing = || MergeProblem::LinkTarget(display(target));
        let Meaning::Entry { directory, name } = Meaning::of(target) else { return Err(missing()) };
        let directory = self.directory(directory, false)?.ok_or_else(missing)?;
        let node = self.child(directory, name).ok_or_else(missing)?.node;
        match self.nodes[node.index()].kind {
            NodeKind::Directory(_) => Err(MergeProblem::LinkDirectory(display(target))),
            NodeKind::Whiteout => Err(missing()),
            _ => Ok(node),
        }
    }

    fn white_out(&mut self, directory: NodeId, name: &'a [u8]) -> Result<(), MergeProblem> {
        let overlay = self.style == Style::Overlay;
        if let Some(link) = self.child(directory, name)
            && (link.layer == self.layer || self.has_current(link.node))
        {
            // This layer has something new of that name, and hides only what was before.
            if let NodeKind::Directory(_) = self.nodes[link.node.index()].kind {
                self.empty_of_older(link.node);
                self.names(link.node).opaque |= overlay;
                self.renew(directory, name, link);
            }
        } else if overlay {
            let node = self.add(NodeKind::Whiteout, &BARE)?;
            self.put(directory, name, node);
        } else {
            self.recent = None;
            self.names(directory).names.remove(name);
        }
        Ok(())
    }

    /// Whether this layer put anything into the directory `node`, or into one below it.
    fn has_current(&self, node: NodeId) -> bool {
        let NodeKind::Directory(directory) = &self.nodes[node.index()].kind else { return false };
        directory.names.values().any(|link| link.layer == self.layer || self.has_current(link.node))
    }

    /// Takes from a directory what earlier layers put there. Directories of theirs stay where this
    /// layer has put something into them.
    fn empty_of_older(&mut self, directory: NodeId) {
        let layer = self.layer;
        if self.names(directory).emptied_by.replace(layer) == Some(layer) {
            // Nothing older can have come since; a layer that says it again costs nothing.
            return;
        }
        self.recent = None;
        let links: Vec<(&[u8], Link)> =
            self.names(directory).names.iter().map(|(name, link)| (*name, *link)).collect();
        for (name, link) in links {
            if let NodeKind::Directory(_) = self.nodes[link.node.index()].kind {
                self.empty_of_older(link.node);
                if link.layer == self.layer || !self.names(link.node).names.is_empty() {
                    self.renew(directory, name, link);
                    continue;
                }
            } else if link.layer == self.layer {
                continue;
            }
            self.names(directory).names.remove(name);
        }
    }

    /// A directory of an earlier layer that this layer uses but does not describe becomes one that
    /// nobody describes.
    fn renew(&mut self, directory: NodeId, name: &'a [u8], link: Link) {
        if link.layer != self.layer {
            self.nodes[link.node.index()].meta = &BARE;
            let link = Link { layer: self.layer, ..link };
            self.names(directory).names.insert(name, link);
        }
    }

    /// The directory at `path`, made with its parents where it is missing.
    fn create(&mut self, path: &'a [u8]) -> Result<NodeId, MergeProblem> {
        // With `create` there is always one, or an error.
        Ok(self.directory(path, true)?.unwrap_or(NodeId::ROOT))
    }

    fn directory(&mut self, path: &'a [u8], create: bool) -> Result<Option<NodeId>, MergeProblem> {
        if path.is_empty() {
            return Ok(Some(NodeId::ROOT));
        }
        if let Some((recent, node)) = self.recent
            && recent == path
        {
            return Ok(Some(node));
        }
        let found = self.look_up(path, create)?;
        self.recent = found.map(|node| (path, node));
        Ok(found)
    }

    /// Goes down `path`, through symbolic links, but never above the root.
    fn look_up(&mut self, path: &'a [u8], create: bool) -> Result<Option<NodeId>, MergeProblem> {
        let mut trail = vec![NodeId::ROOT];
        let mut ahead: Vec<&'a [u8]> = path.rsplit(|&byte| byte == b'/').collect();
        let mut steps = 0;
        while let Some(name) = ahead.pop() {
            steps += 1;
            if steps > STEPS_MAX || trail.len() > DEPTH_MAX || name.len() > NAME_MAX {
                return Err(MergeProblem::Loop);
            }
            match name {
                b"" | b"." => continue,
                b".." => {
                    trail.truncate((trail.len() - 1).max(1));
                    continue;
                }
                _ => {}
            }
            let here = trail[trail.len() - 1];
            let Some(link) = self.child(here, name) else {
                if !create {
                    return Ok(None);
                }
                let node = self.add(NodeKind::Directory(Directory::default()), &BARE)?;
                self.put(here, name, node);
                trail.push(node);
                continue;
            };
            match self.nodes[link.node.index()].kind {
                NodeKind::Directory(_) => trail.push(link.node),
                NodeKind::Symlink(target) if self.style == Style::Flatten => {
                    if target.starts_with(b"/") {
                        trail.truncate(1);
                    }
                    ahead.extend(target.rsplit(|&byte| byte == b'/'));
                }
                NodeKind::Whiteout if create => {
                    self.insert_directory(here, name, &BARE)?;
                    ahead.push(name);
                }
                _ if create => return Err(MergeProblem::NotDirectory(display(name))),
                _ => return Ok(None),
            }
        }
        Ok(trail.pop())
    }

    fn child(&self, directory: NodeId, name: &[u8]) -> Option<Link> {
        match &self.nodes[directory.index()].kind {
            NodeKind::Directory(directory) => directory.names.get(name).copied(),
            _ => None,
        }
    }

    fn names(&mut self, directory: NodeId) -> &mut Directory<'a> {
        match &mut self.nodes[directory.index()].kind {
            NodeKind::Directory(directory) => directory,
            _ => unreachable!("only directories are looked up, and a node never changes its kind"),
        }
    }

    fn add(&mut self, kind: NodeKind<'a>, meta: &'a Meta) -> Result<NodeId, MergeProblem> {
        let id = u32::try_from(self.nodes.len()).map_err(|_| MergeProblem::Entries)?;
        self.nodes.push(Node { kind, meta, links: 0 });
        Ok(NodeId(id))
    }

    fn put(&mut self, directory: NodeId, name: &'a [u8], node: NodeId) {
        let link = Link { node, layer: self.layer };
        if let Some(old) = self.names(directory).names.insert(name, link)
            && let NodeKind::Directory(_) | NodeKind::Symlink(_) = self.nodes[old.node.index()].kind
        {
            self.recent = None;
        }
    }
}

fn count_links(tree: &mut Tree<'_>) {
    let mut links = vec![0_u32; tree.nodes.len()];
    let mut open = vec![NodeId::ROOT];
    while let Some(id) = open.pop() {
        let NodeKind::Directory(directory) = &tree.nodes[id.index()].kind else { continue };
        links[id.index()] += 2;
        for (_, child) in directory.iter() {
            if let NodeKind::Directory(_) = tree.nodes[child.index()].kind {
                links[id.index()] += 1;
                open.push(child);
            } else {
                links[child.index()] += 1;
            }
        }
    }
    for (node, links) in tree.nodes.iter_mut().zip(links) {
        node.links = links;
    }
}

fn mark_whiteouts(tree: &mut Tree<'_>) {
    let is_whiteout: Vec<bool> =
        tree.nodes.iter().map(|node| matches!(node.kind, NodeKind::Whiteout)).collect();
    for node in &mut tree.nodes {
        if let NodeKind::Directory(directory) = &mut node.kind {
            directory.whiteouts = directory.names.values().any(|link| is_whiteout[link.node.index()]);
        }
    }
}
