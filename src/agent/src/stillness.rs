//! How a machine is made still: its file system is frozen, or all its processes are stopped.

use crate::Machine;
use crate::boot::Place;
use crate::console::say;
use crate::failure::{Named, internal};
use crate::processes;
use crate::upper::missing;
use pyro_protocol::Failure;
use pyro_sys::freeze;
use rustix::fs::syncfs;
use rustix::io::Errno;
use rustix::process::Pid;
use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

/// How long to wait before trying again what must succeed.
const PAUSE: Duration = Duration::from_millis(10);

/// How long processes may take to stop. One that waits for a disk cannot, until that has answered.
const STOP_MAX: Duration = Duration::from_secs(10);

/// A machine in which nobody writes, until this is dropped.
pub enum Stillness {
    /// The file system is frozen: its kernel holds every writer.
    Frozen(OwnedFd),
    /// All processes were stopped, but for these, which had been so before.
    Stopped(HashSet<Pid>),
}

impl Stillness {
    /// Makes `machine` still, with everything written that was to be.
    pub fn new(machine: &Machine) -> Result<Self, Failure> {
        let upper = machine.upper.as_ref().ok_or_else(missing)?.open().of(b"/")?;
        let failed = |error: Errno| internal("cannot write everything to disk", error);
        match machine.place {
            Place::MicroVm => {
                // While writers still go on, so that there is little left to do when they do not.
                syncfs(&upper).map_err(failed)?;
                freeze::freeze(&upper).map_err(|error| internal("cannot freeze the disk", error))?;
                Ok(Self::Frozen(upper))
            }
            Place::Namespaces(_) => {
                // Made first: whatever fails from here on lets everybody go on again.
                let stopped = Self::Stopped(processes::stopped());
                processes::stop_all(STOP_MAX)?;
                // Not only for the disk: a mapped page that is clean is noticed when it is next
                // written to, and its file gets a new time.
                syncfs(&upper).map_err(failed)?;
                Ok(stopped)
            }
        }
    }
}

impl Drop for Stillness {
    fn drop(&mut self) {
        match self {
            Self::Frozen(upper) => thaw(upper),
            Self::Stopped(before) => processes::continue_all_but(before),
        }
    }
}

fn thaw(upper: &OwnedFd) {
    while let Err(error) = freeze::thaw(upper) {
        // Somebody in the machine has done it already, which root may.
        if Errno::from_io_error(&error) == Some(Errno::INVAL) {
            return;
        }
        say(&format!("cannot thaw the disk: {error}"));
        thread::sleep(PAUSE);
    }
}
