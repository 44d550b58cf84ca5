//! `pyro workspace diff`.

use super::super::context::Context;
use super::Addressed;
use super::live::on;
use crate::error::UserError;
use crate::exit::Exit;
use crate::explain::changes_error;
use pyro_workspace::Name;
use pyro_workspace::diff::{Change, Diff};
use pyro_workspace::live::diff;
use pyro_workspace::patch::display_path;
use pyro_workspace::snapshot::BASELINE;
use serde::Serialize;
use std::io::{self, Seek, Write};
use tempfile::SpooledTempFile;

/// A patch of up to this many bytes stays in memory until it is whole.
const IN_MEMORY: usize = 8 << 20;

/// Arguments of `pyro workspace diff`.
#[derive(Debug, clap::Args)]
pub struct DiffArgs {
    #[command(flatten)]
    workspace: Addressed,
    /// Print how many lines changed in each file, and not the patch
    #[arg(long)]
    stat: bool,
    /// Compare with this snapshot [default: image and seed]
    #[arg(long, value_name = "N")]
    snapshot: Option<Name>,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    base: &'a str,
    changes: &'a [Change],
    statistics: Statistics,
}

/// How much has changed.
#[derive(Serialize)]
pub struct Statistics {
    files: usize,
    insertions: u64,
    deletions: u64,
}

impl Statistics {
    /// Of what has changed.
    pub fn of(diff: &Diff) -> Self {
        let lines = diff.lines();
        Self { files: diff.file_count(), insertions: lines.added, deletions: lines.removed }
    }
}

impl std::fmt::Display for Statistics {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { files, insertions, deletions } = self;
        write!(out, "files={files} insertions={insertions} deletions={deletions}")
    }
}

/// Shows what a workspace has changed.
pub fn run(context: &Context, args: &DiffArgs) -> Result<Exit, UserError> {
    let out = context.out;
    let patch = !args.stat && !out.is_json();
    // Whoever pipes it into a program wants all of it or none.
    let mut text = SpooledTempFile::new(IN_MEMORY);
    let done = on(context, &args.workspace, |live| {
        let sink = patch.then_some(&mut text as &mut dyn Write);
        diff(live, args.snapshot.as_ref(), b"", sink).map_err(|error| changes_error(live, &error))
    })?;
    let (diff, statistics) = (&done.result, Statistics::of(&done.result));
    if out.is_json() {
        let base = args.snapshot.as_ref().map_or(BASELINE, Name::as_str);
        out.json(&done.report(Report { base, changes: &diff.changes, statistics }))?;
        return Ok(Exit::Done);
    }
    if patch {
        text.rewind()?;
        io::copy(&mut text, &mut out.stdout())?;
    } else {
        let mut table = Vec::new();
        diff.write_stat(&mut table)?;
        out.content(&table)?;
    }
    for change in diff.left_out() {
        let path = display_path(&change.path);
        out.note(format_args!("note: {path} is too large for a patch; pyro workspace export has it"));
    }
    done.sum_up(context, "diff", statistics);
    Ok(Exit::Done)
}
