//! `pyro workspace disk`: the files of a stopped workspace.

use super::super::context::Context;
use super::super::error::CliError;
use super::super::exit::Exit;
use super::super::output::bytes;
use super::super::run::until_signal;
use super::super::start::explain;
use super::super::streams::Kept;
use super::entry::EntryView;
use super::{Addressed, lifecycle_error};
use pyro_workspace::agent::AgentError;
use pyro_workspace::disk::{Disk, ExportFormat, Exported, LookError, RootPath, export_image};
use pyro_workspace::{Cancel, Directory, EntryKind, FailureKind, LifecycleError, NotStarted, State, Until};
use serde_json::json;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

/// What of a file is read unless more is asked for, and the most that can be.
const READ: u64 = 64 << 10;
const READ_MAX: u64 = 1 << 20;

/// Arguments of `pyro workspace disk`.
#[derive(Debug, clap::Args)]
pub struct DiskArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List a directory of a stopped workspace
    List(ListArgs),
    /// Show a file of a stopped workspace
    Read(ReadArgs),
    /// Write the disk of a stopped workspace, or its whole file tree, to a file
    Export(ExportArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    workspace: Addressed,
    /// An absolute path
    #[arg(default_value = "/", value_parser = root_path())]
    path: RootPath,
    /// Everything below it
    #[arg(long)]
    recursive: bool,
}

#[derive(Debug, clap::Args)]
struct ReadArgs {
    #[command(flatten)]
    workspace: Addressed,
    /// An absolute path
    #[arg(value_parser = root_path())]
    path: RootPath,
    /// Show no more than its first N bytes
    #[arg(long, value_name = "N", default_value_t = READ, value_parser = clap::value_parser!(u64).range(1..=READ_MAX))]
    max_bytes: u64,
    /// Print the content and nothing else
    #[arg(long, conflicts_with = "json")]
    content_only: bool,
}

#[derive(Debug, clap::Args)]
struct ExportArgs {
    #[command(flatten)]
    workspace: Addressed,
    /// The file to make; nothing may be there yet
    #[arg(long, value_name = "F")]
    output: PathBuf,
    /// The writable disk alone as ext4, or all files as a tar or an OCI image
    #[arg(long, value_name = "FORMAT", default_value = "ext4", value_parser = format)]
    format: ExportFormat,
}

/// Runs `pyro workspace disk`.
pub fn run(context: &Context, args: &DiskArgs) -> Result<Exit, CliError> {
    let cancel = Cancel::new()?;
    let armed = until_signal(context, &cancel);
    let until = Until { deadline: None, cancel: &cancel };
    let done = match &args.verb {
        Verb::List(args) => list(context, args, until),
        Verb::Read(args) => read(context, args, until),
        Verb::Export(args) => write(context, args, until),
    };
    drop(armed);
    done.map(|()| Exit::Done).map_err(|error| context.interrupted(error))
}

fn list(context: &Context, args: &ListArgs, until: Until<'_>) -> Result<(), CliError> {
    let (out, home) = (context.out, context.home()?);
    let directory = args.workspace.find(&home)?;
    let disk = Disk::open(&home, &directory, until).map_err(|error| explained(&error, &directory))?;
    let mut entries = Vec::new();
    let listed = disk.list(&args.path, args.recursive, until, |entry| {
        let view = EntryView::of(&entry);
        if out.is_json() {
            entries.push(view);
            Ok(())
        } else {
            out.content(view.line().as_bytes())
        }
    });
    listed.map_err(|error| explained(&error, &directory))?;
    if out.is_json() {
        out.json(&json!({
            "workspace_id": disk.record().id.as_str(),
            "execution_mode": disk.record().execution_mode.as_str(),
            "path": args.path.to_string(),
            "entries": entries,
        }))?;
    }
    Ok(())
}

fn read(context: &Context, args: &ReadArgs, until: Until<'_>) -> Result<(), CliError> {
    let (out, home) = (context.out, context.home()?);
    let directory = args.workspace.find(&home)?;
    let disk = Disk::open(&home, &directory, until).map_err(|error| explained(&error, &directory))?;
    let read = disk.read(&args.path, args.max_bytes, until);
    let (entry, content) = read.map_err(|error| explained(&error, &directory))?;
    let EntryKind::File { size } = entry.kind else { unreachable!("only files are read") };
    let (id, mode) = (&disk.record().id, disk.record().execution_mode.as_str());
    if out.is_json() {
        let mut kept = Kept::new();
        kept.push(&content);
        out.json(&json!({
            "workspace_id": id.as_str(),
            "execution_mode": mode,
            "path": args.path.to_string(),
            "size": size,
            "truncated": size > content.len() as u64,
            "content": kept.finish(),
        }))?;
        return Ok(());
    }
    out.content(&content)?;
    if !args.content_only {
        let shown = content.len();
        out.note(format_args!("[workspace disk read] id={id} execution_mode={mode} size={size} shown={shown}"));
    }
    Ok(())
}

fn write(context: &Context, args: &ExportArgs, until: Until<'_>) -> Result<(), CliError> {
    let clock = Instant::now();
    let (out, home) = (context.out, context.home()?);
    let directory = args.workspace.find(&home)?;
    let exported = match args.format {
        ExportFormat::Ext4 => export_image(&directory, &args.output, until),
    };
    let Exported { bytes: length, skipped } = exported.map_err(|error| explained(&error, &directory))?;
    let format = args.format.as_str();
    if out.is_json() {
        out.json(&json!({
            "workspace_id": directory.id().as_str(),
            "format": format,
            "output": args.output,
            "bytes": length,
            "skipped": skipped,
            "trusted": args.format != ExportFormat::Ext4,
        }))?;
        return Ok(());
    }
    for path in &skipped {
        out.note(format_args!("note: left out, no layer can hold it: {path}"));
    }
    if args.format == ExportFormat::Ext4 {
        out.note(
            "note: this file system is as the guest wrote it: mount it only where you would run the guest's code",
        );
    }
    let ms = clock.elapsed().as_millis();
    let id = directory.id();
    out.note(format_args!(
        "[workspace disk export] id={id} format={format} size={} duration_ms={ms}",
        bytes(length).replace(' ', "")
    ));
    Ok(())
}

fn explained(error: &LookError, directory: &Directory) -> CliError {
    match error {
        LookError::Lifecycle(LifecycleError::State { id, state: State::Started { .. } }) => {
            CliError::new("wrong_state", format_args!("{error}, and its disk is in use"))
                .hint(format!("pyro workspace stop {id}"))
        }
        LookError::Lifecycle(error) => lifecycle_error(error),
        LookError::Start(error) => explain(&NotStarted::from(error), true),
        LookError::Agent(AgentError::Failed(failure)) if failure.kind == FailureKind::NotFound => {
            CliError::new("no_such_file", error).hint(format!("pyro workspace disk list {} / --recursive", directory.id()))
        }
        LookError::Agent(AgentError::Failed(_)) => CliError::new("file", error),
        LookError::Exists(_) => CliError::new("exists", error).hint("choose another --output"),
        LookError::NoImage(id) => CliError::new("unsupported", error)
            .hint(format!("pyro workspace disk export {id} --format tar --output FILE")),
        LookError::File { .. } => CliError::new("file", error),
        LookError::Output(source) if source.kind() == std::io::ErrorKind::BrokenPipe => {
            CliError::new("output_closed", "the output was closed").exit(Exit::Done)
        }
        _ => CliError::new("disk", error).hint("pyro doctor"),
    }
}

fn root_path() -> impl clap::builder::TypedValueParser<Value = RootPath> {
    use clap::builder::{OsStringValueParser, TypedValueParser};
    OsStringValueParser::new().try_map(|text: OsString| {
        RootPath::new(text.as_bytes()).map_err(|error| format!("expected an absolute path: {error}"))
    })
}

fn format(text: &str) -> Result<ExportFormat, String> {
    ExportFormat::ALL.into_iter().find(|it| it.as_str() == text).ok_or_else(|| "expected ext4, oci or tar".into())
}
