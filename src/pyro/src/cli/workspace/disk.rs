//! `pyro workspace disk`: the files of a stopped workspace.

use super::super::context::Context;
use super::Addressed;
use super::file::{READ_DEFAULT, line, note_cut, value};
use super::subject::Subject;
use crate::error::UserError;
use crate::exit::Exit;
use crate::explain::{disk_error, disk_export_error, disk_open_error};
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
    context.interruptible(|until| match &args.verb {
        Verb::List(args) => look(context, &args.workspace, until, |looking| list(looking, args)),
        Verb::Read(args) => look(context, &args.workspace, until, |looking| read(looking, args)),
        Verb::Export(args) => write(context, args, until),
    })?;
    Ok(Exit::Done)
}

/// A disk that is looked at.
struct Looking<'a> {
    context: &'a Context,
    disk: &'a Disk,
    subject: Subject,
    until: Until<'a>,
}

/// Opens the disk of a workspace for as long as `work` takes.
fn look(
    context: &Context,
    workspace: &Addressed,
    until: Until<'_>,
    work: impl FnOnce(&Looking<'_>) -> Result<(), UserError>,
) -> Result<(), UserError> {
    let began = Instant::now();
    let home = context.home()?;
    let directory = workspace.find(&home)?;
    let disk = Disk::open(&home, &directory, until).map_err(|error| disk_open_error(&error))?;
    work(&Looking { context, disk: &disk, subject: Subject::new(disk.record(), began), until })
}

fn list(looking: &Looking<'_>, args: &ListArgs) -> Result<(), UserError> {
    let Looking { context, disk, subject, until } = looking;
    let depth = if args.recursive { Depth::All } else { Depth::Children };
    let listing =
        disk.list(&args.path, depth, LISTED_MAX, *until).map_err(|error| disk_error(disk, &error))?;
    context.out.result(&subject.report(&listing), || listing.entries.iter().map(line).collect())?;
    if listing.truncated && !context.out.is_json() {
        context.out.note(format_args!("note: there are more than {LISTED_MAX}; name a directory below"));
    }
    let (path, entries) = (&args.path, listing.entries.len());
    subject.sum_up(context, "disk list", format_args!("path={path} entries={entries}"));
    Ok(())
}

fn read(looking: &Looking<'_>, args: &ReadArgs) -> Result<(), UserError> {
    let Looking { context, disk, subject, until } = looking;
    let content = disk.read(&args.path, args.max_bytes, *until).map_err(|error| disk_error(disk, &error))?;
    if context.out.is_json() {
        return Ok(context.out.json(&subject.report(value(&args.path, &content)))?);
    }
    context.out.content(&content.bytes)?;
    note_cut(context, &content);
    if !args.content_only {
        let (path, bytes, size) = (&args.path, content.bytes.len(), content.size);
        subject.sum_up(context, "disk read", format_args!("path={path} bytes={bytes} size={size}"));
    }
    Ok(())
}

fn write(context: &Context, args: &ExportArgs, until: Until<'_>) -> Result<(), UserError> {
    let (out, home) = (context.out, context.home()?);
    let directory = args.workspace.find(&home)?;
    let subject = Subject::of(&directory)?;
    let exported = export(&home, &directory, args.format, &args.output, until)
        .map_err(|error| disk_export_error(&error))?;
    let format = args.format.as_str();
    if out.is_json() {
        out.json(&subject.report(json!({
            "format": format,
            "output": args.output.to_string_lossy(),
            "bytes": exported.bytes,
            "skipped": exported.skipped,
            "trusted": exported.trusted,
        })))?;
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
    subject.sum_up(context, "disk export", format_args!("format={format} bytes={}", exported.bytes));
    Ok(())
}

fn root_path() -> impl clap::builder::TypedValueParser<Value = RootPath> {
    use clap::builder::{OsStringValueParser, TypedValueParser};
    OsStringValueParser::new().try_map(|text: OsString| {
        RootPath::new(text.as_bytes())
            .map_err(|error| format!("expected an absolute path without '..', such as /etc: {error}"))
    })
}

fn format(text: &str) -> Result<ExportFormat, String> {
    ExportFormat::ALL
        .into_iter()
        .find(|it| it.as_str() == text)
        .ok_or_else(|| "expected ext4, oci or tar".into())
}
