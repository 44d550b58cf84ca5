//! `pyro workspace disk`: the files of a stopped workspace.

use super::super::context::Context;
use super::Addressed;
use super::file::{READ_DEFAULT, line, note_cut, value};
use super::live::Report;
use crate::error::UserError;
use crate::exit::Exit;
use crate::explain::{disk_error, disk_export_error, disk_open_error, workspace_error};
use crate::files::{LISTED_MAX, READ_MAX};
use pyro_workspace::disk::{Disk, ExportFormat, RootPath, export};
use pyro_workspace::{Depth, Until};
use serde_json::json;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

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
    #[arg(long, value_name = "N", default_value_t = READ_DEFAULT, value_parser = clap::value_parser!(u64).range(1..=READ_MAX))]
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
pub fn run(context: &Context, args: &DiskArgs) -> Result<Exit, UserError> {
    let began = Instant::now();
    context.interruptible(|until| match &args.verb {
        Verb::List(args) => {
            look(context, &args.workspace, until, |disk| list(context, args, disk, began, until))
        }
        Verb::Read(args) => {
            look(context, &args.workspace, until, |disk| read(context, args, disk, began, until))
        }
        Verb::Export(args) => write(context, args, until),
    })?;
    Ok(Exit::Done)
}

/// Opens the disk of a workspace for as long as `work` takes.
fn look(
    context: &Context,
    workspace: &Addressed,
    until: Until<'_>,
    work: impl FnOnce(&Disk) -> Result<(), UserError>,
) -> Result<(), UserError> {
    let home = context.home()?;
    let directory = workspace.find(&home)?;
    let disk = Disk::open(&home, &directory, until).map_err(|error| disk_open_error(&error))?;
    work(&disk)
}

fn list(
    context: &Context,
    args: &ListArgs,
    disk: &Disk,
    began: Instant,
    until: Until<'_>,
) -> Result<(), UserError> {
    let depth = if args.recursive { Depth::All } else { Depth::Children };
    let listing =
        disk.list(&args.path, depth, LISTED_MAX, until).map_err(|error| disk_error(disk, &error))?;
    context.out.result(&report(disk, &listing), || listing.entries.iter().map(line).collect())?;
    if listing.truncated && !context.out.is_json() {
        context.out.note(format_args!("note: there are more than {LISTED_MAX}; name a directory below"));
    }
    sum_up(
        context,
        disk,
        began,
        "list",
        format_args!("path={} entries={}", args.path, listing.entries.len()),
    );
    Ok(())
}

fn read(
    context: &Context,
    args: &ReadArgs,
    disk: &Disk,
    began: Instant,
    until: Until<'_>,
) -> Result<(), UserError> {
    let content = disk.read(&args.path, args.max_bytes, until).map_err(|error| disk_error(disk, &error))?;
    if context.out.is_json() {
        return Ok(context.out.json(&report(disk, value(&args.path, &content)))?);
    }
    context.out.content(&content.bytes)?;
    note_cut(context, &content);
    if !args.content_only {
        let (bytes, size) = (content.bytes.len(), content.size);
        sum_up(context, disk, began, "read", format_args!("path={} bytes={bytes} size={size}", args.path));
    }
    Ok(())
}

fn report<T>(disk: &Disk, result: T) -> Report<T> {
    let record = disk.record();
    let execution_mode = record.execution_mode.as_str();
    Report { workspace_id: record.id.to_string(), execution_mode, result }
}

fn sum_up(context: &Context, disk: &Disk, began: Instant, verb: &str, facts: std::fmt::Arguments<'_>) {
    if !context.out.is_json() {
        let (id, mode) = (&disk.record().id, disk.record().execution_mode.as_str());
        let ms = began.elapsed().as_millis();
        context.out.note(format_args!(
            "[workspace disk {verb}] id={id} {facts} execution_mode={mode} duration_ms={ms}"
        ));
    }
}

fn write(context: &Context, args: &ExportArgs, until: Until<'_>) -> Result<(), UserError> {
    let clock = Instant::now();
    let (out, home) = (context.out, context.home()?);
    let directory = args.workspace.find(&home)?;
    let exported = export(&home, &directory, args.format, &args.output, until)
        .map_err(|error| disk_export_error(&error))?;
    let (id, format) = (directory.id(), args.format.as_str());
    if out.is_json() {
        let record = directory.record().map_err(|error| workspace_error(&error))?;
        out.json(&json!({
            "workspace_id": id.as_str(),
            "execution_mode": record.execution_mode.as_str(),
            "format": format,
            "output": args.output.to_string_lossy(),
            "bytes": exported.bytes,
            "skipped": exported.skipped,
            "trusted": exported.trusted,
        }))?;
        return Ok(());
    }
    for path in &exported.skipped {
        out.note(format_args!("note: left out, since no layer can hold it: {path}"));
    }
    if !exported.trusted {
        out.note(
            "note: this file system is as the guest wrote it; mount it only where you would run the guest's code",
        );
    }
    let (bytes, ms) = (exported.bytes, clock.elapsed().as_millis());
    out.note(format_args!("[workspace disk export] id={id} format={format} bytes={bytes} duration_ms={ms}"));
    Ok(())
}

fn root_path() -> impl clap::builder::TypedValueParser<Value = RootPath> {
    use clap::builder::{OsStringValueParser, TypedValueParser};
    OsStringValueParser::new().try_map(|text: OsString| {
        RootPath::new(text.as_bytes()).map_err(|error| format!("expected an absolute path: {error}"))
    })
}

fn format(text: &str) -> Result<ExportFormat, String> {
    ExportFormat::ALL
        .into_iter()
        .find(|it| it.as_str() == text)
        .ok_or_else(|| "expected ext4, oci or tar".into())
}
