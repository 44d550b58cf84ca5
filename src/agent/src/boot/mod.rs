//! From the first instruction to a root, a reaper and a listening socket.

mod microvm;

use crate::console::say;
use crate::ready::Log;
use crate::reap;
use pyro_protocol::{AGENT_PORT, READY_PORT};
use pyro_sys::root::{Step, StepError};
use pyro_sys::{fds, vsock};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};
use rustix::system::{RebootCommand, reboot};
use std::ffi::OsString;
use std::os::fd::{OwnedFd, RawFd};
use std::thread;
use std::time::Duration;

/// The listening socket that the namespaces launcher passes.
const LISTENER: RawFd = 3;

/// The connection to the host that the namespaces launcher passes.
const READY: RawFd = 4;

/// The upper directory of the root's overlay that the namespaces launcher passes.
const UPPER: RawFd = 5;

/// How long a machine that failed to boot stays, so that its last words get out.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// What the machine is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Commands.
    Work,
    /// Being looked at: nothing runs in it, and nothing of it can be written.
    Look,
}

/// Where the agent runs.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// A virtual machine of its own; nothing is mounted yet but the agent's disk.
    MicroVm,
    /// Namespaces of the host's kernel, with everything mounted.
    Namespaces(Purpose),
}

/// A machine that stands.
pub struct Booted {
    /// The socket to serve on.
    pub listener: OwnedFd,
    /// The upper directory of the root's overlay.
    pub upper: Option<OwnedFd>,
    /// What it is for.
    pub purpose: Purpose,
}

impl Place {
    /// The launcher says where; a kernel does not.
    pub fn from_arguments(mut arguments: impl Iterator<Item = OsString>) -> Self {
        match arguments.nth(1) {
            Some(argument) if argument == "--namespaces" => Self::Namespaces(match arguments.next() {
                Some(argument) if argument == "--look" => Purpose::Look,
                _ => Purpose::Work,
            }),
            _ => Self::MicroVm,
        }
    }

    /// Makes everything ready to serve.
    pub fn boot(self, log: &mut Log) -> Result<Booted, StepError> {
        umask(rustix::fs::Mode::from_raw_mode(0o022));
        log.done("agent");
        let (upper, purpose) = match self {
            Self::MicroVm => microvm::assemble(log)?,
            Self::Namespaces(purpose) => {
                (Some(fds::inherited(UPPER).step("take the upper directory")?), purpose)
            }
        };
        raise_limits();
        let reaper = thread::Builder::new().name("reaper".to_owned());
        reaper.spawn(|| reap::run()).step("start the reaper")?;
        let listener = match self {
            Self::MicroVm => vsock::listen(AGENT_PORT).step("listen on vsock")?,
            Self::Namespaces(_) => fds::inherited(LISTENER).step("take the listening socket")?,
        };
        log.done("listening");
        Ok(Booted { listener, upper, purpose })
    }

    /// Tells the host how it went.
    pub fn report(self, log: Log, problem: Option<String>) {
        let socket = match self {
            Self::MicroVm => vsock::connect(vsock::HOST, READY_PORT),
            Self::Namespaces(_) => fds::inherited(READY),
        };
        // The host may have lost interest; that is its affair.
        match socket.step("reach the host") {
            Ok(socket) => {
                if let Err(error) = log.send(socket, problem) {
                    say(&format!("tell the host: {error}"));
                }
            }
            Err(error) => say(&error.to_string()),
        }
    }

    /// Ends the machine.
    pub fn end(self) {
        thread::sleep(LAST_WORDS);
        if let Self::MicroVm = self {
            // A restart is what ends a microVM. If the kernel refuses, it panics when we return,
            // which ends it too.
            let _ = reboot(RebootCommand::Restart);
        }
    }
}

/// Lets this process have as many descriptors as it may: connections are served side by side. And
/// lets the kernel kill anything rather than this process when memory is short, where we may say so.
fn raise_limits() {
    /// More than all connections together can hold.
    const FILES: u64 = 524_288;
    let files = getrlimit(Resource::Nofile);
    let all = Rlimit { current: Some(FILES), maximum: Some(FILES) };
    if setrlimit(Resource::Nofile, all).is_err() {
        // Not privileged: what there is.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum });
    }
    let _ = std::fs::write("/proc/self/oom_score_adj", "-1000");
}
