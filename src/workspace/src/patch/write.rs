//! The change of one file as `git apply` takes it.

use super::{BINARY_MAX, LINES_MAX, Lines, TEXT_MAX, base85, name::quoted, object_id, unified};
use std::io::Write as _;

/// As far as git looks for a zero byte to tell binary files.
const BINARY_PROBE: usize = 8000;

/// The modes that git knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A file.
    Regular,
    /// A file that its owner may execute.
    Executable,
    /// A symbolic link.
    Symlink,
}

impl Mode {
    /// Of a regular file with these permissions.
    #[must_use]
    pub fn of_file(permissions: u32) -> Self {
        if permissions & 0o100 == 0 { Self::Regular } else { Self::Executable }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Regular => "100644",
            Self::Executable => "100755",
            Self::Symlink => "120000",
        }
    }
}

/// A file before or after a change, as git sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob<'a> {
    /// Its mode.
    pub mode: Mode,
    /// Its content, or a link's target; `None` if it is over [`BINARY_MAX`] and not at hand.
    pub content: Option<&'a [u8]>,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Lines.
    Text(Lines),
    /// A binary file, whole.
    Binary,
    /// A binary file that is too large: the patch only says that it differs, and `git apply` refuses it.
    TooLarge,
}

/// Whether a content is treated as bytes rather than as lines.
pub(crate) fn is_binary(content: &[u8]) -> bool {
    content[..content.len().min(BINARY_PROBE)].contains(&0)
        || content.len() as u64 > TEXT_MAX
        || content.iter().filter(|byte| **byte == b'\n').count() > LINES_MAX
}

/// How a patch has binary files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binaries {
    /// Whole, so that the patch can be applied.
    Whole,
    /// By name alone: making a patch only to count lines should not compress anything.
    Named,
}

/// Appends the change of `path` from `old` to `new` to a patch. A file that is now of another kind
/// (a link instead of a file) is deleted and created, as git does.
pub fn write_file(
    path: &[u8],
    old: Option<Blob<'_>>,
    new: Option<Blob<'_>>,
    binaries: Binaries,
    out: &mut Vec<u8>,
) -> Written {
    if let (Some(before), Some(after)) = (old, new)
        && (before.mode == Mode::Symlink) != (after.mode == Mode::Symlink)
    {
        let gone = write_file(path, old, None, binaries, out);
        let come = write_file(path, None, new, binaries, out);
        return match (gone, come) {
            (Written::Text(gone), Written::Text(come)) => {
                Written::Text(Lines { added: come.added, removed: gone.removed })
            }
            (Written::TooLarge, _) | (_, Written::TooLarge) => Written::TooLarge,
            _ => Written::Binary,
        };
    }
    let (before, after) = (quoted(path, b"a/"), quoted(path, b"b/"));
    let mut line = |parts: &[&[u8]]| {
        parts.iter().for_each(|part| out.extend_from_slice(part));
        out.push(b'\n');
    };
    line(&[b"diff --git ", &before, b" ", &after]);
    match (old, new) {
        (None, Some(new)) => line(&[b"new file mode ", new.mode.as_str().as_bytes()]),
        (Some(old), None) => line(&[b"deleted file mode ", old.mode.as_str().as_bytes()]),
        (Some(old), Some(new)) if old.mode != new.mode => {
            line(&[b"old mode ", old.mode.as_str().as_bytes()]);
            line(&[b"new mode ", new.mode.as_str().as_bytes()]);
        }
        _ => {}
    }
    let (Some(from), Some(to)) = (content(old), content(new)) else {
        line(&[b"Binary files ", side(old, &before), b" and ", side(new, &after), b" differ"]);
        return Written::TooLarge;
    };
    if from == to {
        return Written::Text(Lines::default());
    }
    if is_binary(from) || is_binary(to) {
        let large = from.len() as u64 > BINARY_MAX || to.len() as u64 > BINARY_MAX;
        if large || binaries == Binaries::Named {
            line(&[b"Binary files ", side(old, &before), b" and ", side(new, &after), b" differ"]);
            return if large { Written::TooLarge } else { Written::Binary };
        }
        // git takes a binary patch only with both names whole, and checks the contents by them.
        let id = |side: Option<Blob<'_>>, content| side.map_or([0; 20], |_| object_id(content));
        line(&[b"index ", hex::encode(id(old, from)).as_bytes(), b"..", hex::encode(id(new, to)).as_bytes()]);
        line(&[b"GIT binary patch"]);
        for content in [to, from] {
            // Writing to memory does not fail.
            let _ = writeln!(out, "literal {}", content.len());
            base85::write(content, out);
        }
        return Written::Binary;
    }
    line(&[b"--- ", side(old, &before), tab(old, &before)]);
    line(&[b"+++ ", side(new, &after), tab(new, &after)]);
    Written::Text(unified::write_hunks(from, to, out))
}

/// Appends that a file has moved, and is the same but perhaps for its mode.
pub fn write_rename((from, to): (&[u8], &[u8]), (old, new): (Mode, Mode), out: &mut Vec<u8>) {
    let mut line = |parts: &[&[u8]]| {
        parts.iter().for_each(|part| out.extend_from_slice(part));
        out.push(b'\n');
    };
    line(&[b"diff --git ", &quoted(from, b"a/"), b" ", &quoted(to, b"b/")]);
    if old != new {
        line(&[b"old mode ", old.as_str().as_bytes()]);
        line(&[b"new mode ", new.as_str().as_bytes()]);
    }
    line(&[b"similarity index 100%"]);
    line(&[b"rename from ", &quoted(from, b"")]);
    line(&[b"rename to ", &quoted(to, b"")]);
}

fn content(side: Option<Blob<'_>>) -> Option<&[u8]> {
    side.map_or(Some(b""), |side| side.content)
}

fn side<'n>(blob: Option<Blob<'_>>, name: &'n [u8]) -> &'n [u8] {
    if blob.is_some() { name } else { b"/dev/null" }
}

/// A name with spaces is ended by a tab, so that nothing takes the rest for a date.
fn tab(blob: Option<Blob<'_>>, name: &[u8]) -> &'static [u8] {
    if blob.is_some() && name.contains(&b' ') && !name.starts_with(b"\"") { b"\t" } else { b"" }
}
