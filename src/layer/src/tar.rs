//! The strict reader of layer tars.
//!
//! Understands what GNU tar, bsdtar, Go's archive/tar and star write: v7, ustar, PAX and GNU headers.
//! Where writers differ it decides as Go's reader does, since most images were made and are unpacked
//! by that one. What is not understood is refused: no member is guessed at or skipped.

mod error;
mod number;
mod pax;
mod source;
mod sparse;
#[cfg(test)]
mod tests;

pub use pax::is_kept;

use crate::limits::TARGET_MAX;
use crate::name::{display, normalise};
use crate::{Device, Entry, Kind, Limits, Meta, NameError, Part, Payload, Time, Toc};
use ::tar::Header;
pub use error::{TarError, TarProblem};
use pax::Pax;
use source::{BLOCK, Source, SourceError};
use sparse::SparseFile;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// Reads `tar` to its very end, so that whoever reads along sees every byte.
///
/// The payloads of sparse members are expanded into `aux`, which must be empty and is written from
/// its start; holes are left by seeking.
///
/// # Errors
/// [`TarError`] names the member and the reason.
pub fn scan<R: Read, A: Write + Seek>(tar: R, limits: &Limits, aux: A) -> Result<Toc, TarError> {
    let mut scanner = Scanner {
        source: Source::new(tar, limits.layer_bytes),
        aux: Aux { out: aux, end: 0 },
        limits,
        entries: Vec::new(),
        metadata: 0,
        global: Pax::default(),
        at: 0,
        name: Vec::new(),
    };
    match scanner.run() {
        Ok(()) => Ok(Toc {
            entries: scanner.entries,
            tar_bytes: scanner.source.offset(),
            aux_bytes: scanner.aux.end,
        }),
        Err(Failure::Read(error)) => Err(TarError::Read(error)),
        Err(Failure::Aux(error)) => Err(TarError::Aux(error)),
        Err(Failure::Problem(problem)) => {
            Err(TarError::Member { name: display(&scanner.name), at: scanner.at, problem })
        }
    }
}

/// Why a scan stopped; the scanner knows at which member.
enum Failure {
    Read(io::Error),
    Aux(io::Error),
    Problem(TarProblem),
}

impl From<TarProblem> for Failure {
    fn from(problem: TarProblem) -> Self {
        Self::Problem(problem)
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Read(error) => Self::Read(error),
            SourceError::Problem(problem) => Self::Problem(problem),
        }
    }
}

struct Scanner<'a, R, A> {
    source: Source<R>,
    aux: Aux<A>,
    limits: &'a Limits,
    entries: Vec<Entry>,
    /// Bytes of names, targets and attributes kept so far.
    metadata: u64,
    global: Pax,
    /// The member at hand, for messages.
    at: u64,
    name: Vec<u8>,
}

/// What headers before a member say about it.
#[derive(Default)]
struct Announced {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Option<Pax>,
}

impl Announced {
    fn is_empty(&self) -> bool {
        self.path.is_none() && self.link.is_none() && self.pax.is_none()
    }
}

impl<R: Read, A: Write + Seek> Scanner<'_, R, A> {
    fn run(&mut self) -> Result<(), Failure> {
        let mut announced = Announced::default();
        loop {
            self.at = self.source.offset();
            let Some(block) = self.source.block()? else { break };
            if block == [0; BLOCK] {
                match self.source.block()? {
                    Some(second) if second != [0; BLOCK] => return Err(TarProblem::AfterEnd.into()),
                    // What follows the end marker is nobody's, but part of the digest.
                    _ => self.source.drain()?,
                }
                break;
            }
            let header = Header::from_byte_slice(&block);
            self.call(&header.path_bytes());
            verify(header)?;
            match header.entry_type().as_byte() {
                b'x' => {
                    let bytes = self.extension(header)?;
                    if announced.pax.replace(Pax::parse(&bytes)?).is_some() {
                        return Err(TarProblem::Duplicate("extended header".into()).into());
                    }
                }
                b'g' => {
                    let bytes = self.extension(header)?;
                    self.global.global(&bytes)?;
                }
                b'L' => set_long(&mut announced.path, self.extension(header)?, "long name")?,
                b'K' => set_long(&mut announced.link, self.extension(header)?, "long link target")?,
                _ => self.member(header, std::mem::take(&mut announced))?,
            }
        }
        if announced.is_empty() { Ok(()) } else { Err(TarProblem::Truncated.into()) }
    }

    /// Names the member at hand.
    fn call(&mut self, name: &[u8]) {
        self.name.clear();
        self.name.extend_from_slice(name);
    }

    /// The data of a header that announces a member.
    fn extension(&mut self, header: &Header) -> Result<Vec<u8>, Failure> {
        let size = number::field(&header.as_old().size, "size")?;
        if size > self.limits.extension_bytes {
            return Err(TarProblem::TooLarge("extended header").into());
        }
        Ok(self.source.padded(size)?)
    }

    fn member(&mut self, header: &Header, announced: Announced) -> Result<(), Failure> {
        let mut pax = announced.pax.unwrap_or_default();
        let sparse_name = pax.sparse.name.take();
        let raw = sparse_name.or(pax.path.take()).or(announced.path);
        let raw = raw.map_or_else(|| header.path_bytes(), Into::into);
        self.call(&raw);
        let path = normalise(&raw).map_err(TarProblem::Path)?;
        let flag = match header.entry_type().as_byte() {
            // Archives older than the type for directories mark them so.
            0 | b'0' if raw.ends_with(b"/") => b'5',
            flag => flag,
        };
        if path.is_empty() && flag != b'5' {
            return Err(TarProblem::Path(NameError::Empty).into());
        }
        let target = pax.link.take().or(announced.link);
        let target = target.unwrap_or_else(|| header.link_name_bytes().unwrap_or_default().into_owned());
        let mut meta = self.meta(header, &mut pax)?;
        if flag == b'2' {
            // Linux gives every symbolic link this mode, whatever an archive says.
            meta.mode = 0o777;
        }
        let xattrs: usize = meta.xattrs.iter().map(|xattr| xattr.name.len() + xattr.value.len()).sum();
        self.account((path.len() + target.len() + xattrs) as u64)?;
        let sparse = flag == b'S' || pax.sparse.size.is_some() || pax.sparse.major.is_some();
        let kind = match flag {
            0 | b'0' | b'7' | b'S' if sparse => self.sparse(header, pax)?,
            _ if sparse => return Err(TarProblem::Sparse("belongs to no regular file").into()),
            0 | b'0' | b'7' => self.file(header, &pax)?,
            b'1' => Kind::HardLink(link_path(&target)?),
            b'2' => Kind::Symlink(link_target(target)?),
            b'3' => Kind::Character(device(header)?),
            b'4' => Kind::Block(device(header)?),
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => return Err(TarProblem::Type(other).into()),
        };
        self.entries.push(Entry { path, kind, meta });
        if self.entries.len() as u64 > self.limits.entries {
            return Err(TarProblem::Limit { of: "entries", limit: self.limits.entries }.into());
        }
        Ok(())
    }

    fn account(&mut self, bytes: u64) -> Result<(), TarProblem> {
        self.metadata = self.metadata.saturating_add(bytes);
        if self.metadata > self.limits.metadata_bytes {
            return Err(TarProblem::Limit { of: "bytes of metadata", limit: self.limits.metadata_bytes });
        }
        Ok(())
    }

    fn meta(&self, header: &Header, pax: &mut Pax) -> Result<Meta, TarProblem> {
        let old = header.as_old();
        let id = |field: &[u8], what| {
            u32::try_from(number::field(field, what)?).map_err(|_| TarProblem::TooLarge(what))
        };
        let global = &self.global;
        let time =
            |field: &[u8]| Ok(Time { seconds: number::seconds(field, "modification time")?, nanos: 0 });
        Ok(Meta {
            // Some writers put the type of the file into the upper bits.
            mode: (number::field(&old.mode, "mode")? & 0o7777) as u16,
            uid: pax.uid.or(global.uid).map_or_else(|| id(&old.uid, "owner"), Ok)?,
            gid: pax.gid.or(global.gid).map_or_else(|| id(&old.gid, "group"), Ok)?,
            mtime: pax.mtime.or(global.mtime).map_or_else(|| time(&old.mtime), Ok)?,
            xattrs: pax.take_xattrs()?,
        })
    }

    /// How many bytes of data the tar holds for this member.
    fn stored(&self, header: &Header, pax: &Pax) -> Result<u64, TarProblem> {
        let size = pax.size.map_or_else(|| number::field(&header.as_old().size, "size"), Ok)?;
        let room = self.limits.layer_bytes.saturating_sub(self.source.offset());
        if size > room {
            return Err(TarProblem::Limit { of: "bytes", limit: self.limits.layer_bytes });
        }
        Ok(size)
    }

    fn file(&mut self, header: &Header, pax: &Pax) -> Result<Kind, Failure> {
        let size = self.stored(header, pax)?;
        let offset = if size == 0 { 0 } else { self.source.offset() };
        self.source.skip(size)?;
        self.source.align()?;
        Ok(Kind::File(Payload { part: Part::Tar, offset, size }))
    }

    fn sparse(&mut self, header: &Header, pax: Pax) -> Result<Kind, Failure> {
        let stored = self.stored(header, &pax)?;
        let most = self.limits.metadata_bytes.saturating_sub(self.metadata);
        let format = (pax.sparse.major.unwrap_or(0), pax.sparse.minor.unwrap_or(0));
        let size = pax.sparse.size.ok_or(TarProblem::Sparse("has no size"));
        let (size, map, stored) = match (header.entry_type().as_byte(), format) {
            (b'S', _) => {
                let header = header.as_gnu().ok_or(TarProblem::Sparse("is not in a GNU header"))?;
                let (size, map) = sparse::old(header, &mut self.source, most)?;
                (size, map, stored)
            }
            (_, (1, 0)) => {
                let (map, left) = sparse::leading(&mut self.source, stored, most)?;
                (size?, map, left)
            }
            (_, (0, _)) => (size?, pax.sparse.map.ok_or(TarProblem::Sparse("is missing"))?, stored),
            _ => return Err(TarProblem::Sparse("has an unknown version").into()),
        };
        let file = SparseFile::new(size, map, stored)?;
        let payload = self.aux.expand(&file, &mut self.source, self.limits.expanded_bytes)?;
        self.source.align()?;
        Ok(Kind::File(payload))
    }
}

/// The part of a layer that is not in its tar.
struct Aux<A> {
    out: A,
    /// Its length; a multiple of 512.
    end: u64,
}

impl<A: Write + Seek> Aux<A> {
    fn expand<R: Read>(
        &mut self,
        file: &SparseFile,
        source: &mut Source<R>,
        limit: u64,
    ) -> Result<Payload, Failure> {
        let start = self.end;
        let end = file
            .size
            .checked_next_multiple_of(BLOCK as u64)
            .and_then(|size| start.checked_add(size))
            .filter(|&end| end <= limit)
            .ok_or(TarProblem::Limit { of: "bytes of sparse files", limit })?;
        let mut written = start;
        for &(offset, length) in file.map.iter().filter(|(_, length)| *length > 0) {
            self.out.seek(SeekFrom::Start(start + offset)).map_err(Failure::Aux)?;
            source.copy(length, |chunk| self.out.write_all(chunk).map_err(Failure::Aux))?;
            written = start + offset + length;
        }
        if written < end {
            // Something must stand at the end, or the part would be shorter than its last hole.
            self.out.seek(SeekFrom::Start(end - 1)).map_err(Failure::Aux)?;
            self.out.write_all(&[0]).map_err(Failure::Aux)?;
        }
        self.end = end;
        Ok(Payload { part: Part::Aux, offset: if file.size == 0 { 0 } else { start }, size: file.size })
    }
}

/// Whether the header's checksum is right; old writers added the bytes as signed numbers.
fn verify(header: &Header) -> Result<(), TarProblem> {
    const FIELD: std::ops::Range<usize> = 148..156;
    let bytes = header.as_bytes();
    let claimed = number::field(&bytes[FIELD], "checksum").map_err(|_| TarProblem::Checksum)?;
    let blanks = FIELD.len() as u32 * u32::from(b' ');
    let counted = || bytes[..FIELD.start].iter().chain(&bytes[FIELD.end..]);
    let unsigned: u32 = blanks + counted().map(|&byte| u32::from(byte)).sum::<u32>();
    if claimed == u64::from(unsigned) {
        return Ok(());
    }
    let signed: i64 = i64::from(blanks) + counted().map(|&byte| i64::from(byte.cast_signed())).sum::<i64>();
    if i64::try_from(claimed) == Ok(signed) { Ok(()) } else { Err(TarProblem::Checksum) }
}

fn set_long(slot: &mut Option<Vec<u8>>, mut bytes: Vec<u8>, what: &str) -> Result<(), TarProblem> {
    // GNU tar counts the final zero.
    if let Some(end) = bytes.iter().position(|&byte| byte == 0) {
        bytes.truncate(end);
    }
    if slot.replace(bytes).is_some() {
        return Err(TarProblem::Duplicate(what.into()));
    }
    Ok(())
}

fn link_path(target: &[u8]) -> Result<Box<[u8]>, TarProblem> {
    let path = normalise(target).map_err(TarProblem::LinkPath)?;
    if path.is_empty() { Err(TarProblem::LinkPath(NameError::Empty)) } else { Ok(path) }
}

fn link_target(target: Vec<u8>) -> Result<Box<[u8]>, TarProblem> {
    let fits = (1..=TARGET_MAX).contains(&target.len()) && !target.contains(&0);
    if fits { Ok(target.into()) } else { Err(TarProblem::Target) }
}

/// Largest device numbers of Linux.
pub(crate) const DEVICE_MAX: Device = Device { major: 0xfff, minor: 0xf_ffff };

fn device(header: &Header) -> Result<Device, TarProblem> {
    const WHAT: &str = "device number";
    // The fields are at the same place in both formats.
    let fields = header.as_ustar().map(|header| (&header.dev_major, &header.dev_minor));
    let fields = fields.or_else(|| header.as_gnu().map(|header| (&header.dev_major, &header.dev_minor)));
    let (major, minor) = fields.ok_or(TarProblem::Number(WHAT))?;
    let number = |field: &[u8], most: u32| {
        let value = u32::try_from(number::field(field, WHAT)?).unwrap_or(u32::MAX);
        if value > most { Err(TarProblem::TooLarge(WHAT)) } else { Ok(value) }
    };
    Ok(Device { major: number(major, DEVICE_MAX.major)?, minor: number(minor, DEVICE_MAX.minor)? })
}
