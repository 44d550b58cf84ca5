//! `pyro run`: one command in a fresh machine, then everything is gone.

use super::context::Context;
use super::output::Output;
use super::progress::Shown;
use super::streams::{Kept, Outlet, Wanted, connect, milliseconds, words};
use super::terminal::window;
use crate::config::{MEM_MIB_MAX, MEM_MIB_MIN, SECONDS_MAX, VCPUS_MAX};
use crate::error::UserError;
use crate::exit::Exit;
use crate::explain::not_run;
use crate::recipe;
use crate::start::{self, Start, TTL_SECONDS, environment, ephemeral, start_here};
use pyro_workspace::{
    Cancel, Ended, Exec, Failure, Resources, Running, SessionError, Until, exit_code, trace, variables,
};
use serde::Serialize;
use std::io;
use std::time::{Duration, Instant};

/// How much longer than the agent's own limit pyro waits for its word before it gives the machine up.
const GRACE: Duration = Duration::from_secs(10);

/// Arguments of `pyro run`.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// An environment (`pyro env list`) or any OCI image reference
    #[arg(value_name = "ENV")]
    environment: String,
    #[command(flatten)]
    machine: MachineArgs,
    /// Kill the command after so many seconds [default: 30]
    #[arg(long, env = "PYRO_TIMEOUT_SECONDS", value_name = "S", value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    timeout_seconds: Option<u64>,
    /// End the machine after so many seconds, whatever it does [default: 600]
    #[arg(long, env = "PYRO_TTL_SECONDS", value_name = "S", value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    ttl_seconds: Option<u64>,
    /// Set a variable in the command's environment
    #[arg(long, value_name = "K=V", value_parser = variable)]
    env: Vec<(String, String)>,
    /// Directory to run in, made if it is missing [default: the image's]
    #[arg(long, value_name = "DIR", value_parser = absolute)]
    workdir: Option<String>,
    #[command(flatten)]
    wanted: Wanted,
    /// The command
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<std::ffi::OsString>,
}

/// Flags that describe a machine.
#[derive(Debug, clap::Args)]
pub struct MachineArgs {
    /// Virtual processors [default: 1]
    #[arg(long, env = "PYRO_VCPU_COUNT", value_name = "N", value_parser = clap::value_parser!(u8).range(1..=VCPUS_MAX as i64))]
    vcpu_count: Option<u8>,
    /// Memory in MiB [default: 1024]
    #[arg(long, env = "PYRO_MEM_MIB", value_name = "MIB", value_parser = clap::value_parser!(u32).range(MEM_MIB_MIN as i64..=MEM_MIB_MAX as i64))]
    mem_mib: Option<u32>,
    /// Let the command reach public addresses
    #[arg(long)]
    network: bool,
    /// Where no microVM boots, use namespaces of this host's kernel instead
    #[arg(long)]
    pub allow_host_compat: bool,
}

impl MachineArgs {
    /// The resources of a machine: flags, then files, then the built-in defaults.
    pub fn resources(&self, context: &Context, disk_mib: Option<u32>) -> Result<Resources, UserError> {
        if self.network {
            let text = "this version has no network in machines: commands run offline";
            return Err(UserError::new("unsupported", text).exit(Exit::Usage).hint("leave --network out"));
        }
        let Self { vcpu_count, mem_mib, .. } = *self;
        let asked = recipe::Resources { vcpu_count, mem_mib, disk_mib, ttl_seconds: None };
        Ok(start::resources(&asked, &context.config.defaults, &recipe::Resources::default()))
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    environment: &'a str,
    execution_mode: &'static str,
    exit_code: u8,
    timed_out: bool,
    duration_ms: u64,
    stdout: Kept,
    stderr: Kept,
}

/// Runs `pyro run`.
pub fn run(context: &Context, args: RunArgs) -> Result<Exit, UserError> {
    let out = context.out;
    let started = Instant::now();
    let resources = args.machine.resources(context, None)?;
    let defaults = &context.config.defaults;
    let timeout = Duration::from_secs(args.timeout_seconds.or(defaults.timeout_seconds).unwrap_or(30));
    let ttl = args.ttl_seconds.or(defaults.ttl_seconds).unwrap_or(TTL_SECONDS);
    let failed = |error: UserError| error.exit(Exit::NotRun);

    let home = context.home().map_err(failed)?;
    let shown = Shown::new(out);
    let name = args.environment;
    let (image, held) = environment(&context.config, &shown, &home, &name).map_err(failed)?;
    trace::reached("image found");
    let cancel = Cancel::new()?;
    let armed = context.until_signal(&cancel)?;
    let until = Until { deadline: Some(started + Duration::from_secs(ttl)), cancel: &cancel };

    let allow_host_compat = args.machine.allow_host_compat;
    let spec = ephemeral(resources, ttl);
    let machine = start_here(&shown, &home, held, &Start { image: &image, spec, until, allow_host_compat });
    let running = machine.map_err(|error| context.interrupted(failed(error)))?.machine;
    let mode = running.execution_mode().as_str();

    let exec = Exec {
        argv: words(args.command),
        env: variables(&image.config, &args.env, args.wanted.tty),
        cwd: args.workdir.unwrap_or_else(|| image.config.working_dir.clone()).into_bytes().into(),
        create_cwd: true,
        user: image.config.user.clone(),
        stdin: args.wanted.interactive,
        tty: args.wanted.tty.then(window),
        timeout_ms: milliseconds(timeout),
    };
    let session = running.exec(exec).map_err(|error| session_error(&running, &error))?;
    let terminal = connect(out, args.wanted, &context.signals, || session.input())?;
    let mut outlet = Outlet::new(out);
    let patience = Some((Instant::now() + timeout + GRACE).min(started + Duration::from_secs(ttl)));
    let ended =
        session.wait(Until { deadline: patience, ..until }, |stream, bytes| outlet.take(stream, bytes));
    drop(terminal);
    let ended = match ended {
        Ok(ended) => ended,
        Err(SessionError::Failed(failure)) => return refused(out, &name, mode, &failure),
        Err(error) => return Err(context.interrupted(session_error(&running, &error))),
    };
    trace::reached("command ended");
    // Nothing in the machine is worth a word of goodbye: it is killed and its disk removed.
    running.discard().map_err(|error| failed(UserError::new("cleanup", error)))?;
    drop(armed);
    trace::reached("all gone");

    let exit = exit_of(&ended);
    let duration_ms = started.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
    let code = exit.code();
    if out.is_json() {
        let [stdout, stderr] = outlet.finish();
        let timed_out = ended.timed_out;
        let report = Report {
            environment: &name,
            execution_mode: mode,
            exit_code: code,
            timed_out,
            duration_ms,
            stdout,
            stderr,
        };
        out.json(&report).or_else(|error| unread(error, exit))?;
    } else {
        if ended.timed_out {
            out.note(format_args!(
                "the command was killed after {} s (--timeout-seconds)",
                timeout.as_secs()
            ));
        }
        out.note(format_args!(
            "[run] environment={name} execution_mode={mode} exit_code={code} duration_ms={duration_ms}"
        ));
    }
    Ok(exit)
}

/// Why a command has no result, with what the machine's end has to say.
fn session_error(running: &Running, error: &SessionError) -> UserError {
    match error {
        SessionError::Lost(_) => {
            UserError::new("machine_lost", format_args!("{error}: {}", running.last_words()))
                .hint("pyro doctor")
                .exit(Exit::NotRun)
        }
        SessionError::Failed(failure) => not_run(failure),
        SessionError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            UserError::output_closed()
        }
        _ => UserError::new("agent", error).hint("pyro doctor").exit(Exit::NotRun),
    }
}

/// The result of a command that has ended could not be written: its status is a result, too, if nobody
/// wants the rest.
pub fn unread(error: io::Error, exit: Exit) -> Result<(), UserError> {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Err(UserError::output_closed().exit(exit)),
        _ => Err(UserError::from(error).exit(Exit::NotRun)),
    }
}

/// How a command that ended ends us.
pub const fn exit_of(ended: &Ended) -> Exit {
    if ended.timed_out { Exit::TimedOut } else { Exit::Command(exit_code(ended)) }
}

/// The agent did not run the command: its own exit status, and a note that says why.
fn refused(out: Output, name: &str, mode: &str, failure: &Failure) -> Result<Exit, UserError> {
    let error = not_run(failure);
    let exit = error.exit;
    if out.is_json() {
        return Err(error);
    }
    out.error(&error);
    out.note(format_args!("[run] environment={name} execution_mode={mode} exit_code={}", exit.code()));
    Ok(exit)
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("expected NAME=VALUE".into()),
    }
}

/// An absolute path.
pub fn absolute(text: &str) -> Result<String, String> {
    if text.starts_with('/') { Ok(text.into()) } else { Err("expected an absolute path".into()) }
}
