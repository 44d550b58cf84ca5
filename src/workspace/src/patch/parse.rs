//! Reading a patch.

use super::header::{self, Names};
use super::name::PathError;
use super::{BINARY_MAX, Binary, Body, FilePatch, Hunk, Mode, PATCH_MAX};

/// Most files in one patch; each costs memory.
const FILES_MAX: usize = 500_000;

/// Why a text is not a patch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the patch: {problem}")]
pub struct ParseError {
    /// Where, counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: ParseProblem,
}

/// What is wrong with a patch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseProblem {
    /// No change in it.
    #[error("there is no change before the end: neither `diff --git` nor `---` with `+++` and `@@`")]
    Empty,
    /// Over [`PATCH_MAX`] bytes.
    #[error("it is longer than {} MiB", PATCH_MAX >> 20)]
    Long,
    /// Too many files.
    #[error("it changes more than {FILES_MAX} files")]
    Files,
    /// A merge's diff.
    #[error("diffs of merges (`diff --cc`, `@@@`) cannot be applied")]
    Combined,
    /// A malformed hunk header.
    #[error("a hunk must begin like `@@ -1,2 +3,4 @@`")]
    HunkHeader,
    /// A hunk before any file.
    #[error("a hunk without `---` and `+++` lines before it: which file is it for?")]
    HunkAlone,
    /// A hunk's lines are not as many as its header says.
    #[error(
        "the hunk of line {hunk} must have {old_count} old and {new_count} new lines, as its header \
         says; up to here it has {old} and {new}"
    )]
    HunkCount {
        /// Where its header is.
        hunk: usize,
        /// Old lines that it promises.
        old_count: usize,
        /// New lines that it promises.
        new_count: usize,
        /// Old lines so far.
        old: usize,
        /// New lines so far.
        new: usize,
    },
    /// A change without hunks.
    #[error("no hunk follows `---` and `+++`")]
    NoHunk,
    /// No name, or several that contradict each other.
    #[error("the file's name cannot be told from these lines")]
    Name,
    /// A name that is refused.
    #[error("{path}: its path {problem}")]
    Path {
        /// The name.
        path: String,
        /// Why.
        problem: PathError,
    },
    /// A mode that is neither a file's nor a symbolic link's.
    #[error("mode {0}: only 100644, 100755 and 120000 can be applied")]
    Mode(String),
    /// `Binary files … differ`.
    #[error("the content of this binary file is not in the patch; make it with `git diff --binary`")]
    NoBinary,
    /// A malformed binary part.
    #[error("the binary patch is malformed")]
    Binary,
    /// A binary part that promises too much.
    #[error("the binary patch makes more than {} MiB", BINARY_MAX >> 20)]
    BinarySize,
}

pub(super) fn parse(text: &[u8]) -> Result<Vec<FilePatch<'_>>, ParseError> {
    let mut cursor = Cursor::new(text);
    if text.len() > PATCH_MAX {
        return Err(cursor.error(ParseProblem::Long));
    }
    let mut files = Vec::new();
    while let Some(line) = cursor.peek() {
        if line.starts_with(b"diff --git ") {
            files.push(file(&mut cursor, header::git)?);
        } else if line.starts_with(b"diff --cc ") || line.starts_with(b"diff --combined ") {
            return Err(cursor.error(ParseProblem::Combined));
        } else if cursor.is_plain_header() {
            files.push(file(&mut cursor, header::plain)?);
        } else if line.starts_with(b"@@ -") && line[4..].windows(3).any(|it| it == b" @@") {
            return Err(cursor.error(ParseProblem::HunkAlone));
        } else {
            cursor.next();
        }
        if files.len() > FILES_MAX {
            return Err(cursor.error(ParseProblem::Files));
        }
    }
    if files.is_empty() { Err(cursor.error(ParseProblem::Empty)) } else { Ok(files) }
}

type ReadHeader = fn(&mut Cursor<'_>) -> Result<header::Header, ParseError>;

fn file<'a>(cursor: &mut Cursor<'a>, read: ReadHeader) -> Result<FilePatch<'a>, ParseError> {
    let line = cursor.line();
    let header = read(cursor)?;
    let body = match cursor.peek().unwrap_or_default() {
        b"GIT binary patch" | b"GIT binary patch\r" => Body::Binary(binary(cursor, header.ids)?),
        next if next.starts_with(b"Binary files ")
            || next.starts_with(b"Files ") && next.ends_with(b" differ") =>
        {
            return Err(cursor.error(ParseProblem::NoBinary));
        }
        _ => {
            let mut hunks = Vec::new();
            while let Some(hunk) = Hunk::read(cursor)? {
                hunks.push(hunk);
            }
            if header.wants_hunks && hunks.is_empty() {
                return Err(cursor.error(ParseProblem::NoHunk));
            }
            Body::Hunks(hunks)
        }
    };
    let Names { old, new, keeps_old } = header.names;
    Ok(FilePatch { old, new, keeps_old, old_mode: header.old_mode, new_mode: header.new_mode, body, line })
}

fn binary<'a>(cursor: &mut Cursor<'a>, ids: Option<([u8; 20], [u8; 20])>) -> Result<Binary<'a>, ParseError> {
    let malformed = |cursor: &Cursor<'_>| cursor.error(ParseProblem::Binary);
    cursor.next();
    let (old_id, new_id) = ids.ok_or_else(|| malformed(cursor))?;
    let (is_delta, size, lines) = binary_part(cursor)?.ok_or_else(|| malformed(cursor))?;
    // The way back, which git writes too.
    binary_part(cursor)?;
    Ok(Binary { old_id, new_id, is_delta, size, lines })
}

/// Whether it is a delta, how many bytes it inflates to, and its lines.
type BinaryPart<'a> = (bool, usize, &'a [u8]);

fn binary_part<'a>(cursor: &mut Cursor<'a>) -> Result<Option<BinaryPart<'a>>, ParseError> {
    let head = cursor.peek().unwrap_or_default().trim_ascii_end();
    let (is_delta, size) = match (head.strip_prefix(b"literal "), head.strip_prefix(b"delta ")) {
        (Some(size), _) => (false, size),
        (_, Some(size)) => (true, size),
        _ => return Ok(None),
    };
    let size = std::str::from_utf8(size).ok().and_then(|size| size.parse::<u64>().ok());
    let size = size.ok_or_else(|| cursor.error(ParseProblem::Binary))?;
    if size > BINARY_MAX {
        return Err(cursor.error(ParseProblem::BinarySize));
    }
    cursor.next();
    let start = cursor.offset();
    while cursor.peek().is_some_and(|line| !line.trim_ascii_end().is_empty()) {
        cursor.next();
    }
    let lines = cursor.since(start);
    cursor.next();
    Ok(Some((is_delta, size as usize, lines)))
}

impl Mode {
    /// A mode in octal, as a patch has it.
    pub(super) fn parse(text: &[u8]) -> Result<Self, ParseProblem> {
        let text = String::from_utf8_lossy(text.trim_ascii());
        match u32::from_str_radix(&text, 8) {
            Ok(0o120_000) => Ok(Self::Symlink),
            // git keeps only whether the owner may execute; other tools write the rest too.
            Ok(mode) if mode & !0o7777 == 0o100_000 && mode & 0o100 != 0 => Ok(Self::Executable),
            Ok(mode) if mode & !0o7777 == 0o100_000 => Ok(Self::Regular),
            _ => Err(ParseProblem::Mode(text.chars().take(16).collect())),
        }
    }
}

/// Goes through a text line by line. Lines come without their line feeds.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    text: &'a [u8],
    offset: usize,
    line: usize,
    /// End of the line at the offset: it is looked at more than once.
    end: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        let mut cursor = Self { text, offset: 0, line: 1, end: 0 };
        cursor.find_end();
        cursor
    }

    fn find_end(&mut self) {
        let rest = &self.text[self.offset..];
        self.end = self.offset + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    }

    pub(super) fn peek(&self) -> Option<&'a [u8]> {
        (self.offset < self.text.len()).then(|| &self.text[self.offset..self.end])
    }

    pub(super) fn next(&mut self) -> Option<&'a [u8]> {
        let line = self.peek()?;
        self.offset = (self.end + 1).min(self.text.len());
        self.line += 1;
        self.find_end();
        Some(line)
    }

    /// Number of the line that comes next, counted from 1.
    pub(super) fn line(&self) -> usize {
        self.line
    }

    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        &self.text[start..self.offset]
    }

    pub(super) fn error(&self, problem: ParseProblem) -> ParseError {
        ParseError { line: self.line, problem }
    }

    /// Whether `---` and `+++` lines come next.
    pub(super) fn is_plain_header(&self) -> bool {
        let second = || {
            let mut ahead = self.clone();
            ahead.next();
            ahead.peek().is_some_and(|line| line.starts_with(b"+++ "))
        };
        self.peek().is_some_and(|line| line.starts_with(b"--- ")) && second()
    }
}
