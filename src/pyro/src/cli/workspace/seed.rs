//! Where files come from: `create --seed-path` and `sync push`.

use super::super::output::Output;
use pyro_workspace::Skipped;

/// How many skipped files are named, one a line; the rest is counted.
const NAMED: usize = 5;

/// Says what was not taken.
pub fn note_skipped(out: Output, skipped: &[Skipped], count: u64) {
    for Skipped { path, why } in skipped.iter().take(NAMED) {
        out.note(format_args!("note: skipped {path}: {why}"));
    }
    if let more @ 1.. = count.saturating_sub(NAMED as u64) {
        out.note(format_args!("note: and {more} more; --json names them"));
    }
}
