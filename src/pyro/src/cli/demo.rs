//! `pyro demo`: create, start, exec, delete, each step shown with its time.

use super::context::Context;
use super::progress::Shown;
use super::run::MachineArgs;
use super::steps::{Step, Steps};
use crate::catalog::DEFAULT_ENVIRONMENT;
use crate::error::UserError;
use crate::exit::Exit;
use crate::start::{Start, environment, ephemeral, start_here};
use pyro_workspace::{Cancel, Exec, Stream, Until, exit_code, variables};
use serde::Serialize;
use std::time::{Duration, Instant};

/// How long the demonstration may take, beyond fetching its image.
const TTL: Duration = Duration::from_secs(120);

/// Arguments of `pyro demo`.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    #[command(flatten)]
    machine: MachineArgs,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    environment: &'static str,
    execution_mode: &'static str,
    output: String,
    exit_code: u8,
    steps: Vec<Step>,
}

/// Runs `pyro demo`.
///
/// # Errors
/// The first step that failed.
pub fn run(context: &Context, args: &DemoArgs) -> Result<Exit, UserError> {
    let out = context.out;
    let resources = args.machine.resources(context, None)?;
    let home = context.home()?;
    let shown = Shown::new(out);
    let (image, held) = environment(&context.config, &shown, &home, DEFAULT_ENVIRONMENT)?;
    let mut steps = Steps::of("demo", out);

    let cancel = Cancel::new()?;
    let armed = context.until_signal(&cancel)?;
    let until = Until { deadline: Some(Instant::now() + TTL), cancel: &cancel };
    let allow_host_compat = args.machine.allow_host_compat;
    let spec = ephemeral(resources, TTL.as_secs());
    let started = start_here(&shown, &home, held, &Start { image: &image, spec, until, allow_host_compat })?;
    steps.add("create", started.created_in);
    steps.add("start", started.booted_in);
    let running = started.machine;
    let execution_mode = running.execution_mode().as_str();

    let exec = Exec {
        argv: ["git", "--version"].map(|word| word.as_bytes().to_vec().into()).to_vec(),
        env: variables(&image.config, &[], false),
        timeout_ms: Some(30_000),
        ..Exec::default()
    };
    let mut output = Vec::new();
    let ended = steps.step("exec", || {
        let session = running.exec(exec).map_err(|error| UserError::new("agent", error))?;
        let ended = session.wait(until, |stream, bytes| {
            match stream {
                Stream::Stdout => output.extend_from_slice(bytes),
                Stream::Stderr => out.content_err(bytes)?,
            }
            Ok(())
        });
        ended.map_err(|error| UserError::new("exec", error))
    })?;
    steps.step("delete", || running.discard().map_err(|error| UserError::new("delete", error)))?;
    drop(armed);

    let exit_code = exit_code(&ended);
    let output = String::from_utf8_lossy(&output).into_owned();
    if exit_code != 0 {
        return Err(UserError::new("exec", format_args!("git --version ended with status {exit_code}")));
    }
    let report =
        Report { environment: DEFAULT_ENVIRONMENT, execution_mode, output, exit_code, steps: steps.finish() };
    out.result(&report, || report.output.clone())?;
    if !out.is_json() {
        out.note(format_args!(
            "[demo] environment={DEFAULT_ENVIRONMENT} execution_mode={execution_mode} exit_code=0"
        ));
    }
    Ok(Exit::Done)
}
