//! Limits for a machine, where this process may make a cgroup: as root, or where the service
//! manager has delegated a subtree to the user. Elsewhere there are none.

use crate::spec::Namespaces;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, test_kill_process};
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Where the unified hierarchy is mounted, by every init system.
const MOUNT: &str = "/sys/fs/cgroup";

/// Names of our cgroups: this, then the launcher's process id.
const PREFIX: &str = "pyro-machine-";

/// Most processes in a machine: above what builds use, far below what hurts a host.
const PIDS_MAX: u32 = 32_768;

/// Period over which processor time is counted, in microseconds: the kernel's own choice.
const PERIOD_US: u32 = 100_000;

/// A cgroup of one machine, removed when dropped.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    directory: OwnedFd,
}

impl Cgroup {
    /// Makes a cgroup with the limits of `spec`; `None` where that is not possible.
    pub fn make(spec: &Namespaces) -> Option<Self> {
        let parent = parent(&fs::read_to_string("/proc/self/cgroup").ok()?)?;
        sweep(&parent);
        let path = parent.join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir(&path).ok()?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let cgroup = match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(directory) => Self { path, directory },
            Err(_) => {
                remove(&path);
                return None;
            }
        };
        let memory = u64::from(spec.mem_mib) << 20;
        let processors = format!("{} {PERIOD_US}", u32::from(spec.vcpus) * PERIOD_US);
        let limits = [
            ("memory.max", memory.to_string()),
            ("memory.swap.max", "0".to_owned()),
            ("cpu.max", processors),
            ("pids.max", PIDS_MAX.to_string()),
        ];
        for (file, limit) in limits {
            // Each is there only if its controller is on at this place.
            let _ = fs::write(cgroup.path.join(file), limit);
        }
        Some(cgroup)
    }
}

impl AsFd for Cgroup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Where our cgroups go: beside our own, since a cgroup has either processes or limited children;
/// at the top of a hierarchy, below it.
fn parent(own: &str) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let root = [MOUNT, "/sys/fs/cgroup/unified"].map(Path::new);
    let root = root.into_iter().find(|root| root.join("cgroup.procs").exists())?;
    Some(root.join(path).parent().filter(|_| !path.is_empty()).unwrap_or(root).to_owned())
}

/// Removes cgroups of launchers that were killed before they could.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner =
            name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse().ok()).and_then(Pid::from_raw);
        if owner.is_some_and(|pid| test_kill_process(pid) == Err(rustix::io::Errno::SRCH)) {
            remove(&entry.path());
        }
    }
}

/// Removes a cgroup. One that is in use stays, for the next sweep.
fn remove(path: &Path) {
    let _ = fs::remove_dir(path);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_unified_hierarchy_has_a_place() {
        assert_eq!(parent("3:cpuset:/\n1:cpu:/\n"), None);
    }
}
