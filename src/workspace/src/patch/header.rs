//! The lines before the hunks: names and modes.

use super::Mode;
use super::name::{check, display, unquote};
use super::parse::{Cursor, ParseError, ParseProblem};

/// What the lines before the hunks of a file say.
pub(super) struct Header {
    pub(super) names: Names,
    pub(super) old_mode: Option<Mode>,
    pub(super) new_mode: Option<Mode>,
    /// Full names of the old and the new content, if there are any.
    pub(super) ids: Option<([u8; 20], [u8; 20])>,
    /// Whether they announce changes of lines.
    pub(super) wants_hunks: bool,
}

/// The names of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) old: Option<Vec<u8>>,
    pub(super) new: Option<Vec<u8>>,
    pub(super) keeps_old: bool,
}

/// Beginnings of the old and the new name that stand for the two trees, and are none of the name:
/// those of git, also those of `diff.mnemonicPrefix`.
const PREFIXES: [(&[u8], &[u8]); 6] =
    [(b"i/", b"w/"), (b"c/", b"i/"), (b"c/", b"w/"), (b"o/", b"w/"), (b"1/", b"2/"), (b"old/", b"new/")];

/// Reads the header of a git patch: `diff --git` and what belongs to it.
pub(super) fn git(cursor: &mut Cursor<'_>) -> Result<Header, ParseError> {
    let start = cursor.clone();
    let first = cursor.next().unwrap_or_default();
    let mut names = both(&bare(first)["diff --git ".len()..]);
    let (mut old_mode, mut new_mode, mut ids) = (None, None, None);
    let (mut created, mut deleted) = (false, false);
    let (mut from, mut to, mut keeps_old) = (None, None, false);
    while let Some(line) = cursor.peek() {
        let line = bare(line);
        let after = |prefix: &str| line.strip_prefix(prefix.as_bytes());
        let mode = |text| Mode::parse(text).map(Some).map_err(|problem| cursor.error(problem));
        if let Some(text) = after("old mode ") {
            old_mode = mode(text)?;
        } else if let Some(text) = after("new mode ") {
            new_mode = mode(text)?;
        } else if let Some(text) = after("deleted file mode ") {
            (deleted, old_mode) = (true, mode(text)?);
        } else if let Some(text) = after("new file mode ") {
            (created, new_mode) = (true, mode(text)?);
        } else if let Some(text) = after("rename from ") {
            from = Some(whole(text));
        } else if let Some(text) = after("rename to ") {
            to = Some(whole(text));
        } else if let Some(text) = after("copy from ") {
            (from, keeps_old) = (Some(whole(text)), true);
        } else if let Some(text) = after("copy to ") {
            to = Some(whole(text));
        } else if let Some(text) = after("index ") {
            ids = object_ids(text);
            if let Some((_, text)) = text.iter().position(|byte| *byte == b' ').map(|at| text.split_at(at)) {
                old_mode = mode(text)?;
            }
        } else if after("similarity index ").is_none() && after("dissimilarity index ").is_none() {
            break;
        }
        cursor.next();
    }
    let wants_hunks = cursor.is_plain_header();
    if wants_hunks {
        let (old, new) = marked(cursor);
        created |= old.is_none();
        deleted |= new.is_none();
        // The first line has both names even if one of the files is not there.
        names = names.or(Some((old, new)));
    }
    if let (Some(from), Some(to)) = (from, to) {
        names = Some((Some(from), Some(to)));
    } else if let (Some((Some(old), Some(new))), false, false) = (&names, created, deleted)
        && old != new
    {
        // Without saying that it is a rename, a git patch means one file.
        return Err(start.error(ParseProblem::Name));
    }
    let (old, new) = names.ok_or_else(|| start.error(ParseProblem::Name))?;
    let names = Names { old: old.filter(|_| !created), new: new.filter(|_| !deleted), keeps_old };
    let names = checked(names, &start)?;
    Ok(Header { names, old_mode, new_mode, ids, wants_hunks })
}

/// Reads the header of a plain patch: `---` and `+++`.
pub(super) fn plain(cursor: &mut Cursor<'_>) -> Result<Header, ParseError> {
    let start = cursor.clone();
    let (mut old, mut new) = marked(cursor);
    if let (Some(before), Some(after)) = (&old, &new)
        && before != after
    {
        // A plain patch changes one file: `x.orig` and `x` are both `x`, and so are `old-tree/x` and `new-tree/x`.
        let name = match (below_top(before), below_top(after)) {
            (Some(one), Some(other)) if one == other => one.to_vec(),
            _ if after.starts_with(before) => before.clone(),
            _ => after.clone(),
        };
        (old, new) = (Some(name.clone()), Some(name));
    }
    let names = checked(Names { old, new, keeps_old: false }, &start)?;
    Ok(Header { names, old_mode: None, new_mode: None, ids: None, wants_hunks: true })
}

/// A path without its first component.
fn below_top(path: &[u8]) -> Option<&[u8]> {
    path.iter().position(|byte| *byte == b'/').map(|slash| &path[slash + 1..])
}

fn checked(names: Names, at: &Cursor<'_>) -> Result<Names, ParseError> {
    if names.old.is_none() && names.new.is_none() {
        return Err(at.error(ParseProblem::Name));
    }
    for path in [&names.old, &names.new].into_iter().flatten() {
        check(path).map_err(|problem| at.error(ParseProblem::Path { path: display(path), problem }))?;
    }
    Ok(names)
}

/// Without the carriage return of a patch that was mailed or saved with CRLF.
fn bare(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

type Pair = (Option<Vec<u8>>, Option<Vec<u8>>);

/// The names of the `---` and `+++` lines, without what stands for the two trees; none for a file that
/// is not there.
fn marked(cursor: &mut Cursor<'_>) -> Pair {
    let mut name = || marked_name(cursor.next().unwrap_or_default().get(4..).unwrap_or_default());
    let ((old, no_old), (new, no_new)) = (name(), name());
    let (old, new) = strip(old, new);
    (old.filter(|_| !no_old), new.filter(|_| !no_new))
}

/// A name if there is one, and whether the file is not there.
fn marked_name(text: &[u8]) -> (Option<Vec<u8>>, bool) {
    let text = bare(text);
    let (name, stamp) = match unquote(text) {
        Some((name, rest)) => (name, rest),
        None => {
            let end = text.iter().position(|byte| *byte == b'\t').unwrap_or(text.len());
            (text[..end].to_vec(), &text[end..])
        }
    };
    if name == b"/dev/null" {
        return (None, true);
    }
    // GNU diff dates a file that is not there to the beginning of time, in the local zone.
    let stamp = stamp.trim_ascii_start();
    (Some(name), stamp.starts_with(b"1970-01-01 ") || stamp.starts_with(b"1969-12-31 "))
}

/// Takes the beginnings away that stand for the two trees.
fn strip(old: Option<Vec<u8>>, new: Option<Vec<u8>>) -> Pair {
    fn cut(name: Option<&Vec<u8>>, prefix: &[u8]) -> Option<Option<Vec<u8>>> {
        name.map_or(Some(None), |name| name.strip_prefix(prefix).map(|rest| Some(rest.to_vec())))
    }
    let mut pairs = PREFIXES.iter().filter_map(|(a, b)| Some((cut(old.as_ref(), a)?, cut(new.as_ref(), b)?)));
    // The usual ones may stand before different names; the rest could be directories of these names.
    match cut(old.as_ref(), b"a/").zip(cut(new.as_ref(), b"b/")).or_else(|| pairs.find(|(a, b)| a == b)) {
        Some(pair) => pair,
        None => (old, new),
    }
}

/// The two names of a `diff --git` line. Without quotes nothing but their being alike tells where the
/// first one ends.
fn both(text: &[u8]) -> Option<Pair> {
    let (old, new) = if let Some((old, rest)) = unquote(text) {
        (old, whole(rest.strip_prefix(b" ")?))
    } else if text.ends_with(b"\"") {
        let at = text.windows(2).position(|it| it == b" \"")?;
        (text[..at].to_vec(), unquote(&text[at + 1..])?.0)
    } else {
        let middle = text.len() / 2;
        if text.get(middle) != Some(&b' ') {
            return None;
        }
        (text[..middle].to_vec(), text[middle + 1..].to_vec())
    };
    let (old, new) = strip(Some(old), Some(new));
    (old == new).then_some((old, new))
}

fn whole(text: &[u8]) -> Vec<u8> {
    unquote(text).map_or_else(|| text.to_vec(), |(name, _)| name)
}

/// The names of an `index` line, if they are whole.
fn object_ids(text: &[u8]) -> Option<([u8; 20], [u8; 20])> {
    let text = text.split(|byte| *byte == b' ').next()?;
    let (old, new) = (text.get(..40)?, text.get(40..)?.strip_prefix(b"..")?);
    let id = |text: &[u8]| <[u8; 20]>::try_from(hex::decode(text).ok()?).ok();
    Some((id(old)?, id(new)?))
}
