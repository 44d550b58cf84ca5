//! Extended headers (PAX): records of `LENGTH KEY=VALUE\n` that override fields of a header.
//!
//! Read by the announced length and never by line: an attribute's value may hold any byte.

use super::sparse::{self, Map};
use super::{TarProblem, number};
use crate::limits::{NAME_MAX, XATTR_VALUE_MAX, XATTRS_MAX};
use crate::name::display;
use crate::{Time, Xattr};
use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// libarchive leaves the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What the extended header of one member says.
#[derive(Clone, Debug, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<Time>,
    pub(super) sparse: Sparse,
    xattrs: Vec<(Xattr, Encoding)>,
}

/// GNU tar's sparse files in extended headers, formats 0.0, 0.1 and 1.0.
#[derive(Clone, Debug, Default)]
pub(super) struct Sparse {
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    pub(super) name: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) map: Option<Map>,
    count: Option<u64>,
    /// An offset that waits for its length (format 0.0).
    offset: Option<u64>,
}

/// How an attribute was written. Archives of bsdtar have each one twice; the plain one wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Encoding {
    Plain,
    Base64,
}

impl Pax {
    /// Reads the header of one member.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, TarProblem> {
        let mut pax = Self::default();
        for record in Records(bytes) {
            let (key, value) = record?;
            pax.set(key, value)?;
        }
        if pax.sparse.offset.is_some() {
            return Err(TarProblem::Sparse("has an offset without a length"));
        }
        if let Some(count) = pax.sparse.count
            && count != pax.sparse.map.get_or_insert_default().len() as u64
        {
            return Err(TarProblem::Sparse("has not as many parts as announced"));
        }
        Ok(pax)
    }

    /// Adds a header for all members that follow. Only what describes no single member may be in it.
    pub(super) fn global(&mut self, bytes: &[u8]) -> Result<(), TarProblem> {
        for record in Records(bytes) {
            let (key, value) = record?;
            match key {
                b"uid" => self.uid = optional(value, |value| id(value, "owner"))?,
                b"gid" => self.gid = optional(value, |value| id(value, "group"))?,
                b"mtime" => self.mtime = optional(value, number::time)?,
                b"path" | b"linkpath" | b"size" => return Err(TarProblem::Global(display(key))),
                _ if key.starts_with(b"GNU.sparse.") || xattr_name(key).is_some() => {
                    return Err(TarProblem::Global(display(key)));
                }
                // Comments, such as the commit in an archive that git wrote.
                _ => {}
            }
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), TarProblem> {
        let sparse = &mut self.sparse;
        match key {
            b"path" => once(&mut self.path, key, optional(value, bytes)?),
            b"linkpath" => once(&mut self.link, key, optional(value, bytes)?),
            b"size" => once(&mut self.size, key, optional(value, |text| number::decimal(text, "size"))?),
            b"uid" => once(&mut self.uid, key, optional(value, |text| id(text, "owner"))?),
            b"gid" => once(&mut self.gid, key, optional(value, |text| id(text, "group"))?),
            b"mtime" => once(&mut self.mtime, key, optional(value, number::time)?),
            b"GNU.sparse.major" => {
                once(&mut sparse.major, key, Some(number::decimal(value, "sparse version")?))
            }
            b"GNU.sparse.minor" => {
                once(&mut sparse.minor, key, Some(number::decimal(value, "sparse version")?))
            }
            b"GNU.sparse.name" => once(&mut sparse.name, key, Some(value.to_vec())),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => {
                once(&mut sparse.size, key, Some(number::decimal(value, "sparse size")?))
            }
            b"GNU.sparse.numblocks" => {
                once(&mut sparse.count, key, Some(number::decimal(value, "sparse map")?))
            }
            b"GNU.sparse.map" => once(&mut sparse.map, key, Some(sparse::list(value)?)),
            b"GNU.sparse.offset" => {
                once(&mut sparse.offset, key, Some(number::decimal(value, "sparse map")?))
            }
            b"GNU.sparse.numbytes" => {
                let offset =
                    sparse.offset.take().ok_or(TarProblem::Sparse("has a length without an offset"))?;
                let length = number::decimal(value, "sparse map")?;
                sparse.map.get_or_insert_default().push((offset, length));
                Ok(())
            }
            _ => self.set_xattr(key, value),
        }
    }

    fn set_xattr(&mut self, key: &[u8], value: &[u8]) -> Result<(), TarProblem> {
        let Some((name, encoding)) = xattr_name(key) else { return Ok(()) };
        let malformed = || TarProblem::Extended(display(key));
        let (name, value) = match encoding {
            Encoding::Plain => (name.to_vec(), value.to_vec()),
            Encoding::Base64 => {
                (percent_decode(name).ok_or_else(malformed)?, BASE64.decode(value).map_err(|_| malformed())?)
            }
        };
        if name.contains(&0) {
            return Err(malformed());
        }
        if !is_kept(&name) {
            return Ok(());
        }
        if name.len() > NAME_MAX || value.len() > XATTR_VALUE_MAX {
            return Err(TarProblem::TooLarge("extended attribute"));
        }
        if self.xattrs.iter().any(|(known, how)| *known.name == *name && *how == encoding) {
            return Err(TarProblem::Duplicate(display(key)));
        }
        // Two encodings of each may be there before one is dropped.
        let total: usize = self.xattrs.iter().map(|(known, _)| known.name.len() + known.value.len()).sum();
        if total + name.len() + value.len() > 2 * XATTRS_MAX {
            return Err(TarProblem::TooLarge("list of extended attributes"));
        }
        self.xattrs.push((Xattr { name: name.into(), value: value.into() }, encoding));
        Ok(())
    }

    /// The attributes, sorted by name, each once.
    pub(super) fn take_xattrs(&mut self) -> Result<Vec<Xattr>, TarProblem> {
        let mut found = std::mem::take(&mut self.xattrs);
        found.sort_by(|(a, how_a), (b, how_b)| (&a.name, how_a).cmp(&(&b.name, how_b)));
        let mut xattrs: Vec<Xattr> = found.into_iter().map(|(xattr, _)| xattr).collect();
        xattrs.dedup_by(|later, first| later.name == first.name);
        if xattrs.iter().map(|xattr| xattr.name.len() + xattr.value.len()).sum::<usize>() > XATTRS_MAX {
            return Err(TarProblem::TooLarge("list of extended attributes"));
        }
        Ok(xattrs)
    }
}

/// Sets a value that may be given once.
fn once<T>(slot: &mut Option<T>, key: &[u8], value: Option<T>) -> Result<(), TarProblem> {
    if slot.is_some() {
        return Err(TarProblem::Duplicate(display(key)));
    }
    *slot = value;
    Ok(())
}

/// An empty value takes an override back.
fn optional<T>(
    value: &[u8],
    parse: impl FnOnce(&[u8]) -> Result<T, TarProblem>,
) -> Result<Option<T>, TarProblem> {
    if value.is_empty() { Ok(None) } else { parse(value).map(Some) }
}

fn bytes(value: &[u8]) -> Result<Vec<u8>, TarProblem> {
    Ok(value.to_vec())
}

fn id(text: &[u8], what: &'static str) -> Result<u32, TarProblem> {
    u32::try_from(number::decimal(text, what)?).map_err(|_| TarProblem::TooLarge(what))
}

fn xattr_name(key: &[u8]) -> Option<(&[u8], Encoding)> {
    let plain = key.strip_prefix(b"SCHILY.xattr.").map(|name| (name, Encoding::Plain));
    plain.or_else(|| key.strip_prefix(b"LIBARCHIVE.xattr.").map(|name| (name, Encoding::Base64)))
}

/// Whether Linux knows such an attribute. What other systems wrote is left out, as every unpacker
/// does. So is what overlayfs wrote about the layers of another machine: it would be obeyed here.
#[must_use]
pub fn is_kept(name: &[u8]) -> bool {
    if name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.") {
        return false;
    }
    let spaces: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];
    spaces.iter().any(|space| name.starts_with(space) && name.len() > space.len())
        || name == b"system.posix_acl_access"
        || name == b"system.posix_acl_default"
}

fn percent_decode(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let [high, low, tail @ ..] = tail else { return None };
            decoded.push(u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()?);
            rest = tail;
        } else {
            decoded.push(*first);
            rest = tail;
        }
    }
    Some(decoded)
}

/// The records of an extended header.
struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), TarProblem>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.0);
        let Some((record, rest)) = split_record(bytes) else {
            return Some(Err(TarProblem::Extended(display(&bytes[..bytes.len().min(40)]))));
        };
        self.0 = rest;
        Some(Ok(record))
    }
}

type Record<'a> = (&'a [u8], &'a [u8]);

fn split_record(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let space = bytes.iter().position(|&byte| byte == b' ')?;
    let length = usize::try_from(number::decimal(&bytes[..space], "length").ok()?).ok()?;
    let (record, rest) = bytes.split_at_checked(length)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&byte| byte == b'=')?;
    if equals == 0 {
        return None;
    }
    Some(((&record[..equals], &record[equals + 1..]), rest))
}
