//! `pyro workspace export`.

use super::super::context::Context;
use super::Addressed;
use super::live::on;
use super::seed::note_skipped;
use crate::error::UserError;
use crate::exit::Exit;
use crate::explain::{export_error, place};
use pyro_workspace::live::{Exported, Format, export};
use serde::Serialize;
use std::ffi::OsString;
use std::path::PathBuf;

/// Arguments of `pyro workspace export`.
#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    #[command(flatten)]
    workspace: Addressed,
    /// A file, directory or link under /workspace, or relative to it
    #[arg(value_name = "PATH")]
    path: OsString,
    /// Where to put it; must not exist yet
    #[arg(long, value_name = "HOST_PATH")]
    output: PathBuf,
    /// Files as they are, a tar of them, or what has changed in them as a patch
    #[arg(long, value_enum, default_value = "files")]
    format: Form,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Form {
    Files,
    Tar,
    Patch,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    path: String,
    output: String,
    format: Format,
    #[serde(flatten)]
    exported: &'a Exported,
}

/// Exports files to this host.
pub fn run(context: &Context, args: &ExportArgs) -> Result<Exit, UserError> {
    let place = place(&args.path)?;
    let format = match args.format {
        Form::Files => Format::Files,
        Form::Tar => Format::Tar,
        Form::Patch => Format::Patch,
    };
    let done = on(context, &args.workspace, |live| {
        export(live, &place, &args.output, format).map_err(|error| export_error(live, &error))
    })?;
    let (exported, output) = (&done.result, args.output.display().to_string());
    let Exported { entries, bytes, .. } = exported;
    let facts = format!("path={place} output={output} entries={entries} bytes={bytes}");
    let report = done.report(Report { path: place.to_string(), output, format, exported });
    context.out.result(&report, String::new)?;
    if !context.out.is_json() {
        note_skipped(context.out, &exported.skipped, exported.skipped_count);
        if exported.has_repository {
            context.out.note("note: hooks and configuration in its .git are the workspace's: look at them before you use git there");
        }
    }
    done.sum_up(context, "export", facts);
    Ok(Exit::Done)
}
