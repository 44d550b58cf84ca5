//! One state of a file tree: layers, and perhaps what the writable layer holds.

use super::DiffError;
use super::lower::{Extent, Lower};
use super::upper::{Upper, UpperNode};
use pyro_layer::{IndexInode, InodeKind, NameExtent};
use pyro_protocol::EntryKind;
use std::collections::BTreeSet;

/// A state of a file tree, seen as overlayfs shows it.
#[derive(Debug)]
pub struct View {
    upper: Option<Upper>,
    /// The topmost first.
    lowers: Vec<Lower>,
}

/// Something at a path.
#[derive(Debug)]
pub(super) struct Node<'v> {
    pub(super) kind: Kind<'v>,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Sorted by name.
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Kinds of [`Node`].
#[derive(Debug)]
pub(super) enum Kind<'v> {
    Directory(Directory<'v>),
    File(Content),
    Symlink(Vec<u8>),
    Character(u32, u32),
    Block(u32, u32),
    Fifo,
    Socket,
}

/// Where the bytes of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// In the writable layer: the agent has them.
    Upper { size: u64 },
    /// In the layers of the lower with this number.
    Lower { number: usize, extent: Extent },
}

/// A directory: the parts of it in each layer that is not hidden, the topmost first.
#[derive(Debug, Default)]
pub(super) struct Directory<'v> {
    upper: Option<&'v UpperNode>,
    lowers: Vec<(usize, NameExtent)>,
}

impl View {
    /// A state of these layers, the topmost first, below what a writable layer holds.
    #[must_use]
    pub fn new(upper: Option<Upper>, lowers: Vec<Lower>) -> Self {
        Self { upper, lowers }
    }

    pub(super) fn upper(&self) -> Option<&UpperNode> {
        self.upper.as_ref().map(|upper| &upper.root)
    }

    pub(super) fn lower(&self, number: usize) -> &Lower {
        &self.lowers[number]
    }

    /// What is at `path`; no link on the way is followed.
    pub(super) fn find(&self, path: &[u8]) -> Result<Option<Node<'_>>, DiffError> {
        let mut node = self.root()?;
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            let Some(Node { kind: Kind::Directory(directory), .. }) = node else { return Ok(None) };
            node = self.child(&directory, name)?;
        }
        Ok(node)
    }

    fn root(&self) -> Result<Option<Node<'_>>, DiffError> {
        let roots: Result<Vec<IndexInode>, _> = self.lowers.iter().map(Lower::root).collect();
        self.join(self.upper(), roots?.into_iter().enumerate().map(Ok))
    }

    /// What `name` is in a directory.
    pub(super) fn child<'v>(
        &'v self,
        directory: &Directory<'v>,
        name: &[u8],
    ) -> Result<Option<Node<'v>>, DiffError> {
        let upper = directory.upper.and_then(|upper| upper.children.get(name));
        let found = directory.lowers.iter().filter_map(|(number, names)| {
            let found = self.lowers[*number].find(names, name).transpose()?;
            Some(found.map(|inode| (*number, inode)).map_err(DiffError::from))
        });
        self.join(upper, found)
    }

    /// Lays what the layers have of one name over each other, the topmost first.
    fn join<'v>(
        &'v self,
        upper: Option<&'v UpperNode>,
        lowers: impl Iterator<Item = Result<(usize, IndexInode), DiffError>>,
    ) -> Result<Option<Node<'v>>, DiffError> {
        let mut node = None;
        if let Some(upper) = upper {
            if upper.entry.kind == EntryKind::Whiteout {
                return Ok(None);
            }
            let top = of_upper(upper);
            if !matches!(upper.entry.kind, EntryKind::Directory { opaque: false }) {
                return Ok(Some(top));
            }
            node = Some(top);
        }
        for found in lowers {
            let (number, inode) = found?;
            match (&inode.kind, &mut node) {
                (InodeKind::Directory { opaque, names }, Some(Node { kind: Kind::Directory(top), .. })) => {
                    top.lowers.push((number, *names));
                    if *opaque {
                        break;
                    }
                }
                (InodeKind::Directory { opaque: false, .. }, None) => node = of_lower(number, inode),
                // Below a directory, what is none is hidden; below anything else, everything is.
                (_, Some(_)) => break,
                (_, None) => return Ok(of_lower(number, inode)),
            }
        }
        Ok(node)
    }

    /// All names in a directory that may be there; some may be hidden.
    pub(super) fn names(&self, directory: &Directory<'_>) -> Result<BTreeSet<Vec<u8>>, DiffError> {
        let mut names = BTreeSet::new();
        names.extend(directory.upper.iter().flat_map(|upper| upper.children.keys().cloned()));
        for (number, extent) in &directory.lowers {
            names.extend(self.lowers[*number].list(extent)?.into_iter().map(|(name, _)| name.into_vec()));
        }
        Ok(names)
    }
}

fn of_upper(upper: &UpperNode) -> Node<'_> {
    let entry = &upper.entry;
    let kind = match &entry.kind {
        EntryKind::Directory { .. } => Kind::Directory(Directory { upper: Some(upper), lowers: Vec::new() }),
        EntryKind::File { size } => Kind::File(Content::Upper { size: *size }),
        EntryKind::Symlink(target) => Kind::Symlink(target.to_vec()),
        EntryKind::Character(major, minor) => Kind::Character(*major, *minor),
        EntryKind::Block(major, minor) => Kind::Block(*major, *minor),
        EntryKind::Fifo => Kind::Fifo,
        EntryKind::Socket | EntryKind::Whiteout => Kind::Socket,
    };
    let mut xattrs: Vec<_> =
        entry.xattrs.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    xattrs.sort();
    Node { kind, mode: entry.mode & 0o7777, uid: entry.uid, gid: entry.gid, xattrs }
}

fn of_lower<'v>(number: usize, inode: IndexInode) -> Option<Node<'v>> {
    let kind = match inode.kind {
        InodeKind::Directory { names, .. } => {
            Kind::Directory(Directory { upper: None, lowers: vec![(number, names)] })
        }
        InodeKind::File { offset, size } => {
            Kind::File(Content::Lower { number, extent: Extent { offset, size } })
        }
        InodeKind::Symlink(target) => Kind::Symlink(target.into()),
        InodeKind::Character(device) => Kind::Character(device.major, device.minor),
        InodeKind::Block(device) => Kind::Block(device.major, device.minor),
        InodeKind::Fifo => Kind::Fifo,
        InodeKind::Whiteout => return None,
    };
    let xattrs = inode.xattrs.into_iter().map(|xattr| (xattr.name.into(), xattr.value.into())).collect();
    Some(Node { kind, mode: inode.mode.into(), uid: inode.uid, gid: inode.gid, xattrs })
}
