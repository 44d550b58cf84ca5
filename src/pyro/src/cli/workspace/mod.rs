//! `pyro workspace`: one file for each verb.

mod apply;
mod create;
mod delete;
mod diff;
mod disk;
mod exec;
mod export;
mod file;
mod list;
mod live;
mod logs;
mod patch;
mod power;
mod seed;
mod snapshot;
mod status;
mod subject;
mod summary;
mod supervisor;
mod sync;
mod update;

use super::context::Context;
use crate::error::UserError;
use crate::exit::Exit;
use crate::explain;
use pyro_workspace::{Directory, Home, Name};
pub use supervisor::{SupervisorArgs, supervisor};

/// Arguments of `pyro workspace`.
#[derive(Debug, clap::Args)]
pub struct WorkspaceArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make a workspace and start its machine
    Create(create::CreateArgs),
    /// All workspaces, those with the latest activity first
    List,
    /// Everything about one workspace
    Status(Addressed),
    /// Change name, labels or time to live
    Update(update::UpdateArgs),
    /// Start the machine of a stopped workspace; its files are as they were
    Start(Addressed),
    /// Write everything to disk and end the machine; the workspace stays
    Stop(Addressed),
    /// End the machine and delete the workspace
    Delete(Addressed),
    /// Run a command in a workspace
    Exec(exec::ExecArgs),
    /// What was run in a workspace, and its output
    Logs(logs::LogsArgs),
    /// What has changed in /workspace, as a patch
    Diff(diff::DiffArgs),
    /// Apply patches to a workspace
    Patch(patch::PatchArgs),
    /// Apply what has changed in /workspace to a directory of this host
    Apply(apply::ApplyArgs),
    /// Copy files out of a workspace to a new path of this host
    Export(export::ExportArgs),
    /// Copy files of this host into a workspace
    Sync(sync::SyncArgs),
    /// List, read and write files in /workspace
    File(file::FileArgs),
    /// What became of a workspace since it was created or reset
    Summary(Addressed),
    /// The files of a stopped workspace: list, read, export
    Disk(disk::DiskArgs),
    /// Keep the files as they are, list what was kept, forget it
    Snapshot(snapshot::SnapshotArgs),
    /// Go back to what it was created with, or to a snapshot
    Reset(snapshot::ResetArgs),
    /// Make a new workspace of the files of one
    Fork(snapshot::ForkArgs),
    /// Make an image of a workspace
    Commit(snapshot::CommitArgs),
}

/// One workspace.
#[derive(Debug, clap::Args)]
pub struct Addressed {
    /// Its id, the beginning of it, or its name
    #[arg(value_name = "ID")]
    workspace: String,
}

/// Runs `pyro workspace`.
///
/// # Errors
/// With the next step.
pub fn run(context: &Context, args: WorkspaceArgs) -> Result<Exit, UserError> {
    match args.verb {
        Verb::Create(args) => create::run(context, args),
        Verb::List => list::run(context),
        Verb::Status(args) => status::run(context, &args),
        Verb::Update(args) => update::run(context, args),
        Verb::Start(args) => power::start(context, &args),
        Verb::Stop(args) => power::stop(context, &args),
        Verb::Delete(args) => delete::run(context, &args),
        Verb::Exec(args) => exec::run(context, args),
        Verb::Logs(args) => logs::run(context, &args),
        Verb::Diff(args) => diff::run(context, &args),
        Verb::Patch(args) => patch::run(context, args),
        Verb::Apply(args) => apply::run(context, &args),
        Verb::Export(args) => export::run(context, &args),
        Verb::Sync(args) => sync::run(context, args),
        Verb::File(args) => file::run(context, args),
        Verb::Summary(args) => summary::run(context, &args),
        Verb::Disk(args) => disk::run(context, &args),
        Verb::Snapshot(args) => snapshot::run(context, &args),
        Verb::Reset(args) => snapshot::reset(context, &args),
        Verb::Fork(args) => snapshot::fork(context, args),
        Verb::Commit(args) => snapshot::commit(context, &args),
    }
}

impl Addressed {
    /// The workspace.
    fn find(&self, home: &Home) -> Result<Directory, UserError> {
        explain::find(home, &self.workspace)
    }
}

fn label(text: &str) -> Result<(Name, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    crate::label::label(key, value)
}

/// Accepted times to live: a second to a week.
fn ttl(text: &str) -> Result<u64, String> {
    let seconds = text.parse().map_err(|_| "expected a number of seconds".to_owned())?;
    if (1..=604_800).contains(&seconds) { Ok(seconds) } else { Err("expected 1 to 604800 seconds".into()) }
}
