//! `pyro workspace exec`.

use super::super::context::Context;
use super::super::run::{absolute, exit_of, unread};
use super::super::streams::{Kept, Outlet, Wanted, connect, milliseconds, words};
use super::super::terminal::window;
use super::Addressed;
use super::subject::Subject;
use crate::error::UserError;
use crate::exit::Exit;
use crate::explain::{STATE, full, gone, lifecycle_error, not_run};
use pyro_workspace::{
    Cancel, Command, CommandError, Directory, Exec, Home, Record, SessionError, detach, image, running,
    variables,
};
use serde::Serialize;
use serde_json::json;
use std::io;
use std::time::{Duration, Instant};

/// Where commands run, and where the user's files are.
const WORKSPACE: &str = "/workspace";

/// Arguments of `pyro workspace exec`.
#[derive(Debug, clap::Args)]
pub struct ExecArgs {
    #[command(flatten)]
    workspace: Addressed,
    /// Kill the command after so many seconds [default: 30]
    #[arg(long, env = "PYRO_TIMEOUT_SECONDS", value_name = "S", value_parser = clap::value_parser!(u64).range(1..=604_800))]
    timeout_seconds: Option<u64>,
    /// Directory to run in, made if it is missing
    #[arg(long, value_name = "DIR", default_value = WORKSPACE, value_parser = absolute)]
    cwd: String,
    #[command(flatten)]
    wanted: Wanted,
    /// Return at once; the command goes on, and `pyro workspace logs` waits for it
    #[arg(long, conflicts_with_all = ["interactive", "tty"])]
    detach: bool,
    /// The command
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<std::ffi::OsString>,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    workspace_id: &'a str,
    sequence: u64,
    execution_mode: &'static str,
    exit_code: u8,
    timed_out: bool,
    duration_ms: u64,
    stdout: Kept,
    stderr: Kept,
}

/// Runs a command.
pub fn run(context: &Context, args: ExecArgs) -> Result<Exit, UserError> {
    let failed = |error: UserError| error.exit(Exit::NotRun);
    let timeout = args.timeout_seconds.or(context.config.defaults.timeout_seconds).unwrap_or(30);
    let timeout = Duration::from_secs(timeout);
    let home = context.home().map_err(failed)?;
    let directory = args.workspace.find(&home).map_err(failed)?;
    let record = running(&directory).map_err(|error| failed(lifecycle_error(&error)))?;
    let exec = prepare(&home, &record, args.command, args.cwd, args.wanted, timeout).map_err(failed)?;
    if args.detach {
        send(context, &directory, &record, exec)
    } else {
        wait(context, &directory, &record, exec, args.wanted)
    }
}

fn prepare(
    home: &Home,
    record: &Record,
    command: Vec<std::ffi::OsString>,
    cwd: String,
    wanted: Wanted,
    timeout: Duration,
) -> Result<Exec, UserError> {
    let config =
        image(home, record).map_err(|error| UserError::new("store", error).hint("pyro doctor"))?.config;
    Ok(Exec {
        argv: words(command),
        env: variables(&config, &[], wanted.tty),
        cwd: cwd.into_bytes().into(),
        create_cwd: true,
        user: config.user,
        stdin: wanted.interactive,
        tty: wanted.tty.then(window),
        timeout_ms: milliseconds(timeout),
    })
}

/// Has the supervisor run it.
fn send(context: &Context, directory: &Directory, record: &Record, exec: Exec) -> Result<Exit, UserError> {
    let began = Instant::now();
    let sent = detach(directory, exec).map_err(|error| match lifecycle_error(&error) {
        error @ UserError { exit: Exit::Command(_), .. } => error,
        error => error.exit(Exit::NotRun),
    })?;
    let (id, sequence) = (directory.id().as_str(), sent.sequence());
    let subject = Subject::new(record, began);
    let report = subject.report(json!({ "sequence": sequence, "state": "running" }));
    context.out.result(&report, || format!("{id} #{sequence}\n"))?;
    if !context.out.is_json() {
        context
            .out
            .note(format_args!("wait for it: pyro workspace logs {id} --sequence {sequence} --follow"));
    }
    subject.sum_up(context, "exec", format_args!("sequence={sequence} state=running"));
    Ok(Exit::Done)
}

/// Runs it in front.
fn wait(
    context: &Context,
    directory: &Directory,
    record: &Record,
    exec: Exec,
    wanted: Wanted,
) -> Result<Exit, UserError> {
    let out = context.out;
    let clock = Instant::now();
    let timeout = exec.timeout_ms;
    let mode = record.execution_mode.as_str();
    let cancel = Cancel::new()?;
    let armed = context.until_signal(&cancel)?;
    let command = Command::start(directory, record.generation, exec).map_err(|error| match error {
        CommandError::Session(error) => lost(directory, &error),
        CommandError::Journal(_) if full(&error, STATE).is_some() => {
            UserError::new("disk_full", error).exit(Exit::NotRun).hint(STATE)
        }
        CommandError::Journal(_) => UserError::new("journal", error).exit(Exit::NotRun).hint("pyro doctor"),
    })?;
    let sequence = command.sequence();
    let terminal = connect(out, wanted, &context.signals, || command.input())?;
    let mut outlet = Outlet::new(out);
    let ended = command.wait(&cancel, |stream, bytes| outlet.take(stream, bytes));
    drop(terminal);
    drop(armed);
    directory.touch();
    let id = directory.id();
    let summary = |exit: Exit| {
        if !out.is_json() {
            out.note(format_args!(
                "[workspace exec] id={id} sequence={sequence} execution_mode={mode} exit_code={} duration_ms={}",
                exit.code(),
                clock.elapsed().as_millis()
            ));
        }
    };
    let ended = match ended {
        Ok(ended) => ended,
        Err(SessionError::Failed(failure)) if !out.is_json() => {
            let exit = out.error(&not_run(&failure));
            summary(exit);
            return Ok(exit);
        }
        Err(SessionError::Failed(failure)) => return Err(not_run(&failure)),
        Err(error) => return Err(context.interrupted(lost(directory, &error))),
    };
    let exit = exit_of(&ended);
    if out.is_json() {
        let [stdout, stderr] = outlet.finish();
        let duration_ms = clock.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
        let report = Report {
            workspace_id: id.as_str(),
            sequence,
            execution_mode: mode,
            exit_code: exit.code(),
            timed_out: ended.timed_out,
            duration_ms,
            stdout,
            stderr,
        };
        out.json(&report).or_else(|error| unread(error, exit))?;
    } else if ended.timed_out {
        let seconds = timeout.unwrap_or_default() / 1000;
        out.note(format_args!("the command was killed after {seconds} s (--timeout-seconds)"));
    }
    summary(exit);
    Ok(exit)
}

/// Why a command has no result, with what has become of its workspace.
fn lost(directory: &Directory, error: &SessionError) -> UserError {
    if let SessionError::Output(error) = error
        && error.kind() == io::ErrorKind::BrokenPipe
    {
        return UserError::output_closed();
    }
    match error {
        SessionError::Failed(failure) => not_run(failure),
        SessionError::Lost(_) | SessionError::Connect(_) => gone(directory, error).exit(Exit::NotRun),
        _ => UserError::new("agent", error).exit(Exit::NotRun).hint("pyro doctor"),
    }
}
