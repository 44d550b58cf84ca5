//! `pyro workspace file`.

use super::super::context::Context;
use super::Addressed;
use super::live::on;
use crate::error::UserError;
use crate::exit::Exit;
use crate::explain::{access_error, place};
use crate::files::{LISTED_MAX, READ_MAX, columns};
use pyro_workspace::Depth;
use pyro_workspace::diff::FileKind;
use pyro_workspace::live::{FileContent, FileEntry, list, read, write};
use serde_json::json;
use std::borrow::Cow;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// How much is read of a file if nothing else is said.
pub(super) const READ_DEFAULT: u64 = 64 << 10;

/// Arguments of `pyro workspace file`.
#[derive(Debug, clap::Args)]
pub struct FileArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Show what is in a directory
    List(ListArgs),
    /// Show what is in a file
    Read(ReadArgs),
    /// Write a file, replacing what it was
    Write(WriteArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    workspace: Addressed,
    /// A path under /workspace, or relative to it
    #[arg(value_name = "PATH", default_value = ".")]
    path: OsString,
    /// Also what is in the directories below it
    #[arg(long)]
    recursive: bool,
}

#[derive(Debug, clap::Args)]
struct ReadArgs {
    #[command(flatten)]
    workspace: Addressed,
    /// A path under /workspace, or relative to it
    #[arg(value_name = "PATH")]
    path: OsString,
    /// Most bytes to read, up to 1 MiB
    #[arg(long, value_name = "N", default_value_t = READ_DEFAULT, value_parser = clap::value_parser!(u64).range(1..=READ_MAX))]
    max_bytes: u64,
    /// Print the content and no line about it
    #[arg(long, conflicts_with = "json")]
    content_only: bool,
}

#[derive(Debug, clap::Args)]
struct WriteArgs {
    #[command(flatten)]
    workspace: Addressed,
    /// A path under /workspace, or relative to it
    #[arg(value_name = "PATH")]
    path: OsString,
    /// What to write
    #[arg(long, value_name = "T", required_unless_present = "text_file", allow_hyphen_values = true)]
    text: Option<String>,
    /// A file with what to write; `-` reads standard input
    #[arg(long, value_name = "F", conflicts_with = "text")]
    text_file: Option<PathBuf>,
}

/// Runs `pyro workspace file`.
pub fn run(context: &Context, args: FileArgs) -> Result<Exit, UserError> {
    match args.verb {
        Verb::List(args) => run_list(context, &args),
        Verb::Read(args) => run_read(context, &args),
        Verb::Write(args) => run_write(context, &args),
    }
}

fn run_list(context: &Context, args: &ListArgs) -> Result<Exit, UserError> {
    let place = place(&args.path)?;
    let depth = if args.recursive { Depth::All } else { Depth::Children };
    let done = on(context, &args.workspace, |live| {
        list(live, &place, depth, LISTED_MAX).map_err(|error| access_error(live, &error))
    })?;
    let listing = &done.result;
    context.out.result(&done.report(listing), || listing.entries.iter().map(line).collect())?;
    if listing.truncated && !context.out.is_json() {
        context.out.note(format_args!("note: there are more than {LISTED_MAX}; name a directory below"));
    }
    done.sum_up(context, "file list", format_args!("path={place} entries={}", listing.entries.len()));
    Ok(Exit::Done)
}

/// One file, as `ls -l` shows it.
pub(super) fn line(entry: &FileEntry) -> String {
    let (mode, path) = columns(entry);
    let size = match &entry.kind {
        FileKind::File { size, .. } => size.to_string(),
        FileKind::CharacterDevice { major, minor } | FileKind::BlockDevice { major, minor } => {
            format!("{major},{minor}")
        }
        _ => "-".into(),
    };
    format!("{mode} {size:>10}  {path}\n")
}

fn run_read(context: &Context, args: &ReadArgs) -> Result<Exit, UserError> {
    let out = context.out;
    let place = place(&args.path)?;
    let done = on(context, &args.workspace, |live| {
        read(live, &place, args.max_bytes).map_err(|error| access_error(live, &error))
    })?;
    let content = &done.result;
    let (bytes, size) = (content.bytes.len(), content.size);
    if out.is_json() {
        out.json(&done.report(value(&place, content)))?;
        return Ok(Exit::Done);
    }
    out.content(&content.bytes)?;
    note_cut(context, content);
    if !args.content_only {
        done.sum_up(context, "file read", format_args!("path={place} bytes={bytes} size={size}"));
    }
    Ok(Exit::Done)
}

/// Says that there is more of it than was shown.
pub(super) fn note_cut(context: &Context, content: &FileContent) {
    let (bytes, size) = (content.bytes.len(), content.size);
    if content.is_truncated() {
        context.out.note(format_args!(
            "note: the first {bytes} of {size} bytes; --max-bytes N, up to {READ_MAX}, shows more"
        ));
    }
}

/// Content, for `--json`.
pub(super) fn value(path: &dyn std::fmt::Display, content: &FileContent) -> serde_json::Value {
    let text = content.as_text();
    let is_text = text.is_some();
    let text = text.map_or_else(|| String::from_utf8_lossy(&content.bytes), Cow::Borrowed);
    let (bytes, truncated) = (content.bytes.len(), content.is_truncated());
    json!({ "path": path.to_string(), "content": text, "is_text": is_text, "bytes": bytes, "size": content.size, "truncated": truncated })
}

fn run_write(context: &Context, args: &WriteArgs) -> Result<Exit, UserError> {
    let place = place(&args.path)?;
    let source: Box<dyn Read> = match (&args.text, &args.text_file) {
        (Some(text), _) => Box::new(text.as_bytes()),
        (None, Some(path)) if path != Path::new("-") => {
            let file = File::open(path).map_err(|error| {
                UserError::new("input", format_args!("{}: {error}", path.display()))
                    .hint("see that it can be read")
            })?;
            Box::new(file)
        }
        (None, _) => Box::new(io::stdin()),
    };
    let done = on(context, &args.workspace, |live| {
        write(live, &place, source).map_err(|error| access_error(live, &error))
    })?;
    let value = json!({ "path": place.to_string(), "bytes": done.result });
    context.out.result(&done.report(value), String::new)?;
    done.sum_up(context, "file write", format_args!("path={place} bytes={}", done.result));
    Ok(Exit::Done)
}
