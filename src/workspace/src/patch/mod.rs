//! Patches as text: written ([`write_file`]), read ([`Patch::parse`]), applied ([`Patch::apply`]).
//!
//! All of it is bytes in, bytes out. A patch comes from a model or a user, the files that it is applied
//! to come from a guest: both are taken as hostile, so each gives an error and never a panic, and
//! memory and time stay within the limits that are named here.
//!
//! Parsing is our own: `diffy` 0.5.2 takes a text as git's or as plain for the whole, finds file
//! headers inside of hunks whose lines look like them, takes merge diffs for empty changes, and says
//! of a failure neither the line nor what was there instead.

mod apply;
mod base85;
mod delta;
mod fit;
mod header;
mod host;
mod hunk;
mod misfit;
mod name;
mod parse;
mod stat;
mod unified;
mod write;

pub use apply::{Action, FileEdit, Original};
pub use host::{HostError, HostTree};
pub use hunk::{Hunk, Line, LineKind};
pub use misfit::{FileMisfit, Misfit, Nearest, Reason};
pub use name::{PathError, check as check_path, display as display_path, is_repository};
pub use parse::{ParseError, ParseProblem};
pub use stat::{StatLine, write_stat};
pub use unified::Lines;
pub(crate) use write::is_binary;
pub use write::{Binaries, Blob, Mode, Written, write_file, write_rename};

/// Longest patch that is read. Every file of it is held in memory with its result.
pub const PATCH_MAX: usize = 256 << 20;

/// Longest file whose text is compared, and longest text that a patch is applied to.
pub const TEXT_MAX: u64 = 16 << 20;

/// A text of more lines is treated as binary: each line costs memory, even an empty one.
pub const LINES_MAX: usize = 2_000_000;

/// Longest file that a patch carries whole, as git's binary patches do.
pub const BINARY_MAX: u64 = 32 << 20;

/// Most bytes that applying one patch may make: a few bytes of zlib can claim gigabytes.
pub const RESULT_MAX: u64 = 512 << 20;

/// A patch that was read: changes of files, in order. It borrows from its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch<'a> {
    files: Vec<FilePatch<'a>>,
}

/// What a patch does to one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePatch<'a> {
    /// The file before; none if it is created.
    pub old: Option<Vec<u8>>,
    /// The file after; none if it is deleted.
    pub new: Option<Vec<u8>>,
    /// Whether the old file stays: a copy.
    pub keeps_old: bool,
    /// Its mode before, if the patch says.
    pub old_mode: Option<Mode>,
    /// Its mode after, if the patch says.
    pub new_mode: Option<Mode>,
    /// What happens to its content.
    pub body: Body<'a>,
    /// Where in the patch it begins, counted from 1.
    pub line: usize,
}

/// What a patch does to the content of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// Changes of lines; none if the content stays, or there is none.
    Hunks(Vec<Hunk<'a>>),
    /// git's form for binary files.
    Binary(Binary<'a>),
}

/// The change of a binary file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binary<'a> {
    /// Names, as a git object, the content that it belongs to.
    pub(crate) old_id: [u8; 20],
    /// Names the content that it makes.
    pub(crate) new_id: [u8; 20],
    /// Whether `lines` are a delta; otherwise they are the content itself.
    pub(crate) is_delta: bool,
    /// Bytes that the lines inflate to.
    pub(crate) size: usize,
    /// The encoded lines.
    pub(crate) lines: &'a [u8],
}

impl<'a> Patch<'a> {
    /// Reads a patch: of git or plain, one file or many, with any text around it.
    ///
    /// # Errors
    /// [`ParseError`] names the line.
    pub fn parse(text: &'a [u8]) -> Result<Self, ParseError> {
        parse::parse(text).map(|files| Self { files })
    }

    /// What it does, in order.
    #[must_use]
    pub fn files(&self) -> &[FilePatch<'a>] {
        &self.files
    }

    /// Every path that it names, sorted: those whose content [`Patch::apply`] asks for.
    #[must_use]
    pub fn paths(&self) -> Vec<&[u8]> {
        let mut paths: Vec<&[u8]> =
            self.files.iter().flat_map(|file| [&file.old, &file.new]).flatten().map(Vec::as_slice).collect();
        paths.sort_unstable();
        paths.dedup();
        paths
    }
}

impl FilePatch<'_> {
    /// The name by which messages speak of it.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        self.new.as_deref().or(self.old.as_deref()).unwrap_or_default()
    }
}

/// The name of a content as a git object.
#[must_use]
pub(crate) fn object_id(content: &[u8]) -> [u8; 20] {
    use sha1::Digest as _;
    let mut hasher = sha1::Sha1::new();
    hasher.update(format!("blob {}\0", content.len()));
    hasher.update(content);
    hasher.finalize().into()
}
