//! `pyro prepare`: warms this machine for an environment, and proves with a workspace that goes at
//! once that daily work will do.

use super::context::Context;
use super::progress::Shown;
use super::run::MachineArgs;
use super::steps::{Step, Steps};
use crate::catalog::{DEFAULT_ENVIRONMENT, Environment};
use crate::error::UserError;
use crate::exit::Exit;
use crate::explain::{lifecycle_error, not_run, reset_error, store_error, workspace_error};
use crate::readiness::{Proof, Readiness};
use crate::start::{Start, fetch, hold, start_kept};
use pyro_oci::{Image, InUse};
use pyro_workspace::{
    Cancel, Command, CreateSpec, Directory, Exec, ExecutionMode, Home, Overview, SessionError, Until,
    exit_code, reset, running, variables,
};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Display;

/// The workspace of a `prepare` that was killed goes after so many seconds.
const TTL_SECONDS: u64 = 120;

/// How long one of its commands may take; an emulated processor needs a hundred times as long as a real one.
const EXEC_MAX_MS: u64 = 60_000;

/// What is written, and is gone after the reset.
const WRITE: &str = "echo proved > /workspace/.pyro-prepare";
const GONE: &str = "test ! -e /workspace/.pyro-prepare";

/// Arguments of `pyro prepare`.
#[derive(Debug, clap::Args)]
pub struct PrepareArgs {
    /// An environment (`pyro env list`) or any OCI image reference [default: the configured one, else debian:12]
    #[arg(value_name = "ENV")]
    environment: Option<String>,
    #[command(flatten)]
    machine: MachineArgs,
    /// Prove again what is warm
    #[arg(long)]
    force: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    environment: &'a str,
    state: &'static str,
    #[serde(flatten)]
    proof: &'a Proof,
    steps: Vec<Step>,
}

/// Runs `pyro prepare`.
///
/// # Errors
/// The first step that failed; then nothing is proved, and nothing but the image stays.
pub fn run(context: &Context, args: &PrepareArgs) -> Result<Exit, UserError> {
    args.machine.resources(context, None)?;
    let name = args.environment.as_ref().or(context.config.defaults.environment.as_ref());
    let name = name.map_or(DEFAULT_ENVIRONMENT, String::as_str);
    let environment = Environment::parse(name)
        .map_err(|error| UserError::usage(error).hint("pyro env list shows the official environments"))?;
    let home = context.home()?;
    let held = hold(&home)?;
    let installed = home.store().find(environment.local()).map_err(|error| store_error(&error))?;
    let ready = Readiness::of(&home, &environment, installed.as_ref());
    let mut steps = Steps::of("prepare", context.out);
    // Warm without a virtual machine is warm only for those who allow that.
    let allowed = |mode| mode == ExecutionMode::GuestVsock || args.machine.allow_host_compat;
    let proof = match (installed, ready) {
        (Some(_), Readiness::Warm(proof)) if !args.force && allowed(proof.execution_mode) => proof,
        (installed, _) => {
            let shown = Shown::new(context.out);
            let image = match installed {
                Some(image) => image,
                None => steps.step("pull", || fetch(&context.config, &shown, &home, &environment))?,
            };
            Proof::forget(&home, &environment);
            let proof = prove(context, &home, held, &image, args, &mut steps)?;
            proof.save(&home, &environment).map_err(|error| {
                UserError::new("state", format_args!("what was proved cannot be kept: {error}"))
                    .hint("pyro doctor checks the state directory")
            })?;
            proof
        }
    };
    let report = Report { environment: name, state: "warm", proof: &proof, steps: steps.finish() };
    context.out.result(&report, || format!("{name} is warm\n"))?;
    if !context.out.is_json() {
        context.out.note(format_args!(
            "[prepare] environment={name} execution_mode={} prepared_at={}",
            proof.execution_mode.as_str(),
            proof.prepared_at
        ));
    }
    Ok(Exit::Done)
}

/// Create, exec, reset and delete, with a workspace that goes whatever comes of it.
fn prove(
    context: &Context,
    home: &Home,
    held: InUse,
    image: &Image,
    args: &PrepareArgs,
    steps: &mut Steps,
) -> Result<Proof, UserError> {
    let cancel = Cancel::new()?;
    // For all of it: whoever is interrupted between two steps must delete the workspace, too.
    let armed = context.until_signal(&cancel)?;
    let until = Until { deadline: None, cancel: &cancel };
    steps.step("root", || {
        home.store().disk(image).map_err(|error| UserError::new("store", error).hint("pyro doctor"))
    })?;
    let spec = CreateSpec {
        name: None,
        labels: BTreeMap::new(),
        resources: args.machine.resources(context, None)?,
        execution_mode: ExecutionMode::GuestVsock,
        seed: None,
        layers: Vec::new(),
        ephemeral: false,
        ttl_seconds: TTL_SECONDS,
    };
    let request = Start { image, spec, until, allow_host_compat: args.machine.allow_host_compat };
    let started = steps.step("create", || start_kept(&Shown::new(context.out), home, held, &request));
    let directory = started.map_err(|error| context.interrupted(error))?.machine.directory;
    let worked = work(home, image, &directory, until, steps);
    let deleted =
        steps.step("delete", || pyro_workspace::delete(&directory).map_err(|error| lifecycle_error(&error)));
    drop(armed);
    let execution_mode = worked.and_then(|mode| deleted.map(|()| mode));
    Ok(Proof::new(home, image, execution_mode.map_err(|error| context.interrupted(error))?))
}

/// Exec and reset; the reset is proved by what it takes away.
fn work(
    home: &Home,
    image: &Image,
    directory: &Directory,
    until: Until<'_>,
    steps: &mut Steps,
) -> Result<ExecutionMode, UserError> {
    steps.step("exec", || sh(image, directory, WRITE, until.cancel))?;
    steps.step("reset", || {
        reset(home, directory, None, until).map_err(|error| reset_error(&error))?;
        sh(image, directory, GONE, until.cancel)
    })?;
    let overview = Overview::of(directory.clone()).map_err(|error| workspace_error(&error))?;
    Ok(overview.record.execution_mode)
}

/// Runs a script that must succeed.
fn sh(image: &Image, directory: &Directory, script: &str, cancel: &Cancel) -> Result<(), UserError> {
    let record = running(directory).map_err(|error| lifecycle_error(&error))?;
    let exec = Exec {
        argv: ["sh", "-c", script].map(|word| word.as_bytes().to_vec().into()).to_vec(),
        env: variables(&image.config, &[], false),
        cwd: b"/workspace".to_vec().into(),
        create_cwd: true,
        user: image.config.user.clone(),
        timeout_ms: Some(EXEC_MAX_MS),
        ..Exec::default()
    };
    let failed = |error: &dyn Display| UserError::new("exec", error).hint("pyro doctor");
    let command = Command::start(directory, record.generation, exec).map_err(|error| failed(&error))?;
    let mut output = Vec::new();
    let ended = command.wait(cancel, |_, bytes| {
        output.extend_from_slice(bytes);
        Ok(())
    });
    let ended = ended.map_err(|error| match error {
        SessionError::Failed(failure) => not_run(&failure).exit(Exit::Failed),
        error => failed(&error),
    })?;
    match exit_code(&ended) {
        0 => Ok(()),
        code => {
            let output = String::from_utf8_lossy(&output);
            Err(failed(&format_args!("sh -c {script:?} ended with status {code}: {}", output.trim())))
        }
    }
}
