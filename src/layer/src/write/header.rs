//! One header of a tar, after a PAX header with what does not fit into it.

use crate::{Device, Meta, Time};
use ::tar::EntryType;

/// The unit of tar.
pub(super) const BLOCK: usize = 512;

/// What the fields of a header hold at most, in octal digits.
const SIZE_MAX: u64 = 0o777_7777_7777;
const OWNER_MAX: u64 = 0o777_7777;
const NAME_MAX: usize = 100;

/// What a header says.
pub(super) struct Header<'a> {
    pub name: &'a [u8],
    pub kind: EntryType,
    pub meta: &'a Meta,
    pub target: &'a [u8],
    pub size: u64,
    pub device: Option<Device>,
}

/// What follows a member's data, up to the next block.
pub(super) fn padding(size: u64) -> &'static [u8] {
    let used = (size % BLOCK as u64) as usize;
    if used == 0 { &[] } else { &[0; BLOCK][used..] }
}

impl Header<'_> {
    /// Both headers.
    pub fn encode(&self) -> Vec<u8> {
        let meta = self.meta;
        let whole = u64::try_from(meta.mtime.seconds).ok();
        let seconds = whole.filter(|it| meta.mtime.nanos == 0 && *it <= SIZE_MAX);
        let records = self.records(seconds.is_none());
        let mut bytes = Vec::with_capacity(3 * BLOCK);
        if !records.is_empty() {
            let mut extra = blank(b"./pax", EntryType::XHeader, records.len() as u64);
            describe(&mut extra, 0o644, 0, 0, 0);
            extra.set_cksum();
            bytes.extend_from_slice(extra.as_bytes());
            bytes.extend_from_slice(&records);
            bytes.extend_from_slice(padding(records.len() as u64));
        }
        let mut header = blank(self.name, self.kind, self.size.min(SIZE_MAX));
        let owner = |id: u32| u64::from(id).min(OWNER_MAX);
        describe(&mut header, meta.mode, owner(meta.uid), owner(meta.gid), seconds.unwrap_or(0));
        let link = &self.target[..self.target.len().min(NAME_MAX)];
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
        if let Some(Device { major, minor }) = self.device {
            header.set_device_major(major).expect("this kind of header has the field");
            header.set_device_minor(minor).expect("this kind of header has the field");
        }
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
        bytes
    }

    fn records(&self, exact_time: bool) -> Vec<u8> {
        let mut records = Vec::new();
        let mut record = |key: &[u8], value: &[u8]| append(&mut records, key, value);
        for (key, text) in [(b"path".as_slice(), self.name), (b"linkpath".as_slice(), self.target)] {
            if text.len() > NAME_MAX {
                record(key, text);
            }
        }
        let owners = [(b"uid", self.meta.uid), (b"gid", self.meta.gid)];
        if self.size > SIZE_MAX {
            record(b"size", self.size.to_string().as_bytes());
        }
        for (key, owner) in owners {
            if u64::from(owner) > OWNER_MAX {
                record(key, owner.to_string().as_bytes());
            }
        }
        if exact_time {
            record(b"mtime", decimal(self.meta.mtime).as_bytes());
        }
        for xattr in &self.meta.xattrs {
            record(&[b"SCHILY.xattr.", &*xattr.name].concat(), &xattr.value);
        }
        records
    }
}

fn blank(name: &[u8], kind: EntryType, size: u64) -> ::tar::Header {
    let mut header = ::tar::Header::new_ustar();
    let name = &name[..name.len().min(NAME_MAX)];
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_size(size);
    header
}

fn describe(header: &mut ::tar::Header, mode: u16, uid: u64, gid: u64, mtime: u64) {
    header.set_mode(mode.into());
    header.set_uid(uid);
    header.set_gid(gid);
    header.set_mtime(mtime);
}

/// Seconds with a fraction. Times count nanoseconds up, also before 1970; PAX has a sign for the whole.
fn decimal(time: Time) -> String {
    let total = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    let sign = if total < 0 { "-" } else { "" };
    let (whole, rest) = (total.unsigned_abs() / 1_000_000_000, total.unsigned_abs() % 1_000_000_000);
    if rest == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{rest:09}") }
}

/// Appends `length key=value`, where the length counts itself.
fn append(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let digits = |number: usize| number.to_string().len();
    let mut length = rest + digits(rest);
    // One more digit may make the length itself one longer.
    length = rest + digits(length);
    records.extend_from_slice(format!("{length} ").as_bytes());
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_length() {
        let check = |value: usize| {
            let mut records = Vec::new();
            append(&mut records, b"k", &vec![b'v'; value]);
            let text = String::from_utf8(records).unwrap();
            assert_eq!(text.split(' ').next().unwrap().parse::<usize>().unwrap(), text.len());
        };
        (0..2000).for_each(check);
    }

    #[test]
    fn times_before_1970_have_one_sign() {
        let decimal = |seconds, nanos| decimal(Time { seconds, nanos });
        assert_eq!(decimal(-1, 500_000_000), "-0.500000000");
        assert_eq!(decimal(-2, 0), "-2");
        assert_eq!(decimal(3, 1), "3.000000001");
    }
}
