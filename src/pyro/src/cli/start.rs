//! From a name typed by the user to a running machine.

use super::context::Context;
use super::error::CliError;
use super::progress::Shown;
use crate::catalog::Environment;
use pyro_oci::{Image, InUse, PullError, RegistryError, pull};
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
    let installed = home.store().find(environment.local()).map_err(|error| CliError::store(&error))?;
    let image = match installed {
        Some(image) => image,
        None => fetch(context, home, &environment)?,
    };
    Ok((image, held))
}

fn pull_hint(environment: &Environment, error: &PullError) -> &'static str {
    match error {
        PullError::Local(_) => {
            "pyro env list shows what is installed; pyro env import FILE installs an image"
        }
        PullError::Registry(RegistryError::NotFound { .. } | RegistryError::Unauthorized { .. }) => {
            "check the name and the login; pyro env list shows the official environments"
        }
        PullError::Registry(_) if environment.is_official() => {
            "where Docker Hub is out of reach, images/README.md says how to make it from Debian packages"
        }
        PullError::Registry(_) => "pyro doctor shows whether the registry can be reached",
        _ => {
            "the image itself is at fault: choose another tag or image; pyro env list shows the official ones"
        }
    }
}

/// Keeps `env prune` of any process from the store.
///
/// # Errors
/// When the state directory cannot be used.
pub fn hold(home: &Home) -> Result<InUse, CliError> {
    home.store().hold().map_err(|error| CliError::store(&error))
}

/// Pulls `environment`, whether or not it is installed.
///
/// # Errors
/// Whatever the registry and the store say.
pub fn fetch(context: &Context, home: &Home, environment: &Environment) -> Result<Image, CliError> {
    let shown = Shown::new(context.out);
    if !context.out.is_json() && environment.is_official() {
        context.out.note(format_args!("pulling {environment} from {}", environment.source()));
    }
    let pulled =
        pull(home.store(), environment.source(), environment.local(), &context.config.registry, &shown);
    pulled.map_err(|error| match error {
        PullError::Store(error) => CliError::store(&error),
        error => CliError::new("pull", &error).hint(pull_hint(environment, &error)),
    })
}

/// Starts a machine in a new workspace that goes with this process. `held` is what keeps the image
/// until the record of the workspace does.
///
/// # Errors
/// With the next step, if no machine could be started.
pub fn start(context: &Context, home: &Home, held: InUse, request: &Start<'_>) -> Result<Started, CliError> {
    reap(home);
    let explained = |error| explain(&error, request.allow_host_compat);
    let mut execution_mode = ExecutionMode::GuestVsock;
    if request.allow_host_compat && Verdict::load(home).is_some() {
        execution_mode = ExecutionMode::HostCompat;
    } else if request.allow_host_compat {
        match create(home, request, execution_mode).and_then(|created| boot(home, request, created)) {
            Err(Attempt::Start(error)) if error.is_of_the_host() => {
                let reason = error.to_string();
                if !context.out.is_json() {
                    context.out.note(format_args!("note: no microVM boots here: {reason}"));
                    context.out.note("note: going on in host-compat mode, as --allow-host-compat allows");
                }
                Verdict::no_microvm(reason).save(home);
                execution_mode = ExecutionMode::HostCompat;
            }
            other => return other.map_err(explained),
        }
    }
    let created = create(home, request, execution_mode).map_err(explained)?;
    drop(held);
    boot(home, request, created).map_err(explained)
}

/// Why one attempt failed.
enum Attempt {
    Workspace(pyro_workspace::WorkspaceError),
    Start(StartError),
}

fn create(
    home: &Home,
    request: &Start<'_>,
    execution_mode: ExecutionMode,
) -> Result<(Workspace, Duration), Attempt> {
    let spec = CreateSpec {
        delta: Vec::new(),
        resources: request.resources,
        execution_mode,
        ephemeral: true,
        ttl_seconds: request.ttl_seconds,
    };
    let clock = Instant::now();
    let workspace = Workspace::create(home, request.image, &spec).map_err(Attempt::Workspace)?;
    trace::reached("workspace made");
    Ok((workspace, clock.elapsed()))
}

fn boot(
    home: &Home,
    request: &Start<'_>,
    (workspace, created_in): (Workspace, Duration),
) -> Result<Started, Attempt> {
    let clock = Instant::now();
    let running = Running::start(home, request.image, workspace, request.until).map_err(Attempt::Start)?;
    Ok(Started { running, created_in, booted_in: clock.elapsed() })
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
