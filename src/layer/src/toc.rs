//! The table of contents of one layer: what its tar holds, and where.

mod codec;

use std::io::{self, Read, Write};

pub use codec::TocError;

/// The contents of one layer, in the order of its tar.
///
/// Only [`crate::scan`] and [`Toc::read_from`] make one, so that it keeps every promise below.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Toc {
    pub(crate) entries: Vec<Entry>,
    pub(crate) tar_bytes: u64,
    pub(crate) aux_bytes: u64,
}

/// One member of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Path below the root: no leading or trailing `/`, no empty, `.` or `..` component, no zero byte.
    /// Empty for the root itself. Whiteouts (`.wh.NAME`) are entries like any other here.
    pub path: Box<[u8]>,
    /// What it is.
    pub kind: Kind,
    /// Everything that any kind has. Of no meaning for a hard link.
    pub meta: Meta,
}

/// Kinds of entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File(Payload),
    /// A directory.
    Directory,
    /// A symbolic link, with its target as it stands: 1 to 4095 bytes, none of them zero.
    Symlink(Box<[u8]>),
    /// Another name for what this path (in the form of [`Entry::path`]) is at this point.
    HardLink(Box<[u8]>),
    /// A character device.
    Character(Device),
    /// A block device.
    Block(Device),
    /// A named pipe.
    Fifo,
}

/// Where the bytes of a regular file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    /// In which part of the layer.
    pub part: Part,
    /// Offset in that part; a multiple of 512. 0 when `size` is 0.
    pub offset: u64,
    /// Size in bytes.
    pub size: u64,
}

impl Payload {
    /// Whether it lies within the whole sectors of a part of `bytes`.
    fn is_within(&self, bytes: u64) -> bool {
        let sectors = bytes - bytes % 512;
        self.offset.checked_add(self.size).is_some_and(|end| end <= sectors)
            && (self.size > 0 || self.offset == 0)
    }
}

/// The two parts of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The tar itself.
    Tar,
    /// What the tar does not hold in one piece: sparse files, expanded.
    Aux,
}

/// A device number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// At most 4095.
    pub major: u32,
    /// At most 1,048,575.
    pub minor: u32,
}

/// What any kind of entry has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Permissions, setuid, setgid and sticky: 12 bits.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of the last change of content.
    pub mtime: Time,
    /// Extended attributes, sorted by name, no name twice.
    pub xattrs: Vec<Xattr>,
}

/// A time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds since 1970, rounded down.
    pub seconds: i64,
    /// Nanoseconds after that; under a thousand million.
    pub nanos: u32,
}

/// An extended attribute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xattr {
    /// Full name, such as `security.capability`.
    pub name: Box<[u8]>,
    /// Value, as the kernel gives it.
    pub value: Box<[u8]>,
}

impl Toc {
    /// The entries. A later one of the same path replaces an earlier one.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Length of the tar.
    #[must_use]
    pub fn tar_bytes(&self) -> u64 {
        self.tar_bytes
    }

    /// Length of the auxiliary part: a multiple of 512, 0 if there is none.
    #[must_use]
    pub fn aux_bytes(&self) -> u64 {
        self.aux_bytes
    }

    /// Writes the table in its own compact format.
    ///
    /// # Errors
    /// What `out` says.
    pub fn write_to(&self, out: impl Write) -> io::Result<()> {
        codec::write(self, out)
    }

    /// Reads a table that [`Toc::write_to`] wrote, and checks it as if it were hostile: what is
    /// returned keeps every promise of this module.
    ///
    /// # Errors
    /// [`TocError`] says what is wrong; the caller scans the tar again.
    pub fn read_from(input: impl Read) -> Result<Self, TocError> {
        codec::read(input)
    }
}
