//! What a file is, in the words of the protocol.

use pyro_protocol::{Entry, EntryKind, Stamp};
use rustix::fs::{FileType, Stat, major, minor, readlinkat};
use rustix::io::Errno;
use serde_bytes::ByteBuf;
use std::ffi::CStr;
use std::os::fd::AsFd;

/// The kind of `name` in `parent`, of which `stat` was said.
pub fn kind(parent: impl AsFd, name: &CStr, stat: &Stat) -> Result<EntryKind, Errno> {
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => EntryKind::Directory { opaque: false },
        FileType::Symlink => EntryKind::Symlink(readlinkat(parent, name, Vec::new())?.into_bytes().into()),
        FileType::CharacterDevice => EntryKind::Character(major(stat.st_rdev), minor(stat.st_rdev)),
        FileType::BlockDevice => EntryKind::Block(major(stat.st_rdev), minor(stat.st_rdev)),
        FileType::Fifo => EntryKind::Fifo,
        FileType::Socket => EntryKind::Socket,
        FileType::RegularFile | FileType::Unknown => EntryKind::File { size: size(stat) },
    })
}

/// An entry without extended attributes.
pub fn describe(path: &[u8], kind: EntryKind, stat: &Stat) -> Entry {
    Entry {
        path: ByteBuf::from(path),
        kind,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: stat.st_mtime,
        mtime_nanos: stat.st_mtime_nsec as u32,
        xattrs: Vec::new(),
        stamp: Stamp {
            inode: stat.st_ino,
            links: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
            ctime: stat.st_ctime,
            ctime_nanos: stat.st_ctime_nsec as u32,
        },
    }
}

/// Bytes of a regular file.
pub fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or_default()
}

/// Whether it is a file with content.
pub fn is_regular(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}
