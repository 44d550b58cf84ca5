//! Hunks: the lines that a patch changes, with the lines around them.

use super::parse::{Cursor, ParseError, ParseProblem};

/// Changes of neighbouring lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hunk<'a> {
    /// Where in the patch its header is, counted from 1.
    pub line: usize,
    /// First line in the old file, counted from 1; the line before if it has none there.
    pub old_start: usize,
    /// Lines of the old file.
    pub old_count: usize,
    /// First line in the new file.
    pub new_start: usize,
    /// Lines of the new file.
    pub new_count: usize,
    /// Its lines as they stand in the patch.
    body: &'a [u8],
}

/// A line of a hunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// What becomes of it.
    pub kind: LineKind,
    /// Without its line feed.
    pub text: &'a [u8],
    /// Whether it ends with a line feed.
    pub ends: bool,
}

/// Kinds of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind {
    /// Stays.
    Context,
    /// Goes.
    Removed,
    /// Comes.
    Added,
}

impl<'a> Hunk<'a> {
    /// Its lines.
    pub fn lines(&self) -> impl Iterator<Item = Line<'a>> {
        let mut rest = Cursor::new(self.body);
        std::iter::from_fn(move || {
            let (kind, text) = split(rest.next()?)?;
            let ends = !rest.peek().is_some_and(is_marker);
            if !ends {
                rest.next();
            }
            Some(Line { kind, text, ends })
        })
    }

    /// Reads the hunk at the cursor; `None` if there is none.
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Option<Self>, ParseError> {
        let line = cursor.line();
        let Some(header) = cursor.peek() else { return Ok(None) };
        if header.starts_with(b"@@@") {
            return Err(cursor.error(ParseProblem::Combined));
        }
        if !header.starts_with(b"@@ -") {
            return Ok(None);
        }
        let [old_start, old_count, new_start, new_count] =
            header_numbers(header).ok_or_else(|| cursor.error(ParseProblem::HunkHeader))?;
        cursor.next();
        let start = cursor.offset();
        let (mut old, mut new) = (0, 0);
        let wrong = |cursor: &Cursor<'a>, old, new| {
            let problem = ParseProblem::HunkCount { hunk: line, old_count, new_count, old, new };
            Err(cursor.error(problem))
        };
        while old < old_count || new < new_count {
            match cursor.peek().and_then(split) {
                Some((LineKind::Context, _)) => (old, new) = (old + 1, new + 1),
                Some((LineKind::Removed, _)) => old += 1,
                Some((LineKind::Added, _)) => new += 1,
                None => return wrong(cursor, old, new),
            }
            if old > old_count || new > new_count {
                return wrong(cursor, old, new);
            }
            cursor.next();
            if cursor.peek().is_some_and(is_marker) {
                cursor.next();
            }
        }
        let body = cursor.since(start);
        // What goes on like a hunk, but is no other file and no end of a mail, was not counted: leaving it
        // out in silence would apply half of what was meant.
        if let Some(next @ [b' ' | b'+' | b'-', ..]) = cursor.peek()
            && next.trim_ascii_end() != b"--"
            && !cursor.is_plain_header()
        {
            let (more_old, more_new) = (usize::from(next[0] != b'+'), usize::from(next[0] != b'-'));
            return wrong(cursor, old + more_old, new + more_new);
        }
        Ok(Some(Self { line, old_start, old_count, new_start, new_count, body }))
    }
}

/// Editors take the only space of an empty context line away.
fn split(line: &[u8]) -> Option<(LineKind, &[u8])> {
    match line {
        [] | b"\r" => Some((LineKind::Context, line)),
        [b' ', text @ ..] => Some((LineKind::Context, text)),
        [b'-', text @ ..] => Some((LineKind::Removed, text)),
        [b'+', text @ ..] => Some((LineKind::Added, text)),
        _ => None,
    }
}

/// `\ No newline at end of file`, in whatever language.
fn is_marker(line: &[u8]) -> bool {
    line.starts_with(b"\\ ")
}

/// The numbers of `@@ -1,2 +3,4 @@`; a count that is left out is 1.
fn header_numbers(header: &[u8]) -> Option<[usize; 4]> {
    let rest = header.strip_prefix(b"@@ -")?;
    let (old_start, old_count, rest) = range(rest)?;
    let (new_start, new_count, rest) = range(rest.strip_prefix(b" +")?)?;
    rest.starts_with(b" @@").then_some([old_start, old_count, new_start, new_count])
}

fn range(text: &[u8]) -> Option<(usize, usize, &[u8])> {
    let (start, rest) = number(text)?;
    match rest.strip_prefix(b",") {
        Some(rest) => number(rest).map(|(count, rest)| (start, count, rest)),
        None => Some((start, 1, rest)),
    }
}

/// At most nine digits: no file that is patched has more lines.
fn number(text: &[u8]) -> Option<(usize, &[u8])> {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(length);
    if length > 9 {
        return None;
    }
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest))
}
