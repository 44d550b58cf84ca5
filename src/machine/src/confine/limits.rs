//! Resource limits of the monitor.

use super::Step;
use crate::report::Failure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors: each connection to the agent takes one or two, each device a handful.
const FILES: u64 = 4096;

/// Threads besides the virtual processors: one a device that has a worker, and the main one. The
/// kernel does not count those of the host's root.
const THREADS: u64 = 64;

/// What differs between monitors.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Virtual processors, each a thread.
    pub vcpus: u8,
    /// Size of the largest writable disk, bytes. No file can be made longer than that.
    pub disk: u64,
}

impl Limits {
    /// Sets the limits, for good.
    pub(super) fn apply(&self) -> Result<(), Failure> {
        // What an ordinary user may not exceed either is enough: a few connections fewer.
        let files = getrlimit(Resource::Nofile).maximum.map_or(FILES, |most| most.min(FILES));
        let limits = [
            (Resource::Core, 0),
            (Resource::Nofile, files),
            (Resource::Nproc, THREADS + u64::from(self.vcpus)),
            (Resource::Fsize, self.disk),
            (Resource::Memlock, 0),
            (Resource::Msgqueue, 0),
        ];
        for (resource, most) in limits {
            let limit = Rlimit { current: Some(most), maximum: Some(most) };
            setrlimit(resource, limit).step(format!("limit {resource:?}"))?;
        }
        Ok(())
    }
}
