//! Where files come from: `create --seed-path` and `sync push`.

use super::super::error::CliError;
use super::super::output::Output;
use pyro_oci::Image;
use pyro_workspace::{Home, Owner, Seed, SeedError, Seeded, Skipped};
use std::path::Path;

/// How many skipped files are named, one a line; the rest is counted.
const NAMED: usize = 5;

/// The layer of what is at `path`. The caller holds the store.
///
/// # Errors
/// With the next step.
pub fn seed(home: &Home, image: &Image, path: &Path) -> Result<Seeded, CliError> {
    let seeded = Owner::of(home, image).and_then(|owner| Seed::of(path)?.layer(home, owner));
    seeded.map_err(|error| seed_error(&error))
}

/// Why there are no files, with the next step.
pub fn seed_error(error: &SeedError) -> CliError {
    let hint = match error {
        SeedError::Source { .. } => "name a directory, or a .tar, .tar.gz, .tgz or .tar.zst file",
        SeedError::Git(_) => "git status, in that directory, shows what git has against it",
        SeedError::Archive { .. } => "unpack it and name the directory",
        SeedError::Changing(_) => "try again when nobody writes there",
        _ => "pyro doctor",
    };
    CliError::new("seed", error).hint(hint)
}

/// Says what was not taken.
pub fn note_skipped(out: Output, skipped: &[Skipped]) {
    for Skipped { path, why } in skipped.iter().take(NAMED) {
        out.note(format_args!("note: skipped {path}: {why}"));
    }
    if skipped.len() > NAMED {
        out.note(format_args!("note: and {} more; --json names them all", skipped.len() - NAMED));
    }
}
