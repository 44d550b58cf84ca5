//! EROFS on disk: the superblock, inodes, directory blocks and attributes that we write.
//!
//! Little endian. No incompatible feature is used, so every kernel whose EROFS can do blocks smaller
//! than a page reads it.

use crate::{Device, Meta, Time, Xattr};
use crc::{CRC_32_ISCSI, Crc, Table};

/// Block size: that of tar, so that any payload can be pointed at.
pub(super) const BLOCK: u64 = 512;
const BLOCK_BITS: u8 = 9;
/// The superblock is 1024 bytes into the disk; its checksum covers the block there.
pub(super) const SUPER_OFFSET: u64 = 1024;
/// The first inode is in the block after that.
pub(super) const INODES_OFFSET: u64 = SUPER_OFFSET + BLOCK;
/// Inodes are numbered by their place: one number for each 32 bytes of the disk.
pub(super) const SLOT: u64 = 32;
/// An extended inode: has 32-bit owners, 64-bit sizes and times with nanoseconds.
pub(super) const INODE: u64 = 64;
/// Number, offset of the name, type: before the names of a directory block.
pub(super) const DIRENT: usize = 12;
/// Most blocks of a disk: block numbers have 32 bits, and the last one means "none".
pub(super) const BLOCKS_MAX: u64 = u32::MAX as u64;

const MAGIC: u32 = 0xe0f5_e1e2;
/// Compatible features: the superblock has a checksum; inodes have modification times.
const FEATURES: u32 = 0x1 | 0x2;
/// The checksum as EROFS computes it is not inverted at the end.
const CRC32C: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&crc::Algorithm { xorout: 0, ..CRC_32_ISCSI });

/// File types of directory entries.
#[derive(Clone, Copy)]
pub(super) enum FileType {
    Regular = 1,
    Directory = 2,
    Character = 3,
    Block = 4,
    Fifo = 5,
    Symlink = 7,
}

impl FileType {
    /// What a mode's bits say.
    fn of(mode: u16) -> Option<Self> {
        let all = [Self::Regular, Self::Directory, Self::Character, Self::Block, Self::Fifo, Self::Symlink];
        all.into_iter().find(|kind| kind.mode() == mode & 0o170_000)
    }

    /// The type's bits of a mode.
    fn mode(self) -> u16 {
        match self {
            Self::Fifo => 0o010_000,
            Self::Character => 0o020_000,
            Self::Directory => 0o040_000,
            Self::Block => 0o060_000,
            Self::Regular => 0o100_000,
            Self::Symlink => 0o120_000,
        }
    }
}

/// Where the bytes of an inode are.
#[derive(Clone, Copy)]
pub(super) enum Layout {
    /// In blocks, from this one on.
    Plain(u32),
    /// In blocks, from this one on, but for what does not fill a block: that follows the inode.
    Inline(u32),
    /// Nowhere: the same field holds a device number.
    Device(Device),
}

/// An inode.
pub(super) struct Inode<'a> {
    pub(super) kind: FileType,
    pub(super) meta: &'a Meta,
    pub(super) size: u64,
    pub(super) layout: Layout,
    /// Length of the attributes that follow it.
    pub(super) xattr_bytes: u64,
    pub(super) number: u32,
    pub(super) links: u32,
}

/// The superblock's block, and the zeros before it.
pub(super) fn superblock(root: u16, inodes: u64, blocks: u32) -> Vec<u8> {
    let mut bytes = vec![0; INODES_OFFSET as usize];
    let block = &mut bytes[SUPER_OFFSET as usize..];
    put(block, 0, &MAGIC.to_le_bytes());
    put(block, 8, &FEATURES.to_le_bytes());
    block[12] = BLOCK_BITS;
    put(block, 14, &root.to_le_bytes());
    put(block, 16, &inodes.to_le_bytes());
    // Build time and UUID stay zero: the same layers give the same index.
    put(block, 36, &blocks.to_le_bytes());
    let checksum = CRC32C.checksum(block);
    put(block, 4, &checksum.to_le_bytes());
    bytes
}

impl Inode<'_> {
    pub(super) fn encode(&self) -> [u8; INODE as usize] {
        let (layout, place) = match self.layout {
            Layout::Plain(block) => (0, block),
            Layout::Inline(block) => (2, block),
            Layout::Device(device) => (0, encode_device(device)),
        };
        let mut bytes = [0; INODE as usize];
        put(&mut bytes, 0, &(1_u16 | layout << 1).to_le_bytes());
        put(&mut bytes, 2, &xattr_count(self.xattr_bytes).to_le_bytes());
        put(&mut bytes, 4, &(self.kind.mode() | self.meta.mode).to_le_bytes());
        put(&mut bytes, 8, &self.size.to_le_bytes());
        put(&mut bytes, 16, &place.to_le_bytes());
        put(&mut bytes, 20, &self.number.to_le_bytes());
        put(&mut bytes, 24, &self.meta.uid.to_le_bytes());
        put(&mut bytes, 28, &self.meta.gid.to_le_bytes());
        put(&mut bytes, 32, &self.meta.mtime.seconds.to_le_bytes());
        put(&mut bytes, 40, &self.meta.mtime.nanos.to_le_bytes());
        put(&mut bytes, 44, &self.links.to_le_bytes());
        bytes
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// What [`encode_device`] encoded.
pub(super) fn decode_device(number: u32) -> Device {
    Device { major: number >> 8 & 0xfff, minor: number & 0xff | number >> 12 & !0xff }
}

/// Linux' own encoding of device numbers in 32 bits.
fn encode_device(Device { major, minor }: Device) -> u32 {
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

fn get<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// The root's inode, if this is the superblock's block of an index.
pub(super) fn root_of(block: &[u8; BLOCK as usize]) -> Option<u16> {
    let mut plain = *block;
    put(&mut plain, 4, &[0; 4]);
    let known = get(block, 0)? == MAGIC.to_le_bytes()
        && get(block, 8)? == FEATURES.to_le_bytes()
        && block[12] == BLOCK_BITS
        && get(block, 4)? == CRC32C.checksum(&plain).to_le_bytes();
    known.then(|| get(block, 14).map(u16::from_le_bytes)).flatten()
}

/// An inode as it stands on the disk.
pub(super) struct RawInode {
    pub(super) kind: FileType,
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: Time,
    pub(super) size: u64,
    /// First block, or device number.
    pub(super) place: u32,
    pub(super) inline: bool,
    pub(super) xattr_bytes: u64,
}

impl RawInode {
    pub(super) fn decode(bytes: &[u8; INODE as usize]) -> Option<Self> {
        let inline = match u16::from_le_bytes(get(bytes, 0)?) {
            1 => false,
            5 => true,
            _ => return None,
        };
        let xattr_bytes = match u16::from_le_bytes(get(bytes, 2)?) {
            0 => 0,
            count => XATTR_HEADER + (u64::from(count) - 1) * 4,
        };
        let mode = u16::from_le_bytes(get(bytes, 4)?);
        let seconds = i64::from_le_bytes(get(bytes, 32)?);
        let nanos = u32::from_le_bytes(get(bytes, 40)?);
        Some(Self {
            kind: FileType::of(mode)?,
            mode: mode & 0o7777,
            uid: u32::from_le_bytes(get(bytes, 24)?),
            gid: u32::from_le_bytes(get(bytes, 28)?),
            mtime: Time { seconds, nanos },
            size: u64::from_le_bytes(get(bytes, 8)?),
            place: u32::from_le_bytes(get(bytes, 16)?),
            inline,
            xattr_bytes,
        })
    }
}

/// The attributes that follow an inode.
pub(super) fn read_xattrs(bytes: &[u8]) -> Option<Vec<Xattr>> {
    let mut found = Vec::new();
    let Some(mut rest) = bytes.get(XATTR_HEADER as usize..) else {
        return bytes.is_empty().then_some(found);
    };
    while let [name_length, prefix, low, high, ..] = *rest {
        let body = XATTR_ENTRY as usize;
        let name_end = body + usize::from(name_length);
        let end = name_end + usize::from(u16::from_le_bytes([low, high]));
        let name = [prefix_of(prefix)?, rest.get(body..name_end)?].concat();
        found.push(Xattr { name: name.into(), value: rest.get(name_end..end)?.into() });
        rest = rest.get(end.next_multiple_of(4)..)?;
    }
    Some(found)
}

/// A name in a directory, and the number of its inode.
pub type NumberedName = (Box<[u8]>, u64);

/// The names of a directory block.
pub(super) fn read_names(block: &[u8]) -> Option<Vec<NumberedName>> {
    let place = |at: usize| get(block, at * DIRENT + 8).map(|it| usize::from(u16::from_le_bytes(it)));
    let first = place(0)?;
    if first == 0 || !first.is_multiple_of(DIRENT) {
        return None;
    }
    let count = first / DIRENT;
    let mut names: Vec<NumberedName> = Vec::with_capacity(count.min(block.len()));
    for at in 0..count {
        let name = if at + 1 < count {
            block.get(place(at)?..place(at + 1)?)?
        } else {
            // Only the last one of a whole block is followed by what fills the block up.
            let rest = block.get(place(at)?..)?;
            &rest[..rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len())]
        };
        if name.is_empty() {
            return None;
        }
        names.push((name.into(), u64::from_le_bytes(get(block, at * DIRENT)?)));
    }
    Some(names)
}

const XATTR_HEADER: u64 = 12;
const XATTR_ENTRY: u64 = 4;

/// Bytes that the attributes take after their inode.
pub(super) fn xattr_bytes<'a>(xattrs: impl Iterator<Item = &'a Xattr>) -> u64 {
    let sizes = xattrs.map(|xattr| {
        let (_, name) = split_prefix(&xattr.name);
        (XATTR_ENTRY + name.len() as u64 + xattr.value.len() as u64).next_multiple_of(4)
    });
    let sum: u64 = sizes.sum();
    if sum == 0 { 0 } else { XATTR_HEADER + sum }
}

/// How an inode says how long its attributes are.
fn xattr_count(bytes: u64) -> u16 {
    if bytes == 0 {
        return 0;
    }
    u16::try_from((bytes - XATTR_HEADER) / 4 + 1).expect("a layer's limit on attributes is below EROFS'")
}

/// The attributes, as they follow their inode.
pub(super) fn write_xattrs<'a>(xattrs: impl Iterator<Item = &'a Xattr>, out: &mut Vec<u8>) {
    let start = out.len();
    for xattr in xattrs {
        if out.len() == start {
            out.extend_from_slice(&[0; XATTR_HEADER as usize]);
        }
        let (prefix, name) = split_prefix(&xattr.name);
        let length = u16::try_from(xattr.value.len()).expect("a layer's limit on values is EROFS'");
        out.push(u8::try_from(name.len()).expect("a layer's limit on names is EROFS'"));
        out.push(prefix);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(name);
        out.extend_from_slice(&xattr.value);
        out.resize(start + (out.len() - start).next_multiple_of(4), 0);
    }
}

/// EROFS has numbers for the beginnings of names.
const PREFIXES: [(u8, &[u8]); 5] = [
    (1, b"user."),
    (2, b"system.posix_acl_access"),
    (3, b"system.posix_acl_default"),
    (4, b"trusted."),
    (6, b"security."),
];

fn prefix_of(number: u8) -> Option<&'static [u8]> {
    PREFIXES.iter().find_map(|(each, prefix)| (*each == number).then_some(*prefix))
}

fn split_prefix(name: &[u8]) -> (u8, &[u8]) {
    let found = PREFIXES.iter().find_map(|(number, prefix)| Some((*number, name.strip_prefix(*prefix)?)));
    found.expect("a layer keeps no attribute that EROFS has no number for")
}

/// How the names of a directory fall into blocks: fed in order, it tells where one begins.
#[derive(Default)]
pub(super) struct DirectorySize {
    full: u64,
    used: usize,
}

impl DirectorySize {
    /// Adds a name; whether it begins a new block.
    pub(super) fn add(&mut self, name: &[u8]) -> bool {
        let size = DIRENT + name.len();
        let begins = self.used + size > BLOCK as usize;
        if begins {
            self.full += 1;
            self.used = 0;
        }
        self.used += size;
        begins
    }

    /// Size of the directory so far.
    pub(super) fn bytes(&self) -> u64 {
        self.full * BLOCK + self.used as u64
    }
}

/// One directory block.
#[derive(Default)]
pub(super) struct DirectoryBlock<'a> {
    entries: Vec<(&'a [u8], u64, FileType)>,
}

impl<'a> DirectoryBlock<'a> {
    pub(super) fn add(&mut self, name: &'a [u8], number: u64, kind: FileType) {
        self.entries.push((name, number, kind));
    }

    /// Writes the block without what fills it up, and empties it.
    pub(super) fn flush(&mut self, out: &mut Vec<u8>) {
        let mut name_offset = self.entries.len() * DIRENT;
        for &(name, number, kind) in &self.entries {
            out.extend_from_slice(&number.to_le_bytes());
            out.extend_from_slice(&(name_offset as u16).to_le_bytes());
            out.extend_from_slice(&[kind as u8, 0]);
            name_offset += name.len();
        }
        for (name, ..) in self.entries.drain(..) {
            out.extend_from_slice(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_are_encoded_as_linux_does() {
        assert_eq!(encode_device(Device { major: 1, minor: 3 }), 0x103);
        assert_eq!(encode_device(Device { major: 0xfff, minor: 0xf_ffff }), 0xffff_ffff);
        assert_eq!(encode_device(Device { major: 8, minor: 0x123 }), 0x10_0823);
        for device in [Device { major: 0xfff, minor: 0xf_ffff }, Device { major: 8, minor: 0x123 }] {
            assert_eq!(decode_device(encode_device(device)), device);
        }
    }

    #[test]
    fn the_checksum_is_that_of_mkfs() {
        // The check value of CRC-32C, not inverted.
        assert_eq!(CRC32C.checksum(b"123456789"), !0xe306_9283);
    }
}
