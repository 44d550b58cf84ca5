//! The file format of a table of contents: a mark, numbers of variable length, a checksum.
//!
//! Paths are written as what they add to the path before. A cache file: any other version or any
//! damage is an error, and the tar is scanned again.

use super::{Device, Entry, Kind, Meta, Part, Payload, Time, Toc, Xattr};
use crate::limits::{NAME_MAX, PATH_MAX, TARGET_MAX, XATTR_VALUE_MAX, XATTRS_MAX};
use crate::name::normalise;
use crate::tar::{DEVICE_MAX, is_kept};
use crc::{CRC_32_ISCSI, Crc, Digest, Table};
use std::io::{self, Read, Write};

/// Names format and version. Change it with every change of what is written or how it is scanned.
const MARK: &[u8; 8] = b"PYROTOC1";

type Check = Table<16>;
const CRC: Crc<u32, Check> = Crc::<u32, Check>::new(&CRC_32_ISCSI);

/// Why a table of contents could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TocError {
    /// Reading failed, or it ends too early.
    #[error("the table of contents cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It does not start as a table of this version does.
    #[error("not a table of contents of this version")]
    Version,
    /// It is not what was written.
    #[error("the table of contents is damaged: {0}")]
    Damaged(&'static str),
}

pub(super) fn write(toc: &Toc, out: impl Write) -> io::Result<()> {
    let mut out = Sink { out, digest: CRC.digest(), buffer: Vec::with_capacity(BUFFER) };
    out.bytes(MARK)?;
    out.number(toc.tar_bytes)?;
    out.number(toc.aux_bytes)?;
    out.number(toc.entries.len() as u64)?;
    let mut before: &[u8] = b"";
    for entry in &toc.entries {
        let shared = before.iter().zip(&*entry.path).take_while(|(a, b)| a == b).count();
        out.number(shared as u64)?;
        out.string(&entry.path[shared..])?;
        before = &entry.path;
        out.kind(&entry.kind)?;
        out.meta(&entry.meta)?;
    }
    out.finish()
}

const BUFFER: usize = 64 << 10;

struct Sink<W> {
    out: W,
    digest: Digest<'static, u32, Check>,
    buffer: Vec<u8>,
}

impl<W: Write> Sink<W> {
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.digest.update(&self.buffer);
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.out.write_all(&self.digest.finalize().to_le_bytes())?;
        self.out.flush()
    }

    /// Seven bits a byte, lowest first; the top bit says that more follow.
    fn number(&mut self, mut value: u64) -> io::Result<()> {
        while value >= 0x80 {
            self.bytes(&[value as u8 | 0x80])?;
            value >>= 7;
        }
        self.bytes(&[value as u8])
    }

    fn string(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.number(bytes.len() as u64)?;
        self.bytes(bytes)
    }

    fn kind(&mut self, kind: &Kind) -> io::Result<()> {
        match kind {
            Kind::File(payload) => {
                self.bytes(&[if payload.part == Part::Tar { 0 } else { 1 }])?;
                self.number(payload.size)?;
                self.number(payload.offset / 512)
            }
            Kind::Directory => self.bytes(&[2]),
            Kind::Symlink(target) => {
                self.bytes(&[3])?;
                self.string(target)
            }
            Kind::HardLink(path) => {
                self.bytes(&[4])?;
                self.string(path)
            }
            Kind::Character(device) => self.device(5, *device),
            Kind::Block(device) => self.device(6, *device),
            Kind::Fifo => self.bytes(&[7]),
        }
    }

    fn device(&mut self, kind: u8, device: Device) -> io::Result<()> {
        self.bytes(&[kind])?;
        self.number(device.major.into())?;
        self.number(device.minor.into())
    }

    fn meta(&mut self, meta: &Meta) -> io::Result<()> {
        self.number(meta.mode.into())?;
        self.number(meta.uid.into())?;
        self.number(meta.gid.into())?;
        // The sign goes to the lowest bit, so that small numbers of either sign are short.
        self.number((meta.mtime.seconds << 1 ^ meta.mtime.seconds >> 63).cast_unsigned())?;
        self.number(meta.mtime.nanos.into())?;
        self.number(meta.xattrs.len() as u64)?;
        for xattr in &meta.xattrs {
            self.string(&xattr.name)?;
            self.string(&xattr.value)?;
        }
        Ok(())
    }
}

pub(super) fn read(input: impl Read) -> Result<Toc, TocError> {
    let mut input = Reader {
        input,
        digest: CRC.digest(),
        buffer: vec![0; BUFFER].into_boxed_slice(),
        digested: 0,
        start: 0,
        end: 0,
    };
    let mut mark = [0; MARK.len()];
    input.fill(&mut mark)?;
    if mark != *MARK {
        return Err(TocError::Version);
    }
    let mut toc = Toc { entries: Vec::new(), tar_bytes: input.number()?, aux_bytes: input.number()? };
    if !toc.aux_bytes.is_multiple_of(512) {
        return Err(TocError::Damaged("length"));
    }
    // The claimed count reserves nothing: memory grows only with what is really there.
    let count = input.number()?;
    let mut path = Vec::new();
    for _ in 0..count {
        input.path(&mut path)?;
        let kind = input.kind(&toc)?;
        if path.is_empty() && kind != Kind::Directory {
            return Err(TocError::Damaged("path"));
        }
        let meta = input.meta()?;
        toc.entries.push(Entry { path: path.as_slice().into(), kind, meta });
    }
    let digest = input.checksum();
    let mut claimed = [0; 4];
    input.fill(&mut claimed)?;
    if claimed != digest.to_le_bytes() {
        return Err(TocError::Damaged("checksum"));
    }
    if !input.is_at_end()? {
        return Err(TocError::Damaged("length"));
    }
    Ok(toc)
}

struct Reader<R> {
    input: R,
    digest: Digest<'static, u32, Check>,
    buffer: Box<[u8]>,
    /// What of the buffer is in the digest already.
    digested: usize,
    start: usize,
    end: usize,
}

impl<R: Read> Reader<R> {
    fn is_at_end(&mut self) -> io::Result<bool> {
        if self.start < self.end {
            return Ok(false);
        }
        self.digest.update(&self.buffer[self.digested..self.end]);
        (self.digested, self.start, self.end) = (0, 0, 0);
        self.end = loop {
            match self.input.read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        Ok(self.end == 0)
    }

    fn byte(&mut self) -> io::Result<u8> {
        if self.is_at_end()? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.start += 1;
        Ok(self.buffer[self.start - 1])
    }

    fn fill(&mut self, mut out: &mut [u8]) -> io::Result<()> {
        while !out.is_empty() {
            if self.is_at_end()? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let take = out.len().min(self.end - self.start);
            let (now, later) = out.split_at_mut(take);
            now.copy_from_slice(&self.buffer[self.start..self.start + take]);
            self.start += take;
            out = later;
        }
        Ok(())
    }

    /// Of all bytes read so far.
    fn checksum(&self) -> u32 {
        let mut digest = self.digest.clone();
        digest.update(&self.buffer[self.digested..self.start]);
        digest.finalize()
    }

    fn number(&mut self) -> Result<u64, TocError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(TocError::Damaged("number"))
    }

    /// A number of at most `most`.
    fn at_most(&mut self, most: u64, what: &'static str) -> Result<u64, TocError> {
        let value = self.number()?;
        if value > most { Err(TocError::Damaged(what)) } else { Ok(value) }
    }

    fn small(&mut self, most: u32, what: &'static str) -> Result<u32, TocError> {
        // It fits, since `most` does.
        Ok(self.at_most(most.into(), what)? as u32)
    }

    fn string(&mut self, most: usize, what: &'static str) -> Result<Box<[u8]>, TocError> {
        let length = self.at_most(most as u64, what)?;
        let mut bytes = vec![0; length as usize];
        self.fill(&mut bytes)?;
        Ok(bytes.into())
    }

    /// Turns the path before into the next one.
    fn path(&mut self, path: &mut Vec<u8>) -> Result<(), TocError> {
        let shared = self.at_most(path.len() as u64, "path")?;
        let rest = self.string(PATH_MAX, "path")?;
        path.truncate(shared as usize);
        path.extend_from_slice(&rest);
        clean(path)
    }

    fn kind(&mut self, toc: &Toc) -> Result<Kind, TocError> {
        Ok(match self.byte()? {
            0 => Kind::File(self.payload(Part::Tar, toc.tar_bytes)?),
            1 => Kind::File(self.payload(Part::Aux, toc.aux_bytes)?),
            2 => Kind::Directory,
            3 => {
                let target = self.string(TARGET_MAX, "link target")?;
                if target.is_empty() || target.contains(&0) {
                    return Err(TocError::Damaged("link target"));
                }
                Kind::Symlink(target)
            }
            4 => {
                let path = self.string(PATH_MAX, "link target")?;
                clean(&path)?;
                if path.is_empty() {
                    return Err(TocError::Damaged("link target"));
                }
                Kind::HardLink(path)
            }
            5 => Kind::Character(self.device()?),
            6 => Kind::Block(self.device()?),
            7 => Kind::Fifo,
            _ => return Err(TocError::Damaged("kind")),
        })
    }

    fn payload(&mut self, part: Part, bytes: u64) -> Result<Payload, TocError> {
        let size = self.number()?;
        let offset = self.number()?.checked_mul(512);
        let payload = offset.map(|offset| Payload { part, offset, size });
        payload.filter(|payload| payload.is_within(bytes)).ok_or(TocError::Damaged("place of a file"))
    }

    fn device(&mut self) -> Result<Device, TocError> {
        let major = self.small(DEVICE_MAX.major, "device number")?;
        Ok(Device { major, minor: self.small(DEVICE_MAX.minor, "device number")? })
    }

    fn meta(&mut self) -> Result<Meta, TocError> {
        let mode = self.small(0o7777, "mode")? as u16;
        let uid = self.small(u32::MAX, "owner")?;
        let gid = self.small(u32::MAX, "group")?;
        let seconds = self.number()?;
        let seconds = (seconds >> 1).cast_signed() ^ -(seconds & 1).cast_signed();
        let mtime = Time { seconds, nanos: self.small(999_999_999, "time")? };
        let mut xattrs: Vec<Xattr> = Vec::new();
        let mut bytes = 0;
        for _ in 0..self.number()? {
            let name = self.string(NAME_MAX, "attribute")?;
            let value = self.string(XATTR_VALUE_MAX, "attribute")?;
            bytes += name.len() + value.len();
            let sorted = xattrs.last().is_none_or(|before| before.name < name);
            if !sorted || !is_kept(&name) || name.contains(&0) || bytes > XATTRS_MAX {
                return Err(TocError::Damaged("attribute"));
            }
            xattrs.push(Xattr { name, value });
        }
        Ok(Meta { mode, uid, gid, mtime, xattrs })
    }
}

/// Whether a path is as [`normalise`] leaves it.
fn clean(path: &[u8]) -> Result<(), TocError> {
    if normalise(path).is_ok_and(|clean| *clean == *path) { Ok(()) } else { Err(TocError::Damaged("path")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tarball::Tarball;
    use crate::{Limits, scan};
    use std::io::Cursor;

    fn sample() -> Toc {
        let sparse: &[(&str, &[u8])] = &[("GNU.sparse.size", b"700"), ("GNU.sparse.map", b"0,1")];
        let tar = Tarball::new()
            .dir("./")
            .pax(&[("mtime", b"-7.25"), ("SCHILY.xattr.user.a", b"\0"), ("SCHILY.xattr.user.b", b"")])
            .file("a/file", &[1; 1000])
            .link("a/link", "a/file")
            .symlink("a/symlink", "target")
            .device(b'3', "c", 4095, 1_048_575)
            .device(b'4', "b", 8, 1)
            .member(b'6', "fifo", b"", |header| header.set_uid(4_000_000_000))
            .pax(sparse)
            .file("sparse", b"x");
        scan(&tar.end()[..], &Limits::default(), Cursor::new(Vec::new())).unwrap()
    }

    fn written(toc: &Toc) -> Vec<u8> {
        let mut bytes = Vec::new();
        toc.write_to(&mut bytes).unwrap();
        bytes
    }

    /// The table that an edited sample is taken for, with its checksum made right.
    fn forged(edit: impl FnOnce(&mut Toc)) -> Result<Toc, TocError> {
        let mut toc = sample();
        edit(&mut toc);
        Toc::read_from(&written(&toc)[..])
    }

    #[test]
    fn a_table_survives_its_file() {
        assert_eq!(Toc::read_from(&written(&sample())[..]).unwrap(), sample());
        assert_eq!(Toc::read_from(&written(&Toc::default())[..]).unwrap(), Toc::default());
    }

    #[test]
    fn any_damage_is_noticed() {
        let good = written(&sample());
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(Toc::read_from(&bad[..]).is_err(), "byte {at} changed");
            assert!(Toc::read_from(&good[..at]).is_err(), "cut at {at}");
        }
        let longer = [&good[..], b"x"].concat();
        assert!(matches!(Toc::read_from(&longer[..]), Err(TocError::Damaged("length"))));
        assert!(matches!(Toc::read_from(&b"PYROTOC0abcdefgh"[..]), Err(TocError::Version)));
    }

    #[test]
    fn a_forged_table_breaks_no_promise() {
        fn check(what: &str, edit: impl FnOnce(&mut Toc)) {
            match forged(edit) {
                Err(TocError::Damaged(found)) => assert_eq!(found, what),
                other => panic!("{what}: {other:?}"),
            }
        }
        let payload = |offset, size| Kind::File(Payload { part: Part::Tar, offset, size });
        check("path", |toc| toc.entries[1].path = (*b"../a").into());
        check("path", |toc| toc.entries[1].path = (*b"a//b").into());
        check("path", |toc| toc.entries[1].path = (*b"").into());
        check("path", |toc| toc.entries[1].path = vec![b'x'; 256].into());
        check("path", |toc| toc.entries[2].kind = Kind::HardLink((*b"/etc").into()));
        check("link target", |toc| toc.entries[2].kind = Kind::HardLink((*b"").into()));
        check("link target", |toc| toc.entries[3].kind = Kind::Symlink((*b"").into()));
        check("place of a file", |toc| toc.entries[1].kind = payload(512, 1 << 40));
        check("place of a file", |toc| toc.entries[1].kind = payload(u64::MAX - 511, 1024));
        check("place of a file", |toc| toc.entries[1].kind = payload(512, 0));
        check("place of a file", |toc| toc.aux_bytes = 512);
        check("length", |toc| toc.aux_bytes += 1);
        check("mode", |toc| toc.entries[1].meta.mode = 0o10_000);
        check("time", |toc| toc.entries[1].meta.mtime.nanos = 1_000_000_000);
        check("device number", |toc| toc.entries[4].kind = Kind::Block(Device { major: 4096, minor: 0 }));
        check("attribute", |toc| toc.entries[1].meta.xattrs.reverse());
        check("attribute", |toc| toc.entries[1].meta.xattrs[0].name = (*b"system.x").into());
    }
}
