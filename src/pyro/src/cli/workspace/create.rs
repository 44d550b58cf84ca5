//! `pyro workspace create`.

use super::super::context::Context;
use super::super::progress::Shown;
use super::super::run::MachineArgs;
use super::seed::note_skipped;
use super::{label, ttl};
use crate::error::UserError;
use crate::exit::Exit;
use crate::explain::{seed_error, workspace_error};
use crate::start::{Start, TTL_SECONDS, environment, seed, start_kept};
use crate::view::View;
use pyro_workspace::{
    CreateSpec, DISK_MIB_MAX, DISK_MIB_MIN, ExecutionMode, Name, Overview, Seed, Skipped, check_name,
};
use serde::Serialize;
use std::path::PathBuf;
use std::time::Instant;

/// Arguments of `pyro workspace create`.
#[derive(Debug, clap::Args)]
pub struct CreateArgs {
    /// An environment (`pyro env list`) or any OCI image reference
    #[arg(value_name = "ENV")]
    environment: String,
    /// Copy a checkout, a directory or a tar into /workspace; nothing is written back
    #[arg(long, value_name = "DIR|TAR")]
    seed_path: Option<PathBuf>,
    /// What to call it; no other workspace may have the name
    #[arg(long)]
    name: Option<Name>,
    /// Something to remember of it; can be given several times
    #[arg(long, value_name = "K=V", value_parser = label)]
    label: Vec<(Name, String)>,
    #[command(flatten)]
    machine: MachineArgs,
    /// Size of its writable disk in MiB [default: 8192]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(i64::from(DISK_MIB_MIN)..=i64::from(DISK_MIB_MAX)))]
    disk_mib: Option<u32>,
    /// Delete it after so many seconds without activity [default: 600]
    #[arg(long, env = "PYRO_TTL_SECONDS", value_name = "S", value_parser = ttl)]
    ttl_seconds: Option<u64>,
    /// Print its id and nothing else
    #[arg(long, conflicts_with = "json")]
    id_only: bool,
}

/// What `--json` prints: the workspace, and what of its seed's source is not in it.
#[derive(Serialize)]
struct Created<'a> {
    #[serde(flatten)]
    view: View,
    skipped: &'a [Skipped],
}

/// Makes a workspace and starts its machine.
pub fn run(context: &Context, args: CreateArgs) -> Result<Exit, UserError> {
    let out = context.out;
    let clock = Instant::now();
    let home = context.home()?;
    let shown = Shown::new(out);
    if let Some(name) = &args.name {
        // Before something is pulled for nothing.
        check_name(&home, name).map_err(|error| workspace_error(&error))?;
    }
    let resources = args.machine.resources(context, args.disk_mib)?;
    let (image, held) = environment(&context.config, &shown, &home, &args.environment)?;
    let source =
        args.seed_path.map(|path| Seed::of(&path).map_err(|error| seed_error(&error))).transpose()?;
    let seeded = source.map(|source| context.interruptible(|until| seed(&home, &image, &source, until)));
    let seeded = seeded.transpose()?;
    let spec = CreateSpec {
        name: args.name,
        labels: args.label.into_iter().collect(),
        resources,
        execution_mode: ExecutionMode::GuestVsock,
        layers: seeded.iter().map(|seeded| seeded.layer.diff_id).collect(),
        seed: seeded.as_ref().map(|seeded| seeded.facts.clone()),
        ephemeral: false,
        ttl_seconds: args.ttl_seconds.or(context.config.defaults.ttl_seconds).unwrap_or(TTL_SECONDS),
    };
    let allow_host_compat = args.machine.allow_host_compat;
    let started = context.interruptible(|until| {
        start_kept(&shown, &home, held, &Start { image: &image, spec, until, allow_host_compat })
    });
    let directory = started?.machine.directory;
    if let Some(signal) = context.signals.caught() {
        // It came as the machine was ready: then nobody reads of it any more.
        let _ = pyro_workspace::delete(&directory);
        return Ok(Exit::Interrupted(signal));
    }
    let overview = Overview::of(directory).map_err(|error| workspace_error(&error))?;
    let skipped = seeded.map(|seeded| seeded.skipped).unwrap_or_default();
    let view = Created { view: View::of(&overview), skipped: &skipped };
    if args.id_only {
        out.content(format!("{}\n", overview.record.id).as_bytes())?;
        return Ok(Exit::Done);
    }
    out.result(&view, || view.view.text())?;
    if !out.is_json() {
        note_skipped(out, &skipped, skipped.len() as u64);
        let mode = overview.record.execution_mode.as_str();
        out.note(format_args!(
            "[workspace create] id={} environment={} execution_mode={mode} duration_ms={}",
            overview.record.id,
            args.environment,
            clock.elapsed().as_millis()
        ));
    }
    Ok(Exit::Done)
}
