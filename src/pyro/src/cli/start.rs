//! From a name typed by the user to a running machine.

use super::context::Context;
use super::error::CliError;
use super::progress::Shown;
use crate::catalog::Environment;
use pyro_oci::{Image, InUse, pull};
use pyro_workspace::{
    Booted, Cause, CreateSpec, ExecutionMode, Home, NotStarted, Resources, Running, Until, Verdict,
    Workspace, WorkspaceError, boot, reap, trace,
};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A machine to start.
pub struct Start<'a> {
    /// Of this image.
    pub image: &'a Image,
    /// In this workspace, whatever kind of machine it says.
    pub spec: CreateSpec,
    /// Unless this comes first.
    pub until: Until<'a>,
    /// Whether namespaces will do where no microVM boots.
    pub allow_host_compat: bool,
}

/// A machine that was started, and how long its two steps took.
pub struct Started<T> {
    /// The machine.
    pub machine: T,
    /// Making the workspace.
    pub created_in: Duration,
    /// From there until the agent was ready.
    pub booted_in: Duration,
}

/// A workspace that goes with this process.
pub fn ephemeral(resources: Resources, ttl_seconds: u64) -> CreateSpec {
    CreateSpec {
        name: None,
        labels: BTreeMap::new(),
        resources,
        execution_mode: ExecutionMode::GuestVsock,
        seed: None,
        layers: Vec::new(),
        ephemeral: true,
        ttl_seconds,
    }
}

/// The environment that `name` names, pulled if it is not installed; nothing of it is removed while
/// the second value lives.
///
/// # Errors
/// A name that is not one, or an image that cannot be had.
pub fn environment(context: &Context, home: &Home, name: &str) -> Result<(Image, InUse), CliError> {
    let environment = Environment::parse(name).map_err(|error| {
        CliError::new("environment", error).hint("pyro env list shows the official environments")
    })?;
    let held = hold(home)?;
    let installed = home.store().find(environment.local()).map_err(|error| CliError::new("store", error))?;
    let image = match installed {
        Some(image) => image,
        None => fetch(context, home, &environment)?,
    };
    Ok((image, held))
}

/// Keeps `env prune` of any process from the store.
///
/// # Errors
/// When the state directory cannot be used.
pub fn hold(home: &Home) -> Result<InUse, CliError> {
    home.store().hold().map_err(|error| CliError::new("store", error))
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

/// Starts a machine in a new workspace that belongs to this process. `held` is what keeps the image
/// until the record of the workspace does.
///
/// # Errors
/// With the next step, if no machine could be started.
pub fn start_here(
    context: &Context,
    home: &Home,
    held: InUse,
    request: &Start<'_>,
) -> Result<Started<Running>, CliError> {
    start(context, home, held, request, |workspace| {
        Running::start(home, request.image, workspace, request.until)
            .map_err(|error| NotStarted::from(&error))
    })
}

/// Starts a machine in a new workspace that outlives this process.
///
/// # Errors
/// With the next step, if no machine could be started; then there is no workspace.
pub fn start_kept(
    context: &Context,
    home: &Home,
    held: InUse,
    request: &Start<'_>,
) -> Result<Started<Booted>, CliError> {
    start(context, home, held, request, |workspace| boot(home, workspace, request.until))
}

fn start<T>(
    context: &Context,
    home: &Home,
    held: InUse,
    request: &Start<'_>,
    boot: impl Fn(Workspace) -> Result<T, NotStarted>,
) -> Result<Started<T>, CliError> {
    reap(home);
    let create = |execution_mode| {
        let spec = CreateSpec { execution_mode, ..request.spec.clone() };
        let clock = Instant::now();
        let workspace =
            Workspace::create(home, request.image, &spec).map_err(|error| workspace_error(&error))?;
        trace::reached("workspace made");
        Ok::<_, CliError>((workspace, clock.elapsed()))
    };
    let boot = |(workspace, created_in)| {
        let clock = Instant::now();
        let machine = boot(workspace)?;
        Ok::<_, NotStarted>(Started { machine, created_in, booted_in: clock.elapsed() })
    };
    let mut execution_mode = ExecutionMode::GuestVsock;
    if request.allow_host_compat && Verdict::load(home).is_some() {
        execution_mode = ExecutionMode::HostCompat;
    } else if request.allow_host_compat {
        match boot(create(execution_mode)?) {
            Err(error) if error.is_of_the_host() => {
                let reason = error.message;
                if !context.out.is_json() {
                    context.out.note(format_args!("note: no microVM boots here: {reason}"));
                    context.out.note("note: going on in host-compat mode, as --allow-host-compat allows");
                }
                Verdict::no_microvm(reason).save(home);
                execution_mode = ExecutionMode::HostCompat;
            }
            other => return other.map_err(|error| explain(&error, true)),
        }
    }
    let created = create(execution_mode)?;
    drop(held);
    boot(created).map_err(|error| explain(&error, request.allow_host_compat))
}

/// Why there is no machine, with the next step.
pub fn explain(error: &NotStarted, host_compat_allowed: bool) -> CliError {
    let hint = match error.cause {
        Cause::Firmware => {
            "set PYRO_LIBKRUNFW to a libkrunfw.so.5, or put one into the state directory's lib/"
        }
        Cause::Cancelled => return CliError::new("interrupted", error),
        Cause::Host if !host_compat_allowed => {
            "pyro doctor says what is missing; --allow-host-compat runs without a virtual machine"
        }
        _ => "pyro doctor",
    };
    CliError::new("start", error).hint(hint)
}

/// What went wrong with a workspace's directory, with the next step.
pub fn workspace_error(error: &WorkspaceError) -> CliError {
    match error {
        WorkspaceError::NameTaken { id, .. } => CliError::new("name_taken", error)
            .hint(format!("choose another --name, or: pyro workspace delete {id}")),
        WorkspaceError::Busy(_) => CliError::new("busy", error).hint("try again when that process is done"),
        WorkspaceError::Gone(_) => CliError::new("not_found", error).hint("pyro workspace list"),
        _ => CliError::new("workspace", error).hint("pyro doctor"),
    }
}
