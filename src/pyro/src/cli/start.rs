//! From a name typed by the user to a running machine.

use super::context::Context;
use super::error::CliError;
use super::progress::Shown;
use crate::catalog::Environment;
use pyro_oci::{Image, pull};
use pyro_workspace::{
    CreateSpec, ExecutionMode, Home, Resources, Running, StartError, Until, Verdict, Workspace, reap, trace,
};
use std::time::{Duration, Instant};

/// A machine to start.
pub struct Start<'a> {
    /// Of this image.
    pub image: &'a Image,
    /// With so much.
    pub resources: Resources,
    /// For so long.
    pub ttl_seconds: u64,
    /// Unless this comes first.
    pub until: Until<'a>,
    /// Whether namespaces will do where no microVM boots.
    pub allow_host_compat: bool,
}

/// A machine that was started, and how long its two steps took.
pub struct Started {
    /// The machine.
    pub running: Running,
    /// Making the workspace.
    pub created_in: Duration,
    /// From there until the agent was ready.
    pub booted_in: Duration,
}

/// The environment that `name` names, pulled if it is not installed.
///
/// # Errors
/// A name that is not one, or an image that cannot be had.
pub fn environment(context: &Context, home: &Home, name: &str) -> Result<Image, CliError> {
    let environment = Environment::parse(name).map_err(|error| {
        CliError::new("environment", error).hint("pyro env list shows the official environments")
    })?;
    let installed = home.store().find(environment.local()).map_err(|error| CliError::new("store", error))?;
    match installed {
        Some(image) => Ok(image),
        None => fetch(context, home, &environment),
    }
}

/// Pulls `environment`, whether or not it is installed.
///
/// # Errors
/// Whatever the registry and the store say.
pub fn fetch(context: &Context, home: &Home, environment: &Environment) -> Result<Image, CliError> {
    let shown = Shown::new(context.out);
    if !context.out.is_json() {
        context.out.note(format_args!("pulling {environment} from {}", environment.source()));
    }
    let pulled =
        pull(home.store(), environment.source(), environment.local(), &context.config.registry, &shown);
    pulled.map_err(|error| {
        let hint = match environment.is_official() {
            true => {
                "where Docker Hub is out of reach, images/README.md says how to make it from Debian packages"
            }
            false => "pyro doctor shows whether the registry can be reached",
        };
        CliError::new("pull", error).hint(hint)
    })
}

/// Starts a machine in a new workspace that goes with this process.
///
/// # Errors
/// With the next step, if no machine could be started.
pub fn start(context: &Context, home: &Home, request: &Start<'_>) -> Result<Started, CliError> {
    reap(home);
    if !request.allow_host_compat {
        return attempt(home, request, ExecutionMode::GuestVsock).map_err(|error| explain(&error, false));
    }
    let verdict = Verdict::load(home);
    if verdict.is_none() {
        match attempt(home, request, ExecutionMode::GuestVsock) {
            Ok(started) => return Ok(started),
            Err(Attempt::Start(error)) if error.is_of_the_host() => {
                let reason = error.to_string();
                if !context.out.is_json() {
                    context.out.note(format_args!("note: no microVM boots here: {reason}"));
                    context.out.note("note: going on in host-compat mode, as --allow-host-compat allows");
                }
                Verdict::no_microvm(reason).save(home);
            }
            Err(error) => return Err(explain(&error, true)),
        }
    }
    attempt(home, request, ExecutionMode::HostCompat).map_err(|error| explain(&error, true))
}

/// Why one attempt failed.
enum Attempt {
    Workspace(pyro_workspace::WorkspaceError),
    Start(StartError),
}

fn attempt(home: &Home, request: &Start<'_>, execution_mode: ExecutionMode) -> Result<Started, Attempt> {
    let spec = CreateSpec {
        delta: Vec::new(),
        resources: request.resources,
        execution_mode,
        ephemeral: true,
        ttl_seconds: request.ttl_seconds,
    };
    let clock = Instant::now();
    let workspace = Workspace::create(home, request.image, &spec).map_err(Attempt::Workspace)?;
    let created_in = clock.elapsed();
    trace::reached("workspace made");
    let running = Running::start(home, request.image, workspace, request.until).map_err(Attempt::Start)?;
    Ok(Started { running, created_in, booted_in: clock.elapsed() - created_in })
}

fn explain(attempt: &Attempt, host_compat_allowed: bool) -> CliError {
    let error = match attempt {
        Attempt::Workspace(error) => return CliError::new("workspace", error).hint("pyro doctor"),
        Attempt::Start(error) => error,
    };
    let hint = match error {
        StartError::Firmware(_) => {
            "set PYRO_LIBKRUNFW to a libkrunfw.so.5, or put one into the state directory's lib/"
        }
        StartError::Cancelled => return CliError::new("interrupted", error),
        _ if error.is_of_the_host() && !host_compat_allowed => {
            "pyro doctor says what is missing; --allow-host-compat runs without a virtual machine"
        }
        _ => "pyro doctor",
    };
    CliError::new("start", error).hint(hint)
}
