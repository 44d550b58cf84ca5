//! A command's streams: ours connected to it, and what `--json` keeps of its own.

use super::output::Output;
use super::signals::Signals;
use super::terminal::{RawTerminal, window};
use crate::error::UserError;
use crate::exit::Exit;
use pyro_workspace::{Bytes, InputWriter, SessionError, Stream};
use serde::Serialize;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

/// Most output of each stream that `--json` keeps; the rest is counted.
const KEPT_MAX: usize = 8 << 20;

/// What a command is lent of ours.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Wanted {
    /// Pass standard input to the command
    #[arg(short, long)]
    pub interactive: bool,
    /// Give the command a terminal
    #[arg(short, long, conflicts_with = "json")]
    pub tty: bool,
}

/// Words of a command line, as a command gets them.
pub fn words(words: Vec<OsString>) -> Vec<Bytes> {
    words.into_iter().map(|word| word.into_vec().into()).collect()
}

/// A limit, as the agent gets it.
pub fn milliseconds(limit: Duration) -> Option<u64> {
    Some(limit.as_millis().try_into().unwrap_or(u64::MAX))
}

/// Connects our standard input, terminal and signals to the command's, as far as they were asked for.
/// The terminal is ours again when the value is dropped.
///
/// # Errors
/// When descriptors have run out.
pub fn connect(
    out: Output,
    wanted: Wanted,
    signals: &Signals,
    writer: impl Fn() -> Result<InputWriter, SessionError>,
) -> Result<Option<RawTerminal>, UserError> {
    let unreachable = |error: SessionError| UserError::new("agent", error).exit(Exit::NotRun);
    let Wanted { interactive, tty } = wanted;
    if interactive {
        let input = writer().map_err(unreachable)?;
        // Never joined: it may be inside a read of a terminal that nobody types at.
        std::thread::spawn(move || {
            if let Err(error) = input.copy(io::stdin()) {
                out.note(format_args!("note: standard input cannot be read: {error}"));
            }
        });
    }
    if !tty {
        return Ok(None);
    }
    let input = writer().map_err(unreachable)?;
    signals.on_resize(move || input.resize(window()))?;
    Ok(if interactive { RawTerminal::enter() } else { None })
}

/// The beginning of a stream.
#[derive(Serialize)]
pub struct Kept {
    text: String,
    bytes: u64,
    truncated: bool,
    #[serde(skip)]
    raw: Vec<u8>,
}

impl Kept {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self { text: String::new(), bytes: 0, truncated: false, raw: Vec::new() }
    }

    /// Takes what has come.
    pub fn push(&mut self, bytes: &[u8]) {
        let room = KEPT_MAX - self.raw.len();
        self.raw.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.bytes += bytes.len() as u64;
    }

    /// Says that something is missing here.
    pub fn gap(&mut self, mark: &[u8]) {
        self.truncated = true;
        if !self.raw.is_empty() && self.raw.len() + mark.len() <= KEPT_MAX {
            self.raw.extend_from_slice(mark);
        }
    }

    /// As text, whatever it is.
    pub fn finish(mut self) -> Self {
        self.truncated |= self.bytes > self.raw.len() as u64;
        self.text = String::from_utf8_lossy(&self.raw).into_owned();
        self
    }
}

/// Where the output of a command goes: to the user as it comes, or into what `--json` prints.
pub struct Outlet {
    out: Output,
    kept: [Kept; 2],
}

impl Outlet {
    /// As this speaks.
    pub const fn new(out: Output) -> Self {
        Self { out, kept: [Kept::new(), Kept::new()] }
    }

    /// Passes a piece on.
    ///
    /// # Errors
    /// When the user's stream cannot be written.
    pub fn take(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        match stream {
            _ if self.out.is_json() => {
                self.kept[stream as usize].push(bytes);
                Ok(())
            }
            Stream::Stdout => self.out.content(bytes),
            Stream::Stderr => self.out.content_err(bytes),
        }
    }

    /// What was kept of stdout and stderr.
    pub fn finish(self) -> [Kept; 2] {
        self.kept.map(Kept::finish)
    }
}
