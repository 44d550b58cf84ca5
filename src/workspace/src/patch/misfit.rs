//! Why a patch does not fit, for each of its files, in words that help to make one that does.

use super::PathError;
use super::name::display;
use serde::Serialize;
use std::fmt;

/// Longest piece of a file that a message repeats.
const SHOWN: usize = 160;

/// A patch that cannot be applied. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Misfit {
    /// The files that are in the way.
    pub files: Vec<FileMisfit>,
    /// How many files the patch has.
    pub of: usize,
}

/// A file for which a patch does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileMisfit {
    /// Its path, odd bytes quoted.
    pub path: String,
    /// Where the patch speaks of it: a line, counted from 1.
    pub patch_line: usize,
    /// Why.
    pub reason: Reason,
}

impl FileMisfit {
    /// Whether there is a file to look at.
    #[must_use]
    pub const fn is_there(&self) -> bool {
        !matches!(self.reason, Reason::Missing | Reason::Refused { .. })
    }
}

/// Why a patch does not fit a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Reason {
    /// It is not there.
    Missing,
    /// It is there, but should be made.
    Exists,
    /// It is no file or link.
    NotFile,
    /// It is a link where the patch means a file, or the other way round.
    OtherKind,
    /// The path may not be changed.
    Refused {
        /// Why; reads on after "its path".
        why: String,
    },
    /// It is too long for a text.
    Long,
    /// The results together are too long.
    TooMuch,
    /// Looking for the place takes too long.
    Costly,
    /// A hunk says that the file ends without a line feed, but the file goes on after it.
    NewlineInside,
    /// What the patch deletes has more in it than the patch says.
    Leftover,
    /// The content is not the one that the binary patch belongs to.
    OtherContent,
    /// The binary patch does not make what it says.
    BinaryDamaged,
    /// A hunk fits nowhere.
    Hunk {
        /// Which one of the file, counted from 1.
        number: usize,
        /// Where its header is in the patch.
        patch_line: usize,
        /// Where it says that it belongs.
        stated_line: usize,
        /// How many lines it expects to be there.
        lines: usize,
        /// The place that is most like it, if any is.
        nearest: Option<Nearest>,
        /// Whether its result is there already.
        seems_applied: bool,
    },
}

/// The place in a file that is most like what a hunk expects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Nearest {
    /// First line of the place, counted from 1.
    pub line: usize,
    /// How many lines are as expected.
    pub matching: usize,
    /// The first line that is not.
    pub differs_at: usize,
    /// What was expected there.
    pub expected: String,
    /// What is there; none if the file ends before.
    pub found: Option<String>,
    /// Whether all lines differ only in spaces at their ends.
    pub only_spaces: bool,
    /// Whether all lines differ only in how they end.
    pub only_line_ends: bool,
}

impl From<PathError> for Reason {
    fn from(error: PathError) -> Self {
        Self::Refused { why: error.to_string() }
    }
}

impl FileMisfit {
    pub(super) fn new(path: &[u8], patch_line: usize, reason: Reason) -> Self {
        Self { path: display(path), patch_line, reason }
    }
}

impl std::error::Error for Misfit {}

impl fmt::Display for Misfit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bad, of) = (self.files.len(), self.of);
        write!(out, "the patch does not fit {bad} of {of} {}", if of == 1 { "file" } else { "files" })?;
        self.files.iter().try_for_each(|file| write!(out, "\n{file}"))
    }
}

impl fmt::Display for FileMisfit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.path, self.reason)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => out.write_str("there is no such file"),
            Self::Exists => out.write_str("it exists already, and the patch would create it"),
            Self::NotFile => out.write_str("it is neither a file nor a symbolic link"),
            Self::OtherKind => out.write_str(
                "the patch changes a file into a symbolic link, or back, without deleting it first",
            ),
            Self::Refused { why } => write!(out, "its path {why}"),
            Self::Long => write!(out, "it is longer than {} MiB; use a binary patch", super::TEXT_MAX >> 20),
            Self::TooMuch => write!(out, "the results are over {} MiB together", super::RESULT_MAX >> 20),
            Self::Costly => out.write_str("it takes too long to find where its hunks belong"),
            Self::NewlineInside => {
                out.write_str("a hunk says `No newline at end of file`, but the file goes on after it")
            }
            Self::Leftover => {
                out.write_str("the patch deletes it, but it has more lines than the patch removes")
            }
            Self::OtherContent => out.write_str("its content is not the one that the binary patch is for"),
            Self::BinaryDamaged => out.write_str("the binary patch does not make what it promises"),
            Self::Hunk { number, patch_line, stated_line, lines, nearest, seems_applied } => {
                write!(
                    out,
                    "hunk {number} (line {patch_line} of the patch), stated for line {stated_line}, "
                )?;
                if *lines == 0 {
                    return out.write_str("has no lines of context, so its place cannot be checked");
                }
                out.write_str("fits nowhere")?;
                if *seems_applied {
                    out.write_str("; its result is there already: was it applied before?")?;
                }
                match nearest {
                    Some(nearest) => write!(out, "\n  {}", NearestOf { nearest, lines: *lines }),
                    None => out.write_str("; nothing in the file is like its lines"),
                }
            }
        }
    }
}

struct NearestOf<'a> {
    nearest: &'a Nearest,
    lines: usize,
}

impl fmt::Display for NearestOf<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Nearest { line, matching, differs_at, expected, found, only_spaces, only_line_ends } =
            self.nearest;
        write!(out, "nearest at line {line}: {matching} of {} lines as expected; ", self.lines)?;
        write!(out, "line {differs_at} should be {}, ", shown(expected))?;
        match found {
            Some(found) => write!(out, "but is {}", shown(found))?,
            None => out.write_str("but the file ends before it")?,
        }
        if *only_line_ends {
            out.write_str(
                "\n  only the ends of lines differ: does one have CRLF or spaces and the other not?",
            )?;
        } else if *only_spaces {
            out.write_str("\n  only spaces at the beginnings or ends of lines differ")?;
        }
        Ok(())
    }
}

/// In quotes, so that spaces and carriage returns are seen.
fn shown(text: &str) -> String {
    let cut: String = text.chars().take(SHOWN).collect();
    if cut.len() < text.len() { format!("{cut:?}…") } else { format!("{cut:?}") }
}
