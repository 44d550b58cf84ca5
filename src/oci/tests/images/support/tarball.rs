//! Layer tars, made by hand so that the answer is in the test.

use tar::{Builder, EntryType, Header};

/// A tar that is being written.
pub struct Tarball {
    builder: Builder<Vec<u8>>,
}

impl Tarball {
    pub fn new() -> Self {
        Self { builder: Builder::new(Vec::new()) }
    }

    pub fn file(self, path: &str, bytes: &[u8]) -> Self {
        self.entry(path, EntryType::Regular, 0o644, bytes, |_| {})
    }

    pub fn directory(self, path: &str) -> Self {
        self.entry(path, EntryType::Directory, 0o755, b"", |_| {})
    }

    pub fn link(self, path: &str, kind: EntryType, target: &str) -> Self {
        self.entry(path, kind, 0o777, b"", |header| header.set_link_name_literal(target).unwrap())
    }

    /// Any entry; its name is written as it stands.
    pub fn entry(
        mut self,
        path: &str,
        kind: EntryType,
        mode: u32,
        bytes: &[u8],
        change: impl FnOnce(&mut Header),
    ) -> Self {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        header.set_size(bytes.len() as u64);
        change(&mut header);
        header.set_cksum();
        self.builder.append(&header, bytes).unwrap();
        self
    }

    /// An attribute for the next entry.
    pub fn xattr(self, name: &str, value: &[u8]) -> Self {
        self.extended(&[(&format!("SCHILY.xattr.{name}"), value)])
    }

    /// An extended header for the next entry.
    pub fn extended(mut self, records: &[(&str, &[u8])]) -> Self {
        self.builder.append_pax_extensions(records.iter().copied()).unwrap();
        self
    }

    pub fn bytes(self) -> Vec<u8> {
        self.builder.into_inner().unwrap()
    }
}

/// Bytes that no compressor makes smaller, always the same.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(step).flatten().take(length).collect()
}

/// Three layers with one of everything: kinds, modes, owners, links, whiteouts, attributes, holes.
pub fn sample() -> Vec<Vec<u8>> {
    let owner = |uid: u64, gid: u64| {
        move |header: &mut Header| {
            header.set_uid(uid);
            header.set_gid(gid);
        }
    };
    let device = |header: &mut Header| {
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
    };
    let mut holes = noise(5000);
    holes.extend(vec![0; 1 << 20]);
    holes.extend(noise(100));
    let base = Tarball::new()
        .directory("./")
        .directory("etc/")
        .file("etc/hostname", b"sample\n")
        .file("etc/gone", b"removed above\n")
        .directory("opt/")
        .directory("opt/old/")
        .file("opt/old/file", b"hidden above\n")
        .file("becomes-directory", b"file\n")
        .file("empty", b"")
        .entry("bin-su", EntryType::Regular, 0o4755, b"#!/bin/sh\n", |_| {})
        .entry("home", EntryType::Directory, 0o2775, b"", owner(1000, 50))
        .entry("home/user", EntryType::Regular, 0o600, b"mine", owner(1000, 1000))
        .entry("tmp", EntryType::Directory, 0o1777, b"", |_| {})
        .entry("null", EntryType::Char, 0o666, b"", device)
        .entry("pipe", EntryType::Fifo, 0o640, b"", |_| {})
        .link("lib", EntryType::Symlink, "usr/lib")
        .link("dangling", EntryType::Symlink, "../../../outside")
        .file("name with spaces \u{e9}", b"odd")
        .file("one", b"linked")
        .link("two", EntryType::Link, "one");
    let middle = Tarball::new()
        .file("etc/.wh.gone", b"")
        .directory("opt/old/")
        .file("opt/old/.wh..wh..opq", b"")
        .file("opt/old/new", b"only this\n")
        .entry("becomes-directory", EntryType::Directory, 0o700, b"", |_| {})
        .file("becomes-directory/inner", b"inner\n")
        .file("holes", &holes);
    let top = Tarball::new()
        .xattr("user.color", b"blue\0green")
        .file("attributes", b"has one\n")
        .file("etc/hostname", b"changed\n");
    vec![base.bytes(), middle.bytes(), top.bytes()]
}
