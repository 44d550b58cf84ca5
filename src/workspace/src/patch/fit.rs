//! Where the hunks of a patch fit into a text.
//!
//! Every line of a hunk must be there as the patch has it; only the place may differ. A hunk is
//! looked for at its stated line, moved by what the hunks before it moved, then outwards.

use super::hunk::{Hunk, LineKind};
use super::misfit::{Nearest, Reason};

/// Work on one patch: compared bytes, and a few for each comparison. About a second; no patch that
/// means well comes near.
pub(super) const WORK_MAX: u64 = 1 << 30;

/// Lines of a hunk that are compared to find the place that is most like it.
const LIKE_LINES: usize = 64;

/// The lines of a text. Four bytes for each, since a guest chooses how many there are.
pub(super) struct Text<'a> {
    bytes: &'a [u8],
    starts: Vec<u32>,
}

impl<'a> Text<'a> {
    /// `None` if it is too long for a text.
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len() as u64 > super::TEXT_MAX {
            return None;
        }
        let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at as u32 + 1);
        let mut starts: Vec<u32> = std::iter::once(0).chain(ends).collect();
        if starts.last().is_none_or(|last| (*last as usize) < bytes.len()) {
            starts.push(bytes.len() as u32);
        }
        Some(Self { bytes, starts })
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// A line with its line feed.
    pub(super) fn line(&self, at: usize) -> &'a [u8] {
        self.slice(at, at + 1)
    }

    fn slice(&self, from: usize, to: usize) -> &'a [u8] {
        &self.bytes[self.starts[from] as usize..self.starts[to] as usize]
    }
}

/// A line of a hunk's old or new side.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted<'a> {
    text: &'a [u8],
    ends: bool,
}

impl Wanted<'_> {
    fn is(&self, line: &[u8]) -> bool {
        if self.ends { line.strip_suffix(b"\n") == Some(self.text) } else { line == self.text }
    }
}

fn side<'a>(hunk: &Hunk<'a>, without: LineKind) -> Vec<Wanted<'a>> {
    let lines = hunk.lines().filter(|line| line.kind != without);
    lines.map(|line| Wanted { text: line.text, ends: line.ends }).collect()
}

/// Applies hunks to a text.
pub(super) fn apply(text: &[u8], hunks: &[Hunk<'_>], work: &mut u64) -> Result<Vec<u8>, Reason> {
    let old = Text::new(text).ok_or(Reason::Long)?;
    let mut new = Vec::with_capacity(text.len());
    let (mut done, mut shift) = (0, 0_isize);
    for (number, hunk) in (1..).zip(hunks) {
        let wanted = side(hunk, LineKind::Added);
        let stated = if wanted.is_empty() { hunk.old_start } else { hunk.old_start.saturating_sub(1) };
        let expected = stated.saturating_add_signed(shift);
        let place = if wanted.is_empty() {
            // Nothing says whether this is the place; only an empty file can be no other.
            (old.len() == 0).then_some(0)
        } else {
            find(&old, done, expected, &wanted, work).ok_or(Reason::Costly)?
        };
        let Some(place) = place else {
            return Err(unfit(&old, done, expected, number, hunk, &wanted, work));
        };
        shift = place as isize - stated as isize;
        new.extend_from_slice(old.slice(done, place));
        for line in hunk.lines().filter(|line| line.kind != LineKind::Removed) {
            new.extend_from_slice(line.text);
            new.extend(line.ends.then_some(b'\n'));
        }
        done = place + wanted.len();
    }
    let rest = old.slice(done, old.len());
    // A text that ended without a line feed cannot go on after one that now does too.
    if !rest.is_empty() && !new.is_empty() && !new.ends_with(b"\n") {
        return Err(Reason::NewlineInside);
    }
    new.extend_from_slice(rest);
    Ok(new)
}

/// The place nearest to `expected`, not before `from`; `None` when it would take too long.
fn find(
    text: &Text<'_>,
    from: usize,
    expected: usize,
    wanted: &[Wanted<'_>],
    work: &mut u64,
) -> Option<Option<usize>> {
    let Some(last) = text.len().checked_sub(wanted.len()).filter(|last| *last >= from) else {
        return Some(None);
    };
    for place in outwards(from, last, expected) {
        let mut fits = true;
        for (at, line) in wanted.iter().enumerate() {
            *work = work.checked_sub(8 + line.text.len() as u64)?;
            if !line.is(text.line(place + at)) {
                fits = false;
                break;
            }
        }
        if fits {
            return Some(Some(place));
        }
    }
    Some(None)
}

/// All from `from` to `last`, those near `expected` first.
fn outwards(from: usize, last: usize, expected: usize) -> impl Iterator<Item = usize> {
    let middle = expected.clamp(from, last);
    let both = move |step| [Some(middle + step), middle.checked_sub(step).filter(|_| step > 0)];
    let steps = 0..=(middle - from).max(last - middle);
    steps.flat_map(both).flatten().filter(move |place| (from..=last).contains(place))
}

/// Says why a hunk does not fit: what is there instead, in the place that is most like it.
fn unfit(
    text: &Text<'_>,
    from: usize,
    expected: usize,
    number: usize,
    hunk: &Hunk<'_>,
    wanted: &[Wanted<'_>],
    work: &mut u64,
) -> Reason {
    let show = |line: &[u8]| String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line)).into_owned();
    let result = side(hunk, LineKind::Removed);
    let changes = hunk.lines().any(|line| line.kind != LineKind::Context);
    let applied =
        changes && !result.is_empty() && matches!(find(text, 0, expected, &result, work), Some(Some(_)));
    let mut best: Option<(usize, usize)> = None;
    let compared = &wanted[..wanted.len().min(LIKE_LINES)];
    let places = text.len().checked_sub(1).filter(|last| *last >= from);
    'places: for place in places.into_iter().flat_map(|last| outwards(from, last, expected)) {
        let mut alike = 0;
        for (at, line) in compared.iter().enumerate().take(text.len() - place) {
            let Some(left) = work.checked_sub(16 + line.text.len() as u64) else { break 'places };
            *work = left;
            let there = text.line(place + at);
            // An equal line says more than one that differs in spaces, and an empty one says nothing.
            alike += match line.text.trim_ascii() {
                b"" => 0,
                _ if line.is(there) => 3,
                trimmed if trimmed == there.trim_ascii() => 2,
                _ => 0,
            };
        }
        if alike > best.map_or(0, |(most, _)| most) {
            best = Some((alike, place));
        }
    }
    let nearest = best.map(|(_, place)| {
        let here = |at: usize| (place + at < text.len()).then(|| text.line(place + at));
        let pairs = || wanted.iter().enumerate().map(|(at, line)| (at, line, here(at)));
        let differs = |line: &Wanted<'_>, there: Option<&[u8]>| !there.is_some_and(|there| line.is(there));
        let first = pairs().find(|(_, line, there)| differs(line, *there));
        let strip = |text: &[u8]| text.trim_ascii_end().to_vec();
        Nearest {
            line: place + 1,
            matching: pairs().filter(|(_, line, there)| !differs(line, *there)).count(),
            differs_at: first.map_or(place + 1, |(at, ..)| place + at + 1),
            expected: first.map_or_else(String::new, |(_, line, _)| show(line.text)),
            found: first.and_then(|(_, _, there)| there).map(show),
            only_spaces: pairs().all(|(_, line, there)| {
                there.is_some_and(|there| line.text.trim_ascii() == there.trim_ascii())
            }),
            only_line_ends: pairs()
                .all(|(_, line, there)| there.is_some_and(|there| strip(line.text) == strip(there))),
        }
    });
    Reason::Hunk {
        number,
        patch_line: hunk.line,
        stated_line: hunk.old_start,
        lines: wanted.len(),
        nearest,
        seems_applied: applied,
    }
}
