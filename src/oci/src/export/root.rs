//! The files of an image as one tar: PAX, numeric owners, names in order.

use super::{BLOCK, ExportError, pad};
use crate::{FileError, Image, Store, ingest};
use pyro_layer::{Content, Device, Node, NodeKind, Part, Toc, flatten};
use std::{
    collections::{HashMap, hash_map::Entry},
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt as _,
    path::Path,
};

/// Bytes that are copied at once.
const CHUNK: usize = 256 << 10;

/// What the fields of a tar header hold at most, in octal digits; more goes into a PAX record.
const SIZE_MAX: u64 = 0o777_7777_7777;
const OWNER_MAX: u64 = 0o777_7777;
const NAME_MAX: usize = 100;

/// Writes all files of an image. `path` is what errors name.
pub(super) fn write(
    store: &Store,
    image: &Image,
    path: &Path,
    out: &mut impl Write,
) -> Result<(), ExportError> {
    let tocs = image.layers.iter().map(|layer| ingest::toc(store, layer)).collect::<Result<Vec<Toc>, _>>()?;
    let tree = flatten(&tocs)?;
    let mut parts = HashMap::new();
    let mut first_names: HashMap<usize, Vec<u8>> = HashMap::new();
    let failed = |error| ExportError::from(FileError::at("write", path)(error));
    let mut walk = tree.walk();
    while let Some(visit) = walk.next() {
        let directory = matches!(visit.node.kind, NodeKind::Directory(_));
        let mut name = visit.path.to_vec();
        if directory {
            name.extend_from_slice(if name.is_empty() { b"./" } else { b"/" });
        }
        if let Some(first) = first_names.get(&visit.id.index()) {
            header(out, visit.node, &name, tar::EntryType::Link, first, 0).map_err(failed)?;
            continue;
        }
        if visit.node.links > 1 && !directory {
            first_names.insert(visit.id.index(), name.clone());
        }
        let (kind, target, content): (_, &[u8], _) = match &visit.node.kind {
            NodeKind::Directory(_) => (tar::EntryType::Directory, b"", None),
            NodeKind::File(content) => (tar::EntryType::Regular, b"", Some(content)),
            NodeKind::Symlink(target) => (tar::EntryType::Symlink, target, None),
            NodeKind::Character(_) => (tar::EntryType::Char, b"", None),
            NodeKind::Block(_) => (tar::EntryType::Block, b"", None),
            NodeKind::Fifo => (tar::EntryType::Fifo, b"", None),
            NodeKind::Whiteout => unreachable!("a flattened tree has no whiteouts"),
        };
        let size = content.map_or(0, |content| content.payload.size);
        header(out, visit.node, &name, kind, target, size).map_err(failed)?;
        if let Some(content) = content.filter(|_| size > 0) {
            let key = (content.layer, content.payload.part);
            let part = match parts.entry(key) {
                Entry::Occupied(part) => part.into_mut(),
                Entry::Vacant(place) => place.insert(open(store, image, content)?),
            };
            copy(part, content, out).map_err(failed)?;
            pad(out, size).map_err(failed)?;
        }
    }
    out.write_all(&[0; 2 * BLOCK]).map_err(failed)
}

fn open(store: &Store, image: &Image, content: &Content) -> Result<File, FileError> {
    let diff_id = image.layers[content.layer].diff_id;
    let path = match content.payload.part {
        Part::Tar => store.blob(&diff_id),
        Part::Aux => store.tocs().join(format!("{}.aux", diff_id.hex())),
    };
    File::open(&path).map_err(FileError::at("open", &path))
}

fn copy(from: &File, content: &Content, out: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    let mut done = 0;
    while done < content.payload.size {
        let wanted = buffer.len().min((content.payload.size - done).try_into().unwrap_or(usize::MAX));
        from.read_exact_at(&mut buffer[..wanted], content.payload.offset + done)?;
        out.write_all(&buffer[..wanted])?;
        done += wanted as u64;
    }
    Ok(())
}

/// One header, after a PAX header with what does not fit into it.
fn header(
    out: &mut impl Write,
    node: &Node<'_>,
    name: &[u8],
    kind: tar::EntryType,
    target: &[u8],
    size: u64,
) -> io::Result<()> {
    let meta = node.meta;
    let mut records = Vec::new();
    let mut record = |key: &[u8], value: &[u8]| pax(&mut records, key, value);
    for (key, text) in [(b"path".as_slice(), name), (b"linkpath".as_slice(), target)] {
        if text.len() > NAME_MAX {
            record(key, text);
        }
    }
    for (key, number, most) in
        [("size", size, SIZE_MAX), ("uid", meta.uid.into(), OWNER_MAX), ("gid", meta.gid.into(), OWNER_MAX)]
    {
        if number > most {
            record(key.as_bytes(), number.to_string().as_bytes());
        }
    }
    let plain = u64::try_from(meta.mtime.seconds).ok().filter(|it| meta.mtime.nanos == 0 && *it <= SIZE_MAX);
    if plain.is_none() {
        record(b"mtime", decimal(meta.mtime.seconds, meta.mtime.nanos).as_bytes());
    }
    // A link has the attributes of what it leads to.
    if kind != tar::EntryType::Link {
        for xattr in &meta.xattrs {
            record(&[b"SCHILY.xattr.", &*xattr.name].concat(), &xattr.value);
        }
    }
    if !records.is_empty() {
        let mut extra = blank(b"./pax", tar::EntryType::XHeader, records.len() as u64);
        extra.set_cksum();
        out.write_all(extra.as_bytes())?;
        out.write_all(&records)?;
        pad(out, records.len() as u64)?;
    }
    let mut header = blank(name, kind, size.min(SIZE_MAX));
    header.set_mode(meta.mode.into());
    header.set_uid(u64::from(meta.uid).min(OWNER_MAX));
    header.set_gid(u64::from(meta.gid).min(OWNER_MAX));
    header.set_mtime(plain.unwrap_or(0));
    let link = &target[..target.len().min(NAME_MAX)];
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
    if let NodeKind::Character(Device { major, minor }) | NodeKind::Block(Device { major, minor }) = node.kind
    {
        header.set_device_major(major)?;
        header.set_device_minor(minor)?;
    }
    header.set_cksum();
    out.write_all(header.as_bytes())
}

fn blank(name: &[u8], kind: tar::EntryType, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    let name = &name[..name.len().min(NAME_MAX)];
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

/// Seconds with a fraction. Times count nanoseconds up, also before 1970; PAX has a sign for the whole.
fn decimal(seconds: i64, nanos: u32) -> String {
    let total = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    let sign = if total < 0 { "-" } else { "" };
    let (whole, rest) = (total.unsigned_abs() / 1_000_000_000, total.unsigned_abs() % 1_000_000_000);
    if rest == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{rest:09}") }
}

/// Appends `length key=value`, where the length counts itself.
fn pax(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
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
            pax(&mut records, b"k", &vec![b'v'; value]);
            let text = String::from_utf8(records).unwrap();
            assert_eq!(text.split(' ').next().unwrap().parse::<usize>().unwrap(), text.len());
        };
        (0..2000).for_each(check);
    }

    #[test]
    fn times_before_1970_have_one_sign() {
        assert_eq!(decimal(-1, 500_000_000), "-0.500000000");
        assert_eq!(decimal(-2, 0), "-2");
        assert_eq!(decimal(3, 1), "3.000000001");
    }
}
