//! Keeping what a command puts out.

use super::{CommandRecord, LAST, Outcome, SEGMENT, path, segment};
use crate::failpoint;
use crate::session::Stream;
use jiff::Timestamp;
use pyro_protocol::Exec;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Longest command line that is kept, in bytes: as much as a screen shows.
const ARGV_MAX: usize = 16 << 10;

/// Hears one command to its end.
#[derive(Debug)]
pub struct Writer {
    commands: PathBuf,
    record: CommandRecord,
    segment: Option<Segment>,
    /// Segments before it that are still there, with the bytes of output in them.
    kept: VecDeque<(u64, u64)>,
    /// What is known of it. Locked: as long as it is open, the command is heard.
    file: File,
}

/// The segment that is being written.
#[derive(Debug)]
struct Segment {
    index: u64,
    file: File,
    /// Up to here it is whole.
    length: u64,
    /// Output of it that is kept.
    kept: u64,
    /// Whether writing has failed: then the rest of it is dropped.
    is_broken: bool,
}

impl Writer {
    /// Notes that `exec` is about to run, under the next number.
    pub fn open(commands: &Path, exec: &Exec, detached: bool) -> io::Result<Self> {
        let hint = commands.join("last");
        let last: u64 = fs::read_to_string(&hint).ok().and_then(|text| text.parse().ok()).unwrap_or_default();
        let mut record = CommandRecord {
            sequence: last,
            argv: words(exec),
            cwd: String::from_utf8_lossy(&exec.cwd).into_owned(),
            detached,
            started_at: Timestamp::now(),
            ended_at: None,
            outcome: Outcome::Running,
            stdout_bytes: 0,
            stderr_bytes: 0,
            dropped_bytes: 0,
        };
        let file = loop {
            record.sequence += 1;
            let mut new = File::options();
            let new = new.append(true).create_new(true).mode(0o600);
            match new.open(path(commands, record.sequence)) {
                Ok(file) => break file,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        };
        failpoint::pass("journal.created");
        // Locked before there is anything to read: who reads it sees a command that is heard.
        let written = file.try_lock().map_err(io::Error::from).and_then(|()| append(&file, &record));
        if let Err(error) = written {
            let _ = fs::remove_file(path(commands, record.sequence));
            return Err(error);
        }
        failpoint::pass("journal.opened");
        // Only a hint: wrong or missing, it costs the next command a few attempts. Always of one length:
        // a file system waits for the disk when a file is cut.
        let text = format!("{:020}", record.sequence);
        let hint = File::options().write(true).create(true).truncate(false).open(hint);
        let _ = hint.and_then(|file| file.write_all_at(text.as_bytes(), 0));
        Ok(Self { commands: commands.into(), record, segment: None, kept: VecDeque::new(), file })
    }

    /// The command's number.
    pub const fn sequence(&self) -> u64 {
        self.record.sequence
    }

    /// Keeps output. What cannot be written is counted as dropped: the command goes on.
    pub fn output(&mut self, stream: Stream, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let end = self.record.end();
            let room = usize::try_from(SEGMENT - end % SEGMENT).unwrap_or(usize::MAX);
            let (piece, rest) = bytes.split_at(bytes.len().min(room));
            if !self.keep(end / SEGMENT, stream, piece) {
                self.record.dropped_bytes += piece.len() as u64;
            }
            match stream {
                Stream::Stdout => self.record.stdout_bytes += piece.len() as u64,
                Stream::Stderr => self.record.stderr_bytes += piece.len() as u64,
            }
            bytes = rest;
        }
    }

    /// Notes how the command ended. After this nobody waits for it any more.
    pub fn end(mut self, outcome: Outcome) -> io::Result<()> {
        self.record.outcome = outcome;
        self.record.ended_at = Some(Timestamp::now());
        failpoint::pass("journal.ending");
        append(&self.file, &self.record)?;
        failpoint::pass("journal.ended");
        Ok(())
    }

    /// Forgets the command, which was never sent.
    pub fn forget(self) {
        let _ = fs::remove_file(path(&self.commands, self.record.sequence));
    }

    fn keep(&mut self, index: u64, stream: Stream, piece: &[u8]) -> bool {
        if self.segment.as_ref().is_none_or(|segment| segment.index != index) {
            self.segment = self.next_segment(index);
        }
        self.segment.as_mut().is_some_and(|segment| segment.keep(stream, piece))
    }

    fn next_segment(&mut self, index: u64) -> Option<Segment> {
        let name = |index| segment(&self.commands, self.record.sequence, index);
        let file = File::options().write(true).create_new(true).open(name(index)).ok()?;
        failpoint::pass("journal.segment");
        if let Some(last) = self.segment.take() {
            self.kept.push_back((last.index, last.kept));
        }
        while let Some((old, kept)) = self.kept.pop_front_if(|(old, _)| *old + LAST <= index) {
            // The first segment of all stays.
            if old > 0 && fs::remove_file(name(old)).is_ok() {
                self.record.dropped_bytes += kept;
            }
        }
        Some(Segment { index, file, length: 0, kept: 0, is_broken: false })
    }
}

impl Segment {
    fn keep(&mut self, stream: Stream, piece: &[u8]) -> bool {
        if self.is_broken {
            return false;
        }
        let length = u32::try_from(piece.len()).expect("a piece is shorter than a segment").to_le_bytes();
        let mut chunk = Vec::with_capacity(5 + piece.len());
        chunk.push(stream as u8);
        chunk.extend(length);
        chunk.extend(piece);
        match self.file.write_all_at(&chunk, self.length) {
            Ok(()) => {
                self.length += chunk.len() as u64;
                self.kept += piece.len() as u64;
            }
            Err(error) => {
                tracing::warn!(%error, "output of a command is not kept");
                let _ = self.file.set_len(self.length);
                self.is_broken = true;
            }
        }
        !self.is_broken
    }
}

/// Adds the record as it is now. A line that is cut short, by a killed process or a full disk, is none.
fn append(mut file: &File, record: &CommandRecord) -> io::Result<()> {
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    file.write_all(&line)
}

fn words(exec: &Exec) -> Vec<String> {
    let mut left = ARGV_MAX;
    let mut words = Vec::new();
    for word in &exec.argv {
        let kept = &word[..word.len().min(left)];
        words.push(String::from_utf8_lossy(kept).into_owned());
        left -= kept.len();
        if left == 0 {
            break;
        }
    }
    words
}
