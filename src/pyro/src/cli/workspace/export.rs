//! `pyro workspace export`.

use super::super::context::Context;
use super::super::error::CliError;
use super::super::exit::Exit;
use super::Addressed;
use super::live::{access_error, changes_error, on, place};
use super::seed::note_skipped;
use pyro_workspace::live::{ExportError, Exported, Format, Live, export};
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
pub fn run(context: &Context, args: &ExportArgs) -> Result<Exit, CliError> {
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

fn export_error(live: &Live<'_>, error: &ExportError) -> CliError {
    match error {
        ExportError::Access(error) => access_error(live, error),
        ExportError::Changes(error) => changes_error(live, error),
        ExportError::Exists(_) | ExportError::Nameless(_) => {
            CliError::new("output", error).hint("name a new path with --output")
        }
        ExportError::Host { .. } => {
            CliError::new("output", error).hint("see that its directory is there, yours, and has room")
        }
        ExportError::Unfit { .. } => CliError::new("not_exportable", error)
            .hint(format!("pyro workspace file list {}", live.directory().id())),
        ExportError::Changing(_) => {
            CliError::new("changing", error).hint("try again, or take --format files")
        }
    }
}
