//! `pyro run`: one command in a fresh machine, then everything is gone.

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::output::Output;
use super::signals::{Armed, Signals};
use super::start::{Start, environment, start};
use super::terminal::{RawTerminal, window};
use crate::config::{MEM_MIB_MAX, MEM_MIB_MIN, SECONDS_MAX, VCPUS_MAX};
use pyro_oci::Image;
use pyro_workspace::{
    Bytes, Cancel, Ended, Exec, Failure, FailureKind, Resources, Running, Session, SessionError, Status,
    Stream, Until, trace,
};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::time::{Duration, Instant};

/// Most output of each stream that `--json` keeps; the rest is counted.
const KEPT_MAX: usize = 8 << 20;

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
    /// Pass standard input to the command
    #[arg(short, long)]
    interactive: bool,
    /// Give the command a terminal
    #[arg(short, long, conflicts_with = "json")]
    tty: bool,
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

/// Size of the writable disk of `pyro run`, MiB. It is sparse, and goes with the machine.
const DISK_MIB: u32 = 8192;

impl MachineArgs {
    /// The resources of a machine: flags, then files, then the built-in defaults.
    pub fn resources(&self, context: &Context) -> Result<Resources, CliError> {
        if self.network {
            let text = "this version has no network in machines: commands run offline";
            return Err(CliError::new("unsupported", text).exit(Exit::Usage).hint("leave --network out"));
        }
        let defaults = &context.config.defaults;
        Ok(Resources {
            vcpu_count: self.vcpu_count.or(defaults.vcpu_count).unwrap_or(1),
            mem_mib: self.mem_mib.or(defaults.mem_mib).unwrap_or(1024),
            disk_mib: DISK_MIB,
        })
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

/// The beginning of a stream.
#[derive(Serialize)]
struct Kept {
    text: String,
    bytes: u64,
    truncated: bool,
    #[serde(skip)]
    raw: Vec<u8>,
}

/// Runs `pyro run`.
pub fn run(context: &Context, args: RunArgs) -> Result<Exit, CliError> {
    let out = context.out;
    let started = Instant::now();
    let resources = args.machine.resources(context)?;
    let defaults = &context.config.defaults;
    let timeout = Duration::from_secs(args.timeout_seconds.or(defaults.timeout_seconds).unwrap_or(30));
    let ttl = args.ttl_seconds.or(defaults.ttl_seconds).unwrap_or(600);
    let failed = |error: CliError| error.exit(Exit::NotRun);

    let home = context.home().map_err(failed)?;
    let name = args.environment;
    let (image, held) = environment(context, &home, &name).map_err(failed)?;
    trace::reached("image found");
    let cancel = Cancel::new()?;
    let armed = until_signal(context, &cancel);
    let until = Until { deadline: Some(started + Duration::from_secs(ttl)), cancel: &cancel };

    let allow_host_compat = args.machine.allow_host_compat;
    let request = Start { image: &image, resources, ttl_seconds: ttl, until, allow_host_compat };
    let machine = start(context, &home, held, &request);
    let running = machine.map_err(|error| interrupted(context, failed(error)))?.running;
    let mode = running.execution_mode().as_str();

    let exec = Exec {
        argv: args.command.into_iter().map(|word| word.into_vec().into()).collect(),
        env: variables(&image, &args.env, args.tty),
        cwd: args.workdir.unwrap_or_else(|| image.config.working_dir.clone()).into_bytes().into(),
        create_cwd: true,
        user: image.config.user.clone(),
        stdin: args.interactive,
        tty: args.tty.then(window),
        timeout_ms: Some(timeout.as_millis().try_into().unwrap_or(u64::MAX)),
    };
    let session = running.exec(exec).map_err(|error| failed(session_error(&running, &error)))?;
    let terminal = connect(&session, &context.signals, args.interactive, args.tty)?;
    let mut kept = [Kept::new(), Kept::new()];
    let patience = Some((Instant::now() + timeout + GRACE).min(started + Duration::from_secs(ttl)));
    let ended = session.wait(Until { deadline: patience, ..until }, |stream, bytes| match stream {
        _ if out.is_json() => {
            kept[stream as usize].push(bytes);
            Ok(())
        }
        Stream::Stdout => out.content(bytes),
        Stream::Stderr => out.content_err(bytes),
    });
    drop(terminal);
    let ended = match ended {
        Ok(ended) => ended,
        Err(SessionError::Failed(failure)) => return refused(out, &name, mode, &failure),
        Err(error) => return Err(interrupted(context, failed(session_error(&running, &error)))),
    };
    trace::reached("command ended");
    // Nothing in the machine is worth a word of goodbye: it is killed and its disk removed.
    running.discard().map_err(|error| failed(CliError::new("cleanup", error)))?;
    drop(armed);
    trace::reached("all gone");

    let exit = exit_of(&ended);
    let duration_ms = started.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
    let code = exit.code();
    if out.is_json() {
        let [stdout, stderr] = kept.map(Kept::finish);
        let timed_out = ended.timed_out;
        out.json(&Report {
            environment: &name,
            execution_mode: mode,
            exit_code: code,
            timed_out,
            duration_ms,
            stdout,
            stderr,
        })?;
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

/// Until `cancel`, or a terminating signal, which then cancels instead of ending the process.
pub fn until_signal(context: &Context, cancel: &Cancel) -> Armed {
    let cancel = cancel.clone();
    context.signals.arm(move || cancel.cancel())
}

/// The same error, unless it is the consequence of a signal.
fn interrupted(context: &Context, error: CliError) -> CliError {
    match context.signals.caught() {
        Some(signal) => {
            CliError::new("interrupted", "interrupted; the machine is gone").exit(Exit::Interrupted(signal))
        }
        None => error,
    }
}

/// Why a command has no result, with what the machine's end has to say.
fn session_error(running: &Running, error: &SessionError) -> CliError {
    match error {
        SessionError::Lost(_) => {
            CliError::new("machine_lost", format_args!("{error}: {}", running.last_words()))
                .hint("pyro doctor")
        }
        SessionError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            CliError::new("output_closed", "the output was closed")
        }
        _ => CliError::new("agent", error).hint("pyro doctor"),
    }
}

/// The agent did not run the command: its own exit status, and a note that says why.
fn refused(out: Output, name: &str, mode: &str, failure: &Failure) -> Result<Exit, CliError> {
    let exit = match failure.kind {
        FailureKind::NotFound => Exit::Command(127),
        FailureKind::NotExecutable => Exit::Command(126),
        FailureKind::Invalid | FailureKind::Internal => Exit::NotRun,
    };
    let code = match failure.kind {
        FailureKind::NotFound => "command_not_found",
        FailureKind::NotExecutable => "command_not_executable",
        FailureKind::Invalid => "invalid_command",
        FailureKind::Internal => "agent",
    };
    let error = CliError::new(code, &failure.message).exit(exit);
    if out.is_json() {
        return Err(error);
    }
    error.report(out);
    out.note(format_args!("[run] environment={name} execution_mode={mode} exit_code={}", exit.code()));
    Ok(exit)
}

fn exit_of(ended: &Ended) -> Exit {
    match ended.status {
        _ if ended.timed_out => Exit::TimedOut,
        Status::Exited(code) => Exit::Command(code),
        Status::Signaled(signal) => Exit::Command(128_u8.saturating_add(signal)),
    }
}

/// Connects our standard input, terminal and signals to the command's, as far as they were asked for.
fn connect(
    session: &Session,
    signals: &Signals,
    interactive: bool,
    tty: bool,
) -> Result<Option<RawTerminal>, CliError> {
    let unreachable = |error: SessionError| CliError::new("agent", error).exit(Exit::NotRun);
    if interactive {
        let input = session.input().map_err(unreachable)?;
        // Never joined: it may be inside a read of a terminal that nobody types at.
        std::thread::spawn(move || input.copy(io::stdin()));
    }
    if !tty {
        return Ok(None);
    }
    let input = session.input().map_err(unreachable)?;
    signals.on_resize(move || input.resize(window()));
    Ok(if interactive { RawTerminal::enter() } else { None })
}

/// The command's environment: the image's, then the user's, over what no program should miss.
pub fn variables(image: &Image, user: &[(String, String)], tty: bool) -> Vec<(Bytes, Bytes)> {
    const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let mut variables = BTreeMap::from([("PATH", PATH)]);
    if tty {
        variables.insert("TERM", "xterm-256color");
    }
    variables.extend(image.config.env.iter().filter_map(|line| line.split_once('=')));
    variables.extend(user.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let bytes = |text: &str| Bytes::from(text.as_bytes());
    variables.into_iter().map(|(name, value)| (bytes(name), bytes(value))).collect()
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("expected NAME=VALUE".into()),
    }
}

fn absolute(text: &str) -> Result<String, String> {
    if text.starts_with('/') { Ok(text.into()) } else { Err("expected an absolute path".into()) }
}

impl Kept {
    const fn new() -> Self {
        Self { text: String::new(), bytes: 0, truncated: false, raw: Vec::new() }
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = KEPT_MAX - self.raw.len();
        self.raw.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.bytes += bytes.len() as u64;
    }

    fn finish(mut self) -> Self {
        self.truncated = self.bytes > self.raw.len() as u64;
        self.text = String::from_utf8_lossy(&self.raw).into_owned();
        self
    }
}
