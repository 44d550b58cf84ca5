//! From a name typed by the user to a running machine.

use crate::catalog::Environment;
use crate::config::{Config, Defaults};
use crate::error::UserError;
use crate::explain::{lifecycle_error, not_started, pull_error, seed_error, store_error, workspace_error};
use crate::recipe;
use pyro_oci::{Image, InUse, Progress, pull};
use pyro_workspace::{
    Booted, CreateSpec, Directory, ExecutionMode, Home, LifecycleError, NotStarted, Owner, Resources,
    Running, Seed, Seeded, State, Until, Verdict, Workspace, boot, claim, reap, trace,
};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::{Duration, Instant};

/// Virtual processors of a machine unless something else is said.
const VCPU_COUNT: u8 = 1;
/// Memory of a machine unless something else is said, MiB.
const MEM_MIB: u32 = 1024;
/// Size of a writable disk unless something else is said, MiB. It is sparse.
const DISK_MIB: u32 = 8192;
/// Seconds without activity after which a workspace goes, unless something else is said.
pub const TTL_SECONDS: u64 = 600;

/// Who hears what a start does on its way.
pub trait Listener: Progress {
    /// Takes a line for the user.
    fn note(&self, text: &dyn Display);
}

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

/// Resources of a machine: what is asked for, then the files of the project and the user, then the mode,
/// then the built-in defaults.
pub fn resources(asked: &recipe::Resources, files: &Defaults, mode: &recipe::Resources) -> Resources {
    Resources {
        vcpu_count: asked.vcpu_count.or(files.vcpu_count).or(mode.vcpu_count).unwrap_or(VCPU_COUNT),
        mem_mib: asked.mem_mib.or(files.mem_mib).or(mode.mem_mib).unwrap_or(MEM_MIB),
        disk_mib: asked.disk_mib.or(mode.disk_mib).unwrap_or(DISK_MIB),
    }
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
pub fn environment(
    config: &Config,
    listener: &impl Listener,
    home: &Home,
    name: &str,
) -> Result<(Image, InUse), UserError> {
    let environment = Environment::parse(name).map_err(|error| {
        UserError::new("environment", error).hint("pyro env list shows the official environments")
    })?;
    let held = hold(home)?;
    let installed = home.store().find(environment.local()).map_err(|error| store_error(&error))?;
    let image = match installed {
        Some(image) => image,
        None => fetch(config, listener, home, &environment)?,
    };
    Ok((image, held))
}

/// Keeps `env prune` of any process from the store.
///
/// # Errors
/// When the state directory cannot be used.
pub fn hold(home: &Home) -> Result<InUse, UserError> {
    home.store().hold().map_err(|error| store_error(&error))
}

/// Pulls `environment`, whether or not it is installed.
///
/// # Errors
/// Whatever the registry and the store say.
pub fn fetch(
    config: &Config,
    listener: &impl Listener,
    home: &Home,
    environment: &Environment,
) -> Result<Image, UserError> {
    if environment.is_official() {
        listener.note(&format_args!("pulling {environment} from {}", environment.source()));
    }
    pull(home.store(), environment.source(), environment.local(), &config.registry, listener)
        .map_err(|error| pull_error(environment, &error))
}

/// The layer of a seed. The caller holds the store.
///
/// # Errors
/// With the next step.
pub fn seed(home: &Home, image: &Image, seed: &Seed, until: Until<'_>) -> Result<Seeded, UserError> {
    let seeded = Owner::of(home, image).and_then(|owner| seed.layer(home, owner, until));
    seeded.map_err(|error| seed_error(&error))
}

/// Starts a machine in a new workspace that belongs to this process. `held` is what keeps the image
/// until the record of the workspace does.
///
/// # Errors
/// With the next step, if no machine could be started.
pub fn start_here(
    listener: &impl Listener,
    home: &Home,
    held: InUse,
    request: &Start<'_>,
) -> Result<Started<Running>, UserError> {
    start(listener, home, held, request, |workspace| {
        Running::start(home, request.image, workspace, request.until)
            .map_err(|error| NotStarted::from(&error))
    })
}

/// Starts a machine in a new workspace that outlives this process.
///
/// # Errors
/// With the next step, if no machine could be started; then there is no workspace.
pub fn start_kept(
    listener: &impl Listener,
    home: &Home,
    held: InUse,
    request: &Start<'_>,
) -> Result<Started<Booted>, UserError> {
    start(listener, home, held, request, |workspace| boot(home, workspace, request.until))
}

/// Takes over a stopped workspace, to start it; `None` if it runs already.
///
/// # Errors
/// With the next step, when it can be neither.
pub fn claim_stopped(directory: &Directory) -> Result<Option<Workspace>, UserError> {
    match claim(directory) {
        Err(LifecycleError::State { state: State::Started { .. }, .. }) => Ok(None),
        other => other.map(Some).map_err(|error| lifecycle_error(&error)),
    }
}

/// Starts the machine of a workspace that was stopped. It is again what it was made as: a microVM's disk
/// is none of namespaces.
///
/// # Errors
/// With the next step; then it is stopped as before.
pub fn start_again(home: &Home, stopped: Workspace, until: Until<'_>) -> Result<Booted, UserError> {
    stopped.directory().touch();
    boot(home, stopped, until).map_err(|error| not_started(&error, true))
}

fn start<T>(
    listener: &impl Listener,
    home: &Home,
    held: InUse,
    request: &Start<'_>,
    boot: impl Fn(Workspace) -> Result<T, NotStarted>,
) -> Result<Started<T>, UserError> {
    reap(home);
    let create = |execution_mode| {
        let spec = CreateSpec { execution_mode, ..request.spec.clone() };
        let clock = Instant::now();
        let workspace =
            Workspace::create(home, request.image, &spec).map_err(|error| workspace_error(&error))?;
        trace::reached("workspace made");
        Ok::<_, UserError>((workspace, clock.elapsed()))
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
                listener.note(&format_args!("note: no microVM boots here: {reason}"));
                listener.note(&"note: going on in host-compat mode, as --allow-host-compat allows");
                Verdict::no_microvm(reason).save(home);
                execution_mode = ExecutionMode::HostCompat;
            }
            other => return other.map_err(|error| not_started(&error, true)),
        }
    }
    let created = create(execution_mode)?;
    drop(held);
    boot(created).map_err(|error| not_started(&error, request.allow_host_compat))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_the_first_size_that_somebody_says() {
        let asked = recipe::Resources { disk_mib: Some(2048), ..recipe::Resources::default() };
        let files = Defaults { vcpu_count: Some(2), ..Defaults::default() };
        let mode = recipe::Resources {
            vcpu_count: Some(3),
            mem_mib: Some(512),
            disk_mib: Some(4096),
            ttl_seconds: None,
        };
        let said = Resources { vcpu_count: 2, mem_mib: 512, disk_mib: 2048 };
        assert_eq!(resources(&asked, &files, &mode), said);
        let nobody = recipe::Resources::default();
        let own = Resources { vcpu_count: VCPU_COUNT, mem_mib: MEM_MIB, disk_mib: DISK_MIB };
        assert_eq!(resources(&nobody, &Defaults::default(), &nobody), own);
    }
}
