//! Changes of lines, as hunks.
//!
//! The formatter is our own: that of `similar` writes bytes that are not UTF-8 as replacement
//! characters, and ends lines at a lone carriage return, which no program that applies patches does.

use serde::Serialize;
use similar::{Algorithm, DiffOp, capture_diff_slices_deadline, group_diff_ops};
use std::time::{Duration, Instant};

/// Lines around each change.
const CONTEXT: usize = 3;

/// After this the lines that are left count as replaced: larger than needed, but right.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many lines a change adds and removes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lines {
    /// Lines that were not there.
    pub added: u64,
    /// Lines that are gone.
    pub removed: u64,
}

impl std::iter::Sum for Lines {
    fn sum<I: Iterator<Item = Self>>(lines: I) -> Self {
        lines.fold(Self::default(), |sum, lines| Self {
            added: sum.added + lines.added,
            removed: sum.removed + lines.removed,
        })
    }
}

/// The lines of a text, each with its line feed.
pub(super) fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

/// Appends the hunks that make `new` of `old`.
pub(super) fn write_hunks(old: &[u8], new: &[u8], out: &mut Vec<u8>) -> Lines {
    let (old, new) = (lines(old), lines(new));
    let deadline = Some(Instant::now() + PATIENCE);
    let ops = capture_diff_slices_deadline(Algorithm::Myers, &old, &new, deadline);
    let mut count = Lines::default();
    for group in group_diff_ops(ops, CONTEXT) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let old_range = first.old_range().start..last.old_range().end;
        let new_range = first.new_range().start..last.new_range().end;
        let header = format!("@@ -{} +{} @@\n", range(&old_range), range(&new_range));
        out.extend_from_slice(header.as_bytes());
        for op in &group {
            if let DiffOp::Equal { .. } = op {
                old[op.old_range()].iter().for_each(|line| write_line(b' ', line, out));
                continue;
            }
            let (removed, added) = (&old[op.old_range()], &new[op.new_range()]);
            removed.iter().for_each(|line| write_line(b'-', line, out));
            added.iter().for_each(|line| write_line(b'+', line, out));
            count.removed += removed.len() as u64;
            count.added += added.len() as u64;
        }
    }
    count
}

fn write_line(mark: u8, line: &[u8], out: &mut Vec<u8>) {
    out.push(mark);
    out.extend_from_slice(line);
    if !line.ends_with(b"\n") {
        out.extend_from_slice(b"\n\\ No newline at end of file\n");
    }
}

/// A range as a hunk's header has it: an empty one is named by the line before it.
fn range(range: &std::ops::Range<usize>) -> String {
    match range.len() {
        0 => format!("{},0", range.start),
        1 => format!("{}", range.start + 1),
        count => format!("{},{count}", range.start + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(old: &str, new: &str, expected: &str) {
        let mut out = Vec::new();
        write_hunks(old.as_bytes(), new.as_bytes(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn hunks_are_written_as_diff_does() {
        check("", "a\n", "@@ -0,0 +1 @@\n+a\n");
        check("a\n", "", "@@ -1 +0,0 @@\n-a\n");
        check("a\nb\n", "a\nc\n", "@@ -1,2 +1,2 @@\n a\n-b\n+c\n");
        check("a\n", "a", "@@ -1 +1 @@\n-a\n+a\n\\ No newline at end of file\n");
        check("x\r\r\n", "y\r\r\n", "@@ -1 +1 @@\n-x\r\r\n+y\r\r\n");
        check("same\n", "same\n", "");
    }

    #[test]
    fn bytes_stay_as_they_are() {
        let mut out = Vec::new();
        let lines = write_hunks(b"\xff\rx\n", b"\xfe\rx\n\n", &mut out);
        assert_eq!(out, b"@@ -1 +1,2 @@\n-\xff\rx\n+\xfe\rx\n+\n");
        assert_eq!(lines, Lines { added: 2, removed: 1 });
    }
}
