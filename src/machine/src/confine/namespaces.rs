//! Namespaces of the monitor: all but time, and one user in the user namespace.

use super::Step;
use crate::report::Failure;
use rustix::process::{getegid, geteuid};
use rustix::thread::UnshareFlags;

/// The only user and group of the namespace. Nobody in particular, and never root, so that no file
/// or call gives the monitor anything for its number.
const ID: u32 = 1;

/// What the monitor is forked into.
pub const FLAGS: UnshareFlags = UnshareFlags::NEWUSER
    .union(UnshareFlags::NEWNS)
    .union(UnshareFlags::NEWPID)
    .union(UnshareFlags::NEWNET)
    .union(UnshareFlags::NEWIPC)
    .union(UnshareFlags::NEWUTS)
    .union(UnshareFlags::NEWCGROUP);

/// Who starts the monitor. Taken before the fork: in the new namespace nobody is anyone yet.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    uid: u32,
    gid: u32,
}

impl Owner {
    /// The user and group of this process.
    #[must_use]
    pub fn current() -> Self {
        Self { uid: geteuid().as_raw(), gid: getegid().as_raw() }
    }

    /// Maps this user and group, and no other, into the user namespace of the calling process.
    /// Files of the owner stay its own. Supplementary groups, such as the one that may use
    /// `/dev/kvm`, keep their effect and cannot be changed any more.
    ///
    /// # Errors
    /// The file that could not be written.
    pub fn settle(self) -> Result<(), Failure> {
        write("setgroups", "deny")?;
        write("uid_map", &format!("{ID} {} 1", self.uid))?;
        write("gid_map", &format!("{ID} {} 1", self.gid))
    }
}

fn write(name: &str, text: &str) -> Result<(), Failure> {
    let path = format!("/proc/self/{name}");
    std::fs::write(&path, text).step(format!("write {path}"))
}
