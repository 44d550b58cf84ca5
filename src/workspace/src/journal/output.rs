//! Reading what a command has put out so far.

use super::{CommandRecord, Outcome, SEGMENT, segment};
use crate::session::Stream;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes before those of a chunk: the stream's tag and the length.
const HEAD: usize = 5;

/// The output of a command, from a cursor on.
#[derive(Debug)]
pub struct Output {
    commands: PathBuf,
    sequence: u64,
    cursor: u64,
    /// Whether there may be more of it later.
    grows: bool,
    /// Where it ends, if that is known.
    end: Option<u64>,
    open: Option<Open>,
}

/// A part of the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes of a stream.
    Bytes(Stream, Vec<u8>),
    /// So many bytes are no longer kept.
    Dropped(u64),
}

/// The segment that is being read.
#[derive(Debug)]
struct Open {
    index: u64,
    file: File,
    /// Where the next chunk begins in the file.
    at: u64,
    /// Where it begins in the output.
    offset: u64,
}

/// A chunk and where it ends.
struct Chunk {
    stream: Stream,
    bytes: Vec<u8>,
}

impl Output {
    /// The output of a command from `cursor` on.
    #[must_use]
    pub fn new(commands: &Path, record: &CommandRecord, cursor: u64) -> Self {
        let (commands, sequence) = (commands.to_owned(), record.sequence);
        let mut output = Self { commands, sequence, cursor, grows: true, end: None, open: None };
        output.know(record);
        output
    }

    /// Where the next piece begins.
    #[must_use]
    pub const fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Takes in how the command is doing. What it has put out until then is all read from then on.
    pub(super) fn know(&mut self, record: &CommandRecord) {
        self.grows = record.outcome == Outcome::Running;
        // Of a command that nobody heard to its end nobody has counted.
        self.end = record.ended_at.map(|_| record.end());
    }

    /// The next piece; `None` if there is none yet.
    ///
    /// # Errors
    /// When the journal cannot be read, or is damaged.
    pub fn next_piece(&mut self) -> io::Result<Option<Piece>> {
        while self.end.is_none_or(|end| self.cursor < end) {
            let index = self.cursor / SEGMENT;
            if self.open.as_ref().is_none_or(|open| open.index != index) {
                self.open = self.open_segment(index)?;
            }
            if let Some(piece) = self.read_open()? {
                return Ok(Some(piece));
            }
            if self.open.as_ref().is_some_and(|open| open.index != self.cursor / SEGMENT) {
                continue;
            }
            // The end of what there is, of what is kept of this segment, or of neither: if the next one
            // exists, then nothing more is added to this one, but it may have been just now.
            let Some(next) = self.segment_after(index, self.open.is_some())? else { return Ok(None) };
            if let Some(piece) = self.read_open()? {
                return Ok(Some(piece));
            }
            let begin = next * SEGMENT;
            if begin > self.cursor {
                let dropped = begin - self.cursor;
                self.cursor = begin;
                return Ok(Some(Piece::Dropped(dropped)));
            }
        }
        Ok(None)
    }

    /// The next piece of the open segment; `None` at its present end.
    fn read_open(&mut self) -> io::Result<Option<Piece>> {
        let Some(open) = &mut self.open else { return Ok(None) };
        while open.index == self.cursor / SEGMENT {
            let Some(chunk) = open.chunk()? else { return Ok(None) };
            // A cursor may lie inside a chunk.
            let skip = self.cursor.saturating_sub(open.offset).min(chunk.bytes.len() as u64);
            open.at += (HEAD + chunk.bytes.len()) as u64;
            open.offset += chunk.bytes.len() as u64;
            self.cursor = self.cursor.max(open.offset);
            let bytes = &chunk.bytes[usize::try_from(skip).unwrap_or(usize::MAX)..];
            if !bytes.is_empty() {
                return Ok(Some(Piece::Bytes(chunk.stream, bytes.to_vec())));
            }
        }
        Ok(None)
    }

    fn open_segment(&self, index: u64) -> io::Result<Option<Open>> {
        match File::open(segment(&self.commands, self.sequence, index)) {
            Ok(file) => Ok(Some(Open { index, file, at: 0, offset: index * SEGMENT })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The first segment from `index` on, or behind it, that is there.
    fn segment_after(&self, index: u64, behind: bool) -> io::Result<Option<u64>> {
        // Most looks find nothing new, and in a journal of many commands a list of its files takes long. One
        // is needed where segments can be gone, though: before the end of the first, or of one that is
        // there, only when its rest could not be written, which can wait until the command has ended.
        if self.grows && (behind || index == 0) {
            let next = index + 1;
            return Ok(segment(&self.commands, self.sequence, next).try_exists()?.then_some(next));
        }
        let prefix = format!("{}.", self.sequence);
        let number = |entry: fs::DirEntry| -> Option<u64> {
            entry.file_name().to_str()?.strip_prefix(&prefix)?.strip_suffix(".out")?.parse().ok()
        };
        let least = index + u64::from(behind);
        Ok(fs::read_dir(&self.commands)?.flatten().filter_map(number).filter(|number| *number >= least).min())
    }
}

impl Open {
    /// The chunk at the present position, if it is whole.
    fn chunk(&self) -> io::Result<Option<Chunk>> {
        let mut head = [0; HEAD];
        if !self.read(&mut head, self.at)? {
            return Ok(None);
        }
        let [tag, length @ ..] = head;
        let stream = match tag {
            0 => Stream::Stdout,
            1 => Stream::Stderr,
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "a chunk has an unknown tag")),
        };
        let length = u32::from_le_bytes(length);
        if u64::from(length) > SEGMENT {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a chunk is longer than a segment"));
        }
        let mut bytes = vec![0; length as usize];
        let whole = self.read(&mut bytes, self.at + HEAD as u64)?;
        Ok(whole.then_some(Chunk { stream, bytes }))
    }

    /// Fills `buffer`; false if the file ends before.
    fn read(&self, buffer: &mut [u8], at: u64) -> io::Result<bool> {
        match self.file.read_exact_at(buffer, at) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }
}
