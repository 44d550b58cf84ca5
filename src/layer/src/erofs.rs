//! The EROFS index: a file system without file data, whose files lie in the extents after it.
//!
//! On the disk: superblock, inodes (each with its attributes and, where they fit, the bytes of a
//! symbolic link or the end of a directory), blocks of long directories and links, padding; then the
//! layers. Two passes over the tree: the first one gives everything its place, the second one writes.

mod format;
mod read;

use crate::tree::LayerSize;
use crate::{Content, Device, Node, NodeId, NodeKind, Part, Payload, Tree, Xattr};
use format::{BLOCK, DirectoryBlock, DirectorySize, FileType, INODE, INODES_OFFSET, Inode, Layout, SLOT};
use std::io::{self, Write};
use std::sync::LazyLock;

pub use format::NumberedName;
pub use read::{Index, IndexError, IndexInode, InodeKind, NameExtent, ReadAt};

/// The layers begin at a multiple of this, so that a host's page holds no two parts.
const PAGE: u64 = 4096;

/// Why an index cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ErofsError {
    /// Writing failed.
    #[error("the index cannot be written: {0}")]
    Write(#[from] io::Error),
    /// Block numbers have 32 bits.
    #[error("index and layers are over 2 TiB together")]
    TooLarge,
}

/// An index that was written, and the disk that it belongs to: the extents, in this order and with
/// nothing between them. The index is of no use with any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Parts of the disk, none of them empty. The first one is the index.
    pub extents: Vec<Extent>,
    /// Length of the index; a multiple of 4096.
    pub index_bytes: u64,
}

/// One part of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// What it is; always from its first byte on.
    pub source: Source,
    /// Length in sectors of 512 bytes. A tar's last, incomplete sector is not on the disk: no
    /// member's data can be there.
    pub sectors: u64,
}

/// What an extent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The index itself.
    Index,
    /// The tar of this layer, counted from 0, the lowest.
    Tar(usize),
    /// The auxiliary part of this layer.
    Aux(usize),
}

/// Writes the index of `tree` to `out`, and tells of which parts its disk consists.
///
/// # Errors
/// [`ErofsError`].
pub fn write_index(tree: &Tree<'_>, out: impl Write) -> Result<Disk, ErofsError> {
    let plan = Plan::of(tree)?;
    Writer { tree, plan: &plan, out, written: 0, buffer: Vec::new() }.run()?;
    Ok(Disk { extents: plan.extents, index_bytes: plan.index_bytes })
}

/// Where everything goes.
struct Plan {
    /// Nodes in the order of their inodes.
    order: Vec<NodeId>,
    /// For each node of the tree, the place of its inode, if it has one.
    places: Vec<Place>,
    /// First block of each layer's tar and auxiliary part.
    parts: Vec<(u64, u64)>,
    extents: Vec<Extent>,
    /// End of the inodes.
    inodes_end: u64,
    index_bytes: u64,
    /// Blocks of the whole disk.
    blocks: u32,
}

#[derive(Clone, Copy)]
struct Place {
    /// Offset of the inode; 0 for a node without one.
    offset: u64,
    /// Bytes of the directory or symbolic link.
    size: u64,
    /// Whether the last part of those follows the inode.
    inline: bool,
    /// The first block of what does not, counted from the end of the inodes.
    block: u64,
    /// The inode of the directory that a directory is in.
    parent: NodeId,
}

impl Place {
    const NONE: Self = Self { offset: 0, size: 0, inline: false, block: 0, parent: NodeId::ROOT };
}

impl Plan {
    fn of(tree: &Tree<'_>) -> Result<Self, ErofsError> {
        let mut plan = Self {
            order: Vec::new(),
            places: vec![Place::NONE; tree.nodes.len()],
            parts: Vec::new(),
            extents: Vec::new(),
            inodes_end: INODES_OFFSET,
            index_bytes: 0,
            blocks: 0,
        };
        let mut blocks = 0;
        plan.place(tree, NodeId::ROOT, NodeId::ROOT, &mut blocks);
        let mut next = 0;
        // Breadth first: the inodes of one directory lie together.
        while let Some(&id) = plan.order.get(next) {
            next += 1;
            if let NodeKind::Directory(directory) = &tree.node(id).kind {
                for (_, child) in directory.iter() {
                    plan.place(tree, child, id, &mut blocks);
                }
            }
        }
        plan.inodes_end = plan.inodes_end.next_multiple_of(BLOCK);
        plan.index_bytes = (plan.inodes_end + blocks * BLOCK).next_multiple_of(PAGE);
        plan.lay_out(tree.layers())?;
        Ok(plan)
    }

    fn place(&mut self, tree: &Tree<'_>, id: NodeId, parent: NodeId, blocks: &mut u64) {
        if self.places[id.index()].offset != 0 {
            return; // another name of a node that has its place
        }
        let node = tree.node(id);
        let size = match &node.kind {
            NodeKind::Symlink(target) => target.len() as u64,
            NodeKind::Directory(_) => directory_size(tree, id),
            _ => 0,
        };
        let head = INODE + format::xattr_bytes(xattrs(node));
        let tail = size % BLOCK;
        // The bytes that follow an inode may not cross a block; if no place serves, they get one.
        let inline = tail > 0 && head % SLOT + tail <= BLOCK;
        let mut offset = self.inodes_end.next_multiple_of(SLOT);
        while inline && (offset + head) % BLOCK + tail > BLOCK {
            offset += SLOT;
        }
        let whole = if inline { size / BLOCK } else { size.div_ceil(BLOCK) };
        self.places[id.index()] = Place { offset, size, inline, block: *blocks, parent };
        *blocks += whole;
        self.inodes_end = offset + head + if inline { tail } else { 0 };
        self.order.push(id);
    }

    /// Puts the layers after the index.
    fn lay_out(&mut self, layers: &[LayerSize]) -> Result<(), ErofsError> {
        let mut end = 0;
        let mut extents = Vec::new();
        let mut add = |source, bytes: u64| {
            let start = end;
            let sectors = bytes / BLOCK;
            end += sectors;
            if sectors > 0 {
                extents.push(Extent { source, sectors });
            }
            // Sums of lengths that are each checked cannot overflow 64 bits.
            if end > format::BLOCKS_MAX { Err(ErofsError::TooLarge) } else { Ok(start) }
        };
        add(Source::Index, self.index_bytes)?;
        for (number, layer) in layers.iter().enumerate() {
            let tar = add(Source::Tar(number), layer.tar_bytes)?;
            let aux = add(Source::Aux(number), layer.aux_bytes)?;
            self.parts.push((tar, aux));
        }
        self.blocks = u32::try_from(end).map_err(|_| ErofsError::TooLarge)?;
        self.extents = extents;
        Ok(())
    }

    fn number(&self, id: NodeId) -> u64 {
        self.places[id.index()].offset / SLOT
    }

    /// The first block of a file's data.
    fn block_of(&self, content: Content) -> u32 {
        let (tar, aux) = self.parts[content.layer];
        let start = match content.payload.part {
            Part::Tar => tar,
            Part::Aux => aux,
        };
        u32::try_from(start + content.payload.offset / BLOCK)
            .expect("a table's payloads lie within its layer, and the layers below 2 TiB")
    }
}

/// `.` and `..` stand among the names, in bytewise order.
fn names<'t>(tree: &'t Tree<'_>, id: NodeId, parent: NodeId) -> impl Iterator<Item = (&'t [u8], NodeId)> {
    let NodeKind::Directory(directory) = &tree.node(id).kind else {
        unreachable!("only directories have names")
    };
    let mut dots = [(&b"."[..], id), (&b".."[..], parent)].into_iter().peekable();
    let mut names = directory.iter().peekable();
    std::iter::from_fn(move || match (dots.peek(), names.peek()) {
        (Some((dot, _)), Some((name, _))) if dot < name => dots.next(),
        (_, Some(_)) => names.next(),
        _ => dots.next(),
    })
}

fn directory_size(tree: &Tree<'_>, id: NodeId) -> u64 {
    let mut size = DirectorySize::default();
    // The parent's name is `..` whatever its number.
    for (name, _) in names(tree, id, id) {
        size.add(name);
    }
    size.bytes()
}

/// Makes a directory opaque, with the value `y`.
const OPAQUE_NAME: &[u8] = b"trusted.overlay.opaque";

/// Says that a directory may hold whiteouts: "copied from a layer below, nobody knows where".
const ORIGIN_NAME: &[u8] = b"trusted.overlay.origin";

/// A directory's attributes: its own, and what overlayfs is told by. (Of its own, none has such a name.)
fn xattrs<'t>(node: &'t Node<'_>) -> impl Iterator<Item = &'t Xattr> {
    static OPAQUE: LazyLock<Xattr> =
        LazyLock::new(|| Xattr { name: OPAQUE_NAME.into(), value: (*b"y").into() });
    static ORIGIN: LazyLock<Xattr> = LazyLock::new(|| Xattr { name: ORIGIN_NAME.into(), value: [].into() });
    let (opaque, whiteouts) = match &node.kind {
        NodeKind::Directory(directory) => (directory.opaque, directory.whiteouts),
        _ => (false, false),
    };
    node.meta.xattrs.iter().chain(opaque.then(|| &*OPAQUE)).chain(whiteouts.then(|| &*ORIGIN))
}

fn file_type(kind: &NodeKind<'_>) -> FileType {
    match kind {
        NodeKind::Directory(_) => FileType::Directory,
        NodeKind::File(_) => FileType::Regular,
        NodeKind::Symlink(_) => FileType::Symlink,
        NodeKind::Character(_) | NodeKind::Whiteout => FileType::Character,
        NodeKind::Block(_) => FileType::Block,
        NodeKind::Fifo => FileType::Fifo,
    }
}

struct Writer<'p, 'a, W> {
    tree: &'p Tree<'a>,
    plan: &'p Plan,
    out: W,
    /// Bytes given to `out`.
    written: u64,
    buffer: Vec<u8>,
}

/// Large enough that system calls do not count.
const BUFFER: usize = 128 << 10;

impl<W: Write> Writer<'_, '_, W> {
    fn run(mut self) -> Result<(), ErofsError> {
        let plan = self.plan;
        let root = u16::try_from(plan.number(NodeId::ROOT)).expect("the root's inode is the first one");
        self.buffer = format::superblock(root, plan.order.len() as u64, plan.blocks);
        let mut data = Vec::new();
        for (number, &id) in (0..).zip(&plan.order) {
            self.pad(plan.places[id.index()].offset)?;
            self.inode(id, number, &mut data)?;
        }
        self.pad(plan.inodes_end)?;
        for &id in &plan.order {
            let Place { size, inline, .. } = plan.places[id.index()];
            let own = if inline { size - size % BLOCK } else { size };
            if own > 0 {
                self.data(id, &mut data);
                self.buffer.extend_from_slice(&data[..own as usize]);
                self.pad(self.position().next_multiple_of(BLOCK))?;
            }
        }
        self.pad(plan.index_bytes)?;
        self.flush()?;
        self.out.flush()?;
        Ok(())
    }

    fn inode(&mut self, id: NodeId, number: u32, data: &mut Vec<u8>) -> Result<(), ErofsError> {
        let node = self.tree.node(id);
        let place = &self.plan.places[id.index()];
        let own_block = u32::try_from(self.plan.inodes_end / BLOCK + place.block);
        let own_block = own_block.map_err(|_| ErofsError::TooLarge)?;
        let (size, layout) = match &node.kind {
            NodeKind::File(Content { payload: Payload { size: 0, .. }, .. }) => (0, Layout::Plain(0)),
            NodeKind::File(content) => (content.payload.size, Layout::Plain(self.plan.block_of(*content))),
            NodeKind::Directory(_) | NodeKind::Symlink(_) if place.inline => {
                (place.size, Layout::Inline(own_block))
            }
            NodeKind::Directory(_) | NodeKind::Symlink(_) => (place.size, Layout::Plain(own_block)),
            NodeKind::Character(device) | NodeKind::Block(device) => (0, Layout::Device(*device)),
            NodeKind::Whiteout => (0, Layout::Device(Device { major: 0, minor: 0 })),
            NodeKind::Fifo => (0, Layout::Plain(0)),
        };
        let inode = Inode {
            kind: file_type(&node.kind),
            meta: node.meta,
            size,
            layout,
            xattr_bytes: format::xattr_bytes(xattrs(node)),
            number,
            links: node.links,
        };
        self.buffer.extend_from_slice(&inode.encode());
        format::write_xattrs(xattrs(node), &mut self.buffer);
        if place.inline {
            self.data(id, data);
            self.buffer.extend_from_slice(&data[(size - size % BLOCK) as usize..]);
        }
        Ok(())
    }

    /// The bytes of a symbolic link or a directory.
    fn data(&self, id: NodeId, out: &mut Vec<u8>) {
        out.clear();
        match &self.tree.node(id).kind {
            NodeKind::Symlink(target) => out.extend_from_slice(target),
            NodeKind::Directory(_) => self.directory(id, out),
            _ => {}
        }
    }

    fn directory(&self, id: NodeId, out: &mut Vec<u8>) {
        let parent = self.plan.places[id.index()].parent;
        let mut size = DirectorySize::default();
        let mut block = DirectoryBlock::default();
        for (name, child) in names(self.tree, id, parent) {
            if size.add(name) {
                block.flush(out);
                out.resize(out.len().next_multiple_of(BLOCK as usize), 0);
            }
            block.add(name, self.plan.number(child), file_type(&self.tree.node(child).kind));
        }
        block.flush(out);
    }

    fn position(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Fills up with zeros to `offset`.
    fn pad(&mut self, offset: u64) -> Result<(), ErofsError> {
        let gap = offset.checked_sub(self.position()).expect("both passes place everything alike");
        // Gaps are shorter than a page.
        self.buffer.resize(self.buffer.len() + gap as usize, 0);
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ErofsError> {
        self.out.write_all(&self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tarball::Tarball;
    use crate::{Limits, Toc, flatten, scan};
    use std::io::Cursor;

    fn toc(tar: &[u8]) -> Toc {
        scan(tar, &Limits::default(), Cursor::new(Vec::new())).unwrap()
    }

    fn index(tocs: &[Toc]) -> (Vec<u8>, Disk) {
        let mut bytes = Vec::new();
        let disk = write_index(&flatten(tocs).unwrap(), &mut bytes).unwrap();
        assert_eq!(disk.index_bytes, bytes.len() as u64);
        (bytes, disk)
    }

    #[test]
    fn a_disk_has_its_parts_in_order_and_no_empty_ones() {
        let sparse: &[(&str, &[u8])] = &[("GNU.sparse.size", b"1"), ("GNU.sparse.map", b"")];
        let first = Tarball::new().file("a", b"a").end();
        let second = Tarball::new().pax(sparse).file("b", b"").raw(&[0; 1024]).raw(b"tail").cut();
        let (bytes, disk) = index(&[toc(&first), toc(b""), toc(&second)]);
        let part = |source, sectors| Extent { source, sectors };
        let expected = [
            part(Source::Index, bytes.len() as u64 / 512),
            part(Source::Tar(0), 4),
            part(Source::Tar(2), 5),
            part(Source::Aux(2), 1),
        ];
        assert_eq!(disk.extents, expected);
        assert_eq!(disk.index_bytes % 4096, 0);
    }

    #[test]
    fn the_same_layers_give_the_same_index() {
        let tar = Tarball::new().dir("d").file("d/f", b"x").symlink("s", "d").end();
        let (once, _) = index(&[toc(&tar)]);
        let (again, _) = index(&[toc(&tar)]);
        assert_eq!(once, again);
        // Cached indexes are found by the digests of their layers: a change of the format must
        // change the name of the cache as well.
        let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
        assert_eq!(format!("{:08x}", crc.checksum(&once)), "fef6daf6");
    }

    #[test]
    fn a_disk_over_two_tebibytes_is_refused() {
        let mut huge = toc(&Tarball::new().end());
        huge.tar_bytes = 1 << 40;
        let layers = [huge.clone(), huge.clone()];
        let result = write_index(&flatten(&layers).unwrap(), std::io::sink());
        assert!(matches!(result, Err(ErofsError::TooLarge)), "{result:?}");
        assert!(write_index(&flatten(&layers[..1]).unwrap(), std::io::sink()).is_ok());
    }
}
