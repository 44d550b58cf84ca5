//! A counted, buffered reader of 512-byte blocks.

use super::TarProblem;
use std::io::{self, Read};

/// Block size of tar.
pub(super) const BLOCK: usize = 512;
/// Large enough that system calls do not count, small enough for a cache.
const BUFFER: usize = 128 << 10;

/// Why a read stopped: the reader failed, or the tar is at fault.
#[derive(Debug)]
pub(super) enum SourceError {
    Read(io::Error),
    Problem(TarProblem),
}

impl From<TarProblem> for SourceError {
    fn from(problem: TarProblem) -> Self {
        Self::Problem(problem)
    }
}

pub(super) struct Source<R> {
    inner: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Bytes handed out so far.
    offset: u64,
    limit: u64,
}

impl<R: Read> Source<R> {
    pub(super) fn new(inner: R, limit: u64) -> Self {
        Self { inner, buffer: vec![0; BUFFER].into_boxed_slice(), start: 0, end: 0, offset: 0, limit }
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// At most `want` bytes of what is next; empty at the end of the tar.
    fn chunk(&mut self, want: u64) -> Result<&[u8], SourceError> {
        if self.start == self.end {
            self.start = 0;
            self.end = loop {
                match self.inner.read(&mut self.buffer) {
                    Ok(count) => break count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(SourceError::Read(error)),
                }
            };
        }
        let ready = self.end - self.start;
        let take = usize::try_from(want).map_or(ready, |want| want.min(ready));
        let from = self.start;
        self.start += take;
        self.offset += take as u64;
        if self.offset > self.limit {
            return Err(TarProblem::Limit { of: "bytes", limit: self.limit }.into());
        }
        Ok(&self.buffer[from..from + take])
    }

    /// Hands `length` bytes to `sink`.
    pub(super) fn copy<E: From<SourceError>>(
        &mut self,
        mut length: u64,
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while length > 0 {
            let chunk = self.chunk(length)?;
            if chunk.is_empty() {
                return Err(SourceError::Problem(TarProblem::Truncated).into());
            }
            length -= chunk.len() as u64;
            sink(chunk)?;
        }
        Ok(())
    }

    pub(super) fn skip(&mut self, length: u64) -> Result<(), SourceError> {
        self.copy(length, |_| Ok(()))
    }

    /// Skips to the next multiple of 512.
    pub(super) fn align(&mut self) -> Result<(), SourceError> {
        self.skip(self.offset.next_multiple_of(BLOCK as u64) - self.offset)
    }

    /// One block, or nothing where the tar ends between blocks.
    pub(super) fn block(&mut self) -> Result<Option<[u8; BLOCK]>, SourceError> {
        let mut block = [0; BLOCK];
        let first = self.chunk(BLOCK as u64)?;
        if first.is_empty() {
            return Ok(None);
        }
        let mut filled = first.len();
        block[..filled].copy_from_slice(first);
        self.copy::<SourceError>((BLOCK - filled) as u64, |chunk| {
            block[filled..filled + chunk.len()].copy_from_slice(chunk);
            filled += chunk.len();
            Ok(())
        })?;
        Ok(Some(block))
    }

    /// `length` bytes and the padding after them. The caller has bounded `length`.
    pub(super) fn padded(&mut self, length: u64) -> Result<Vec<u8>, SourceError> {
        let mut bytes = Vec::new();
        self.copy::<SourceError>(length, |chunk| {
            bytes.extend_from_slice(chunk);
            Ok(())
        })?;
        self.align()?;
        Ok(bytes)
    }

    /// Reads to the very end and forgets it.
    pub(super) fn drain(&mut self) -> Result<(), SourceError> {
        while !self.chunk(u64::MAX)?.is_empty() {}
        Ok(())
    }
}
