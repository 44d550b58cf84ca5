//! Sparse members: which parts of a file the tar holds.

use super::source::{BLOCK, Source, SourceError};
use super::{TarProblem, number};
use ::tar::{GnuExtSparseHeader, GnuHeader, GnuSparseHeader};
use std::io::Read;

/// Offsets and lengths of the parts that are not holes.
pub(super) type Map = Vec<(u64, u64)>;

/// Longest number in a map of format 1.0: twenty digits.
const DIGITS_MAX: usize = 20;

/// A file with holes: the map is in order, within `size`, and its lengths add up to the stored data.
#[derive(Debug)]
pub(super) struct SparseFile {
    pub(super) size: u64,
    pub(super) map: Map,
}

impl SparseFile {
    /// Checks a map against the size of the file and that of the data in the tar.
    pub(super) fn new(size: u64, map: Map, stored: u64) -> Result<Self, TarProblem> {
        let mut end = 0_u64;
        let mut sum = 0_u64;
        for &(offset, length) in &map {
            if offset < end {
                return Err(TarProblem::Sparse("is not in order"));
            }
            end = offset
                .checked_add(length)
                .filter(|&end| end <= size)
                .ok_or(TarProblem::Sparse("goes beyond the file"))?;
            // Parts do not overlap, so the sum stays within `size`.
            sum += length;
        }
        if sum != stored {
            return Err(TarProblem::Sparse("does not match the data"));
        }
        Ok(Self { size, map })
    }
}

/// Format 0.1: `offset,length,offset,length…`.
pub(super) fn list(text: &[u8]) -> Result<Map, TarProblem> {
    if text.is_empty() {
        return Ok(Map::new());
    }
    let mut numbers = text.split(|&byte| byte == b',').map(|text| number::decimal(text, "sparse map"));
    let mut map = Map::new();
    while let Some(offset) = numbers.next() {
        let length = numbers.next().ok_or(TarProblem::Sparse("has an offset without a length"))?;
        map.push((offset?, length?));
    }
    Ok(map)
}

/// The old format of GNU tar: in the header, and in blocks between header and data.
pub(super) fn old<R: Read>(
    header: &GnuHeader,
    source: &mut Source<R>,
    most: u64,
) -> Result<(u64, Map), SourceError> {
    let size = number::field(&header.realsize, "sparse size")?;
    let mut map = Map::new();
    extend(&mut map, &header.sparse)?;
    let mut more = header.isextended[0] != 0;
    while more {
        let block = source.block()?.ok_or(TarProblem::Truncated)?;
        let mut extension = GnuExtSparseHeader::new();
        extension.as_mut_bytes().copy_from_slice(&block);
        extend(&mut map, &extension.sparse)?;
        bounded(&map, most)?;
        more = extension.isextended[0] != 0;
    }
    Ok((size, map))
}

fn extend(map: &mut Map, parts: &[GnuSparseHeader]) -> Result<(), TarProblem> {
    for part in parts.iter().filter(|part| part.offset[0] != 0 && part.numbytes[0] != 0) {
        map.push((number::field(&part.offset, "sparse map")?, number::field(&part.numbytes, "sparse map")?));
    }
    Ok(())
}

/// Format 1.0: lines of decimal numbers before the data, filled up to a block. Returns the map and
/// how much of `stored` is left for the data.
pub(super) fn leading<R: Read>(
    source: &mut Source<R>,
    stored: u64,
    most: u64,
) -> Result<(Map, u64), SourceError> {
    let mut left = stored;
    let mut lines = Lines::default();
    let count = lines.number(source, &mut left)?;
    let mut map = Map::new();
    for _ in 0..count {
        map.push((lines.number(source, &mut left)?, lines.number(source, &mut left)?));
        bounded(&map, most)?;
    }
    Ok((map, left))
}

fn bounded(map: &Map, most: u64) -> Result<(), TarProblem> {
    if (map.len() * size_of::<(u64, u64)>()) as u64 > most {
        return Err(TarProblem::TooLarge("sparse map"));
    }
    Ok(())
}

/// Reads numbers, one a line, block by block.
#[derive(Default)]
struct Lines {
    block: Vec<u8>,
    at: usize,
}

impl Lines {
    fn number<R: Read>(&mut self, source: &mut Source<R>, left: &mut u64) -> Result<u64, SourceError> {
        let mut digits = Vec::new();
        loop {
            let Some(&byte) = self.block.get(self.at) else {
                *left =
                    left.checked_sub(BLOCK as u64).ok_or(TarProblem::Sparse("is longer than the data"))?;
                self.block = source.block()?.ok_or(TarProblem::Truncated)?.to_vec();
                self.at = 0;
                continue;
            };
            self.at += 1;
            if byte == b'\n' {
                return Ok(number::decimal(&digits, "sparse map")?);
            }
            if digits.len() == DIGITS_MAX {
                return Err(TarProblem::TooLarge("sparse map").into());
            }
            digits.push(byte);
        }
    }
}
