//! A running machine: started for a workspace, ready when its agent says so.

use crate::agent::Agent;
use crate::directory::WorkspaceError;
use crate::full::is_full;
use crate::home::Home;
use crate::program::{self, ProgramError};
use crate::record::{ExecutionMode, State};
use crate::session::{Patient, Session, SessionError, listen};
use crate::trace;
use crate::until::{Cancel, Until, Woken};
use crate::workspace::Workspace;
use pyro_machine::firmware::{self, FirmwareError};
use pyro_machine::launch::{self, LaunchError, Machine};
use pyro_machine::report::{Confinement, End, Reason};
use pyro_machine::spec::{AGENT_SOCKET, Disk, DiskFormat, MicroVm, Namespaces, Purpose, READY_SOCKET, Spec};
use pyro_oci::{DiskError, Image, LayerDisk, StoreError, UnpackError};
use pyro_protocol::frame::{self, FrameError};
use pyro_protocol::{BUILD_ID, Exec, Ready, Step};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a guest may take to say that it is ready. Generous: an emulated processor needs a
/// hundred times as long as a real one, and a guest that cannot start at all is noticed much sooner.
pub const BOOT_MAX: Duration = Duration::from_secs(60);

/// How long a machine may take to write out everything. A disk may be slow and memory large.
const FLUSH_MAX: Duration = Duration::from_secs(60);

/// Host name in a machine.
const HOSTNAME: &str = "pyro";

/// Why a machine did not come up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The agent's program.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The store of images.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The image's disk.
    #[error("the image's disk cannot be made: {0}")]
    Disk(#[from] DiskError),
    /// The image's files.
    #[error("the image cannot be unpacked: {0}")]
    Tree(#[from] UnpackError),
    /// The guest kernel.
    #[error(transparent)]
    Firmware(#[from] FirmwareError),
    /// The machine's process, or the machine itself.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The workspace's directory.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// A socket or a wait.
    #[error("waiting for the machine: {0}")]
    Wait(#[from] io::Error),
    /// The machine ended before its agent was ready.
    #[error("the machine ended before it was ready: {end}{}", console_tail(console))]
    Died {
        /// Its end.
        end: End,
        /// The last lines of its console.
        console: Vec<String>,
    },
    /// The agent could not make the root.
    #[error("the workspace's root could not be made: {problem}{}", console_tail(console))]
    Root {
        /// What the agent says.
        problem: String,
        /// The last lines of its console.
        console: Vec<String>,
    },
    /// The agent said nothing in time.
    #[error("the machine did not get ready within {} s{}", limit.as_secs(), console_tail(console))]
    Timeout {
        /// The limit.
        limit: Duration,
        /// The last lines of its console.
        console: Vec<String>,
    },
    /// The agent's first word is not one.
    #[error("the workspace's agent does not speak our protocol: {0}")]
    Protocol(#[source] FrameError),
    /// The agent is of another build.
    #[error("the workspace's agent is of build {found:?}, this pyro of {BUILD_ID:?}")]
    Build {
        /// The agent's.
        found: String,
    },
    /// The user had enough.
    #[error("interrupted")]
    Cancelled,
}

impl StartError {
    /// Whether it is this host that runs no microVM, and not this image or workspace: then a
    /// machine of namespaces may do instead, where the user allows it.
    #[must_use]
    pub const fn is_of_the_host(&self) -> bool {
        match self {
            Self::Firmware(_) | Self::Launch(_) | Self::Timeout { .. } => true,
            Self::Died { end, .. } => {
                !matches!(end.reason, Reason::Guest | Reason::Panic(_) | Reason::Killed)
            }
            _ => false,
        }
    }
}

/// Why a machine did not come up, told from one process to another.
#[derive(Clone, Debug, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct NotStarted {
    /// In words.
    pub message: String,
    /// Where to look.
    pub cause: Cause,
}

/// Where the cause of a [`NotStarted`] lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// There is no guest kernel.
    Firmware,
    /// This host runs no microVM: see [`StartError::is_of_the_host`].
    Host,
    /// This workspace or its image.
    Workspace,
    /// The disk of the state directory is full.
    DiskFull,
    /// Its supervisor went away.
    Vanished,
    /// The user had enough.
    Cancelled,
}

impl From<&StartError> for NotStarted {
    fn from(error: &StartError) -> Self {
        let cause = match error {
            StartError::Firmware(_) => Cause::Firmware,
            StartError::Cancelled => Cause::Cancelled,
            // Not the host's fault, whatever it kept from being made.
            _ if is_full(error) => Cause::DiskFull,
            _ if error.is_of_the_host() => Cause::Host,
            _ => Cause::Workspace,
        };
        Self { message: error.to_string(), cause }
    }
}

impl NotStarted {
    /// Because of something in this workspace.
    pub(crate) fn here(error: &(dyn Error + 'static)) -> Self {
        let cause = if is_full(error) { Cause::DiskFull } else { Cause::Workspace };
        Self { message: error.to_string(), cause }
    }

    /// Because the user had enough.
    pub(crate) fn cancelled() -> Self {
        Self { message: "interrupted".into(), cause: Cause::Cancelled }
    }

    /// Because its supervisor went away.
    pub(crate) fn vanished(error: &dyn std::fmt::Display) -> Self {
        Self { message: format!("the workspace's supervisor went away: {error}"), cause: Cause::Vanished }
    }

    /// With the last words of a supervisor that went away.
    pub(crate) fn or_last_words(mut self, words: impl FnOnce() -> Vec<String>) -> Self {
        if self.cause == Cause::Vanished {
            words().iter().for_each(|line| self.message += &format!("\n  {line}"));
        }
        self
    }

    /// Whether a machine of namespaces may do instead, where the user allows it.
    #[must_use]
    pub const fn is_of_the_host(&self) -> bool {
        matches!(self.cause, Cause::Firmware | Cause::Host)
    }
}

/// Console lines as part of a message.
fn console_tail(lines: &[String]) -> String {
    if lines.is_empty() {
        return "; its console is empty".into();
    }
    lines.iter().fold("; the last lines of its console:".into(), |text: String, line| text + "\n  " + line)
}

/// A workspace with its running machine. Dropping it kills the machine, then lets go of the
/// workspace, which removes it if it is ephemeral.
#[derive(Debug)]
pub struct Running {
    // In this order: the machine must be gone before its files are.
    machine: Machine,
    workspace: Workspace,
    steps: Vec<Step>,
}

impl Running {
    /// Starts the machine of `workspace` and waits for its agent.
    ///
    /// # Errors
    /// [`StartError`]; then nothing runs, and the workspace is gone if it is ephemeral.
    pub fn start(
        home: &Home,
        image: &Image,
        workspace: Workspace,
        until: Until<'_>,
    ) -> Result<Self, StartError> {
        let (machine, steps) = launch_machine(home, image, &workspace, Purpose::Work, until)?;
        Ok(Self { machine, workspace, steps })
    }

    /// How it runs.
    #[must_use]
    pub const fn execution_mode(&self) -> ExecutionMode {
        self.workspace.record().execution_mode
    }

    /// The workspace.
    #[must_use]
    pub const fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// What the agent did until it was ready.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The machine.
    #[must_use]
    pub const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Sends a command to the agent.
    ///
    /// # Errors
    /// [`SessionError::Connect`].
    pub fn exec(&self, exec: Exec) -> Result<Session, SessionError> {
        Session::start(&self.workspace.directory().run_dir(), AGENT_SOCKET, exec)
    }

    /// Its agent, for everything that is no command.
    #[must_use]
    pub fn agent(&self) -> Agent {
        Agent::at(&self.workspace.directory().run_dir())
    }

    /// Kills the machine and deletes the workspace.
    ///
    /// # Errors
    /// [`WorkspaceError`] when something of it could not be removed.
    pub fn discard(self) -> Result<(), WorkspaceError> {
        drop(self.machine);
        self.workspace.delete()
    }

    /// Kills the machine, and keeps the workspace in `state`.
    ///
    /// # Errors
    /// [`WorkspaceError`] when that cannot be recorded.
    pub(crate) fn stop(self, state: State) -> Result<(), WorkspaceError> {
        let Self { machine, mut workspace, .. } = self;
        drop(machine);
        workspace.change(|record| record.state = state)?;
        workspace.clear_run_dir()?;
        drop(workspace.release());
        Ok(())
    }

    /// Records the state of the machine.
    pub(crate) fn settle(&mut self, state: State) -> Result<(), WorkspaceError> {
        self.workspace.change(|record| record.state = state)
    }

    /// Ends the machine when all that was written in it is on its disk and nobody writes any more.
    ///
    /// # Errors
    /// In words, when that could not be had; the machine has ended all the same.
    pub(crate) fn halt(&self) -> Result<(), String> {
        let halt = || {
            let cancel = Cancel::new().map_err(|error| error.to_string())?;
            let until = Until { deadline: Some(Instant::now() + FLUSH_MAX), cancel: &cancel };
            let agent = Agent::at(&self.workspace.directory().run_dir());
            let frozen = agent.freeze(until).map_err(|error| error.to_string())?;
            // While it is frozen: what is written from now on would be lost.
            self.machine.kill();
            drop(frozen);
            Ok(())
        };
        halt().inspect_err(|_: &String| {
            self.machine.kill();
        })
    }

    /// How the machine ended, and the last lines of its console.
    #[must_use]
    pub fn last_words(&self) -> String {
        format!("{}{}", self.machine.end(), console_tail(&self.console()))
    }

    fn console(&self) -> Vec<String> {
        launch::console_tail(&self.workspace.directory().console())
    }
}

/// Starts a machine on what `workspace` has, and waits for its agent.
pub(crate) fn launch_machine(
    home: &Home,
    image: &Image,
    workspace: &Workspace,
    purpose: Purpose,
    until: Until<'_>,
) -> Result<(Machine, Vec<Step>), StartError> {
    workspace.clear_run_dir()?;
    let listener = listen(&workspace.directory().run_dir(), READY_SOCKET)?;
    let spec = spec(home, image, workspace, purpose)?;
    trace::reached("layers joined");
    // The workspace is not free before its machine is gone, even if we are killed.
    let machine = launch::launch(&launch::program()?, &spec, Some(workspace.share_lock()?.into()))?;
    let boot = Instant::now() + BOOT_MAX;
    let until = Until { deadline: Some(until.deadline.map_or(boot, |at| at.min(boot))), ..until };
    let ready = await_ready(&machine, &workspace.directory().console(), &listener, until);
    machine.stages().iter().for_each(trace::stage);
    let steps = ready?.steps;
    steps.iter().for_each(trace::step);
    trace::reached("ready");
    Ok((machine, steps))
}

/// Waits for the agent's first word on `listener`.
fn await_ready(
    machine: &Machine,
    console: &Path,
    listener: &UnixListener,
    until: Until<'_>,
) -> Result<Ready, StartError> {
    let tail = || launch::console_tail(console);
    let died = || StartError::Died { end: machine.end(), console: tail() };
    let late = |woken| match woken {
        Woken::Cancelled => StartError::Cancelled,
        _ => StartError::Timeout { limit: BOOT_MAX, console: tail() },
    };
    let stream = match until.readable(&[listener.as_fd(), machine.as_fd()])? {
        Woken::Readable(0) => listener.accept()?.0,
        Woken::Readable(_) => return Err(died()),
        other => return Err(late(other)),
    };
    let mut reader = Patient { stream: &stream, until, silence: None, ended: None };
    let ready: Ready = frame::read(&mut reader).map_err(|error| match (reader.ended, error) {
        (Some(woken), _) => late(woken),
        (None, FrameError::Closed | FrameError::Io(_)) => died(),
        (None, error) => StartError::Protocol(error),
    })?;
    if ready.build != BUILD_ID {
        return Err(StartError::Build { found: ready.build.chars().take(80).collect() });
    }
    match ready.problem {
        None => Ok(ready),
        Some(problem) => {
            Err(StartError::Root { problem: problem.chars().take(2000).collect(), console: tail() })
        }
    }
}

fn spec(home: &Home, image: &Image, workspace: &Workspace, purpose: Purpose) -> Result<Spec, StartError> {
    let resources = workspace.record().resources;
    let above = &workspace.record().layers;
    let cache = home.cache();
    // While the disk or tree is made; what is made stays, since the workspace's record names it.
    let _held = home.store().hold()?;
    Ok(match workspace.record().execution_mode {
        ExecutionMode::GuestVsock => {
            // Writable also for looking, since the guest's kernel may have to finish what is in its
            // journal. The places of the first two are fixed, and the agent looks whether there is a third.
            let writable = Disk {
                path: workspace.generation().upper(),
                format: DiskFormat::Raw,
                read_only: false,
                parts: Vec::new(),
            };
            let mut disks = vec![layers(home.store().disk(image)?), writable];
            if !above.is_empty() {
                disks.push(layers(home.store().delta(above)?));
            }
            Spec::MicroVm(MicroVm {
                vcpus: resources.vcpu_count,
                mem_mib: resources.mem_mib,
                kernel: firmware::find(home.path())?,
                agent_disk: program::disk(&cache)?,
                disks,
                run_dir: workspace.directory().run_dir(),
                console: workspace.directory().console(),
                hostname: HOSTNAME.into(),
                purpose,
            })
        }
        ExecutionMode::HostCompat => {
            let mut lower = vec![home.store().tree(image)?];
            lower.extend(home.store().delta_trees(above)?);
            lower.reverse();
            Spec::Namespaces(Namespaces {
                agent: program::file(&cache)?,
                lower,
                writable: workspace.generation().writable(),
                mem_mib: resources.mem_mib,
                vcpus: resources.vcpu_count,
                run_dir: workspace.directory().run_dir(),
                console: workspace.directory().console(),
                hostname: HOSTNAME.into(),
                purpose,
            })
        }
    })
}

/// A read-only disk of layers.
fn layers(disk: LayerDisk) -> Disk {
    Disk { path: disk.descriptor, format: DiskFormat::Vmdk, read_only: true, parts: disk.parts }
}

/// Boots a guest without an image, to see whether this host can: the agent on its own disk.
///
/// # Errors
/// [`StartError`].
pub fn probe(home: &Home, until: Until<'_>) -> Result<Probed, StartError> {
    let directory = tempfile::Builder::new().prefix("probe-").tempdir_in(home.cache())?;
    let console = directory.path().join("console.log");
    let listener = listen(directory.path(), READY_SOCKET)?;
    let spec = Spec::MicroVm(MicroVm {
        vcpus: 1,
        mem_mib: 256,
        kernel: firmware::find(home.path())?,
        agent_disk: program::disk(&home.cache())?,
        disks: Vec::new(),
        run_dir: directory.path().into(),
        console: console.clone(),
        hostname: HOSTNAME.into(),
        purpose: Purpose::Work,
    });
    let clock = Instant::now();
    let machine = launch::launch(&launch::program()?, &spec, None)?;
    let ready = await_ready(&machine, &console, &listener, until)?;
    let took = clock.elapsed();
    Ok(Probed { took, confinement: machine.confinement(), steps: ready.steps })
}

/// A guest that booted and answered.
#[derive(Clone, Debug)]
pub struct Probed {
    /// From the launch to the agent's first word.
    pub took: Duration,
    /// How its monitor was confined.
    pub confinement: Option<Confinement>,
    /// What its agent did.
    pub steps: Vec<Step>,
}
