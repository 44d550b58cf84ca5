//! `pyro workspace sync`.

use super::super::context::Context;
use super::Addressed;
use super::live::on;
use super::seed::note_skipped;
use crate::error::UserError;
use crate::exit::Exit;
use crate::explain::{place, push_error, seed_error};
use pyro_workspace::live::push;
use pyro_workspace::{Seed, SeedFacts, Skipped};
use serde::Serialize;
use std::ffi::OsString;
use std::path::PathBuf;

/// Arguments of `pyro workspace sync`.
#[derive(Debug, clap::Args)]
pub struct SyncArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Copy a checkout, a directory or a tar into a running workspace: all of it, or nothing
    Push(PushArgs),
}

/// Arguments of `pyro workspace sync push`.
#[derive(Debug, clap::Args)]
struct PushArgs {
    #[command(flatten)]
    workspace: Addressed,
    /// A directory of this host, or a .tar, .tar.gz, .tgz or .tar.zst file; chosen as a seed is
    #[arg(value_name = "SOURCE")]
    source: PathBuf,
    /// The directory to put it into; made if it is missing
    #[arg(long, value_name = "/workspace/…", default_value = pyro_workspace::live::WORKSPACE)]
    dest: OsString,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    dest: String,
    pushed: &'a SeedFacts,
    skipped: &'a [Skipped],
}

/// Runs `pyro workspace sync`.
pub fn run(context: &Context, args: SyncArgs) -> Result<Exit, UserError> {
    let Verb::Push(args) = args.verb;
    let dest = place(&args.dest)?;
    let done = on(context, &args.workspace, |live| {
        let seed = Seed::of(&args.source).map_err(|error| seed_error(&error))?;
        push(live, &seed, &dest).map_err(|error| push_error(live, &error))
    })?;
    let (pushed, skipped) = (&done.result.facts, &done.result.skipped[..]);
    let report = done.report(Report { dest: dest.to_string(), pushed, skipped });
    context.out.result(&report, String::new)?;
    if !context.out.is_json() {
        note_skipped(context.out, skipped, skipped.len() as u64);
    }
    let SeedFacts { entries, bytes, .. } = pushed;
    done.sum_up(context, "sync push", format_args!("dest={dest} entries={entries} bytes={bytes}"));
    Ok(Exit::Done)
}
