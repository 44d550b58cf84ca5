//! `pyro workspace snapshot`, `reset`, `fork` and `commit`: states that are kept, and gone back to.

use super::super::context::Context;
use super::Addressed;
use super::subject::Subject;
use crate::catalog::Environment;
use crate::error::UserError;
use crate::exit::Exit;
use crate::explain::{reset_error, snapshot_error, workspace_error};
use crate::text::{bytes, table};
use crate::view::{View, ago};
use jiff::Timestamp;
use pyro_workspace::snapshot::{self, BASELINE};
use pyro_workspace::{Booted, Name, Overview, SnapshotRecord};
use serde::Serialize;
use serde_json::json;
use std::time::Instant;

/// Arguments of `pyro workspace snapshot`.
#[derive(Debug, clap::Args)]
pub struct SnapshotArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Keep the files as they are now, under a name
    Create(Named),
    /// The states that were kept
    List(Addressed),
    /// Forget one of them; what others build on stays
    Delete(Named),
}

/// A snapshot of a workspace.
#[derive(Debug, clap::Args)]
struct Named {
    #[command(flatten)]
    workspace: Addressed,
    /// The snapshot
    #[arg(value_name = "NAME")]
    name: Name,
}

/// Arguments of `pyro workspace reset`.
#[derive(Debug, clap::Args)]
pub struct ResetArgs {
    #[command(flatten)]
    workspace: Addressed,
    /// The state to go back to
    #[arg(long, value_name = "NAME", default_value = BASELINE)]
    snapshot: Name,
}

/// Arguments of `pyro workspace fork`.
#[derive(Debug, clap::Args)]
pub struct ForkArgs {
    #[command(flatten)]
    workspace: Addressed,
    /// The state to start from [default: as it is now]
    #[arg(long, value_name = "NAME")]
    snapshot: Option<Name>,
    /// What to call the new workspace
    #[arg(long)]
    name: Option<Name>,
}

/// Arguments of `pyro workspace commit`.
#[derive(Debug, clap::Args)]
pub struct CommitArgs {
    #[command(flatten)]
    workspace: Addressed,
    /// What to call the image
    #[arg(short = 't', long = "tag", value_name = "NAME")]
    tag: String,
}

/// A snapshot, for `--json`.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'a Name,
    created_at: Timestamp,
    bytes: u64,
    manifest: String,
    layers: Vec<String>,
}

impl<'a> From<&'a SnapshotRecord> for Shown<'a> {
    fn from(record: &'a SnapshotRecord) -> Self {
        Self {
            name: &record.name,
            created_at: record.created_at,
            bytes: record.bytes,
            manifest: record.manifest.to_string(),
            layers: record.layers.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Keeps, lists and forgets states of a workspace.
pub fn run(context: &Context, args: &SnapshotArgs) -> Result<Exit, UserError> {
    match &args.verb {
        Verb::Create(named) => create(context, named),
        Verb::List(workspace) => list(context, workspace),
        Verb::Delete(named) => delete(context, named),
    }
}

fn create(context: &Context, named: &Named) -> Result<Exit, UserError> {
    let out = context.out;
    let home = context.home()?;
    let directory = named.workspace.find(&home)?;
    let subject = Subject::of(&directory)?;
    let made = context.interruptible(|until| {
        snapshot::create_snapshot(&home, &directory, &named.name, until)
            .map_err(|error| snapshot_error(&error))
    })?;
    let record = &made.snapshot;
    if out.is_json() {
        let snapshot = Shown::from(record);
        out.json(&subject.report(json!({ "snapshot": snapshot, "skipped": made.skipped })))?;
        return Ok(Exit::Done);
    }
    for path in &made.skipped {
        out.note(format_args!("note: {path} is left out: no layer can hold it"));
    }
    subject.sum_up(context, "snapshot create", format_args!("name={} bytes={}", record.name, record.bytes));
    Ok(Exit::Done)
}

fn list(context: &Context, workspace: &Addressed) -> Result<Exit, UserError> {
    let began = Instant::now();
    let directory = workspace.find(&context.home()?)?;
    let record = directory.record().map_err(|error| workspace_error(&error))?;
    let shown: Vec<Shown<'_>> = record.snapshots.iter().map(Shown::from).collect();
    let report = Subject::new(&record, began).report(json!({ "snapshots": shown }));
    context.out.result(&report, || {
        let rows: Vec<Vec<String>> = (record.snapshots.iter())
            .map(|it| vec![it.name.to_string(), ago(it.created_at), bytes(it.bytes)])
            .collect();
        table(&["NAME", "CREATED", "ADDED"], &rows)
    })?;
    Ok(Exit::Done)
}

fn delete(context: &Context, named: &Named) -> Result<Exit, UserError> {
    let home = context.home()?;
    let directory = named.workspace.find(&home)?;
    let subject = Subject::of(&directory)?;
    snapshot::delete_snapshot(&home, &directory, &named.name).map_err(|error| snapshot_error(&error))?;
    if context.out.is_json() {
        context.out.json(&subject.report(json!({ "name": named.name.as_str(), "deleted": true })))?;
    }
    subject.sum_up(context, "snapshot delete", format_args!("name={}", named.name));
    Ok(Exit::Done)
}

/// Goes back to a state.
pub fn reset(context: &Context, args: &ResetArgs) -> Result<Exit, UserError> {
    let clock = Instant::now();
    let home = context.home()?;
    let directory = args.workspace.find(&home)?;
    let booted = context.interruptible(|until| {
        pyro_workspace::reset(&home, &directory, Some(&args.snapshot), until)
            .map_err(|error| reset_error(&error))
    })?;
    show(context, booted, "reset", format_args!("snapshot={}", args.snapshot), clock)
}

/// Makes a workspace of a state of another.
pub fn fork(context: &Context, args: ForkArgs) -> Result<Exit, UserError> {
    let clock = Instant::now();
    let home = context.home()?;
    let directory = args.workspace.find(&home)?;
    let booted = context.interruptible(|until| {
        pyro_workspace::fork(&home, &directory, args.snapshot.as_ref(), args.name, until)
            .map_err(|error| reset_error(&error))
    })?;
    show(context, booted, "fork", format_args!("of={}", directory.id()), clock)
}

/// Makes an image of a workspace.
pub fn commit(context: &Context, args: &CommitArgs) -> Result<Exit, UserError> {
    let home = context.home()?;
    let directory = args.workspace.find(&home)?;
    let environment = Environment::parse(&args.tag).map_err(UserError::usage)?;
    let subject = Subject::of(&directory)?;
    let image = context.interruptible(|until| {
        snapshot::commit_image(&home, &directory, environment.local(), until)
            .map_err(|error| snapshot_error(&error))
    })?;
    let (environment, layers) = (environment.to_string(), image.layers.len());
    if context.out.is_json() {
        context.out.json(&subject.report(json!({
            "environment": environment,
            "manifest": image.manifest.to_string(),
            "layers": layers,
            "bytes": image.size(),
        })))?;
    }
    subject.sum_up(context, "commit", format_args!("environment={environment} layers={layers}"));
    Ok(Exit::Done)
}

fn show(
    context: &Context,
    booted: Booted,
    verb: &str,
    what: impl std::fmt::Display,
    clock: Instant,
) -> Result<Exit, UserError> {
    let overview = Overview::of(booted.directory).map_err(|error| workspace_error(&error))?;
    let view = View::of(&overview);
    context.out.result(&view, || view.text())?;
    Subject::new(&overview.record, clock).sum_up(context, verb, what);
    Ok(Exit::Done)
}
