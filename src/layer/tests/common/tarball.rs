//! Builds tars in memory, right ones and wrong ones.
#![allow(dead_code, reason = "each test program uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use tar::{EntryType, Header};

/// A tar in the making.
#[derive(Clone, Default)]
pub struct Tarball(Vec<u8>);

impl Tarball {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn file(self, path: &str, data: &[u8]) -> Self {
        self.member(b'0', path, data, |_| {})
    }

    pub fn dir(self, path: &str) -> Self {
        self.member(b'5', path, b"", |header| header.set_mode(0o755))
    }

    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.member(b'2', path, b"", |header| header.set_link_name_literal(target).unwrap())
    }

    pub fn link(self, path: &str, target: &str) -> Self {
        self.member(b'1', path, b"", |header| header.set_link_name_literal(target).unwrap())
    }

    pub fn device(self, flag: u8, path: &str, major: u32, minor: u32) -> Self {
        self.member(flag, path, b"", |header| {
            header.set_device_major(major).unwrap();
            header.set_device_minor(minor).unwrap();
        })
    }

    /// A member with any header; its checksum is made right after `edit`.
    pub fn member(mut self, flag: u8, path: &str, data: &[u8], edit: impl FnOnce(&mut Header)) -> Self {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_mode(0o644);
        header.set_size(data.len() as u64);
        header.set_entry_type(EntryType::new(flag));
        edit(&mut header);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.raw(data).pad()
    }

    /// An extended header for the next member.
    pub fn pax(self, records: &[(&str, &[u8])]) -> Self {
        self.records(b'x', records)
    }

    /// An extended header for all members that follow.
    pub fn global(self, records: &[(&str, &[u8])]) -> Self {
        self.records(b'g', records)
    }

    fn records(self, flag: u8, records: &[(&str, &[u8])]) -> Self {
        let data: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
        self.member(flag, "pax", &data, |_| {})
    }

    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn pad(mut self) -> Self {
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// The tar with its end marker.
    pub fn end(self) -> Vec<u8> {
        self.raw(&[0; 1024]).0
    }

    /// The tar without an end marker.
    pub fn cut(self) -> Vec<u8> {
        self.0
    }
}

/// One record of an extended header, which counts its own length.
pub fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length =
        (1..20).map(|digits| rest + digits).find(|length| length.to_string().len() + rest == *length);
    let mut bytes = format!("{} {key}=", length.unwrap()).into_bytes();
    bytes.extend_from_slice(value);
    bytes.push(b'\n');
    bytes
}
