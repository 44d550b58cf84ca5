//! What is made ready outside, before there are namespaces: failing here costs nothing.

use super::seccomp;
use crate::spec::{AGENT_SOCKET, Namespaces, READY_SOCKET};
use pyro_sys::root::{Step, StepError};
use pyro_sys::seccomp::Instruction;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};
use rustix::process::{Gid, Pid, Uid, getegid, geteuid};
use rustix::thread::UnshareFlags;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// Connections to the agent that may wait to be accepted.
const BACKLOG: i32 = 128;

/// Everything that the child needs, open or decided.
pub struct Prepared<'a> {
    /// What was asked for.
    pub spec: &'a Namespaces,
    /// The user and group that started us.
    pub owner: (Uid, Gid),
    /// The socket that the agent serves on.
    pub listener: OwnedFd,
    /// The connection on which the agent says that it is ready.
    pub ready: OwnedFd,
    /// Where the agent's own messages go.
    pub console: OwnedFd,
    /// The compiled system call filter.
    pub filter: Vec<Instruction>,
}

impl<'a> Prepared<'a> {
    /// Opens and makes it all.
    pub fn new(spec: &'a Namespaces) -> Result<Self, StepError> {
        for (name, mode) in [("upper", 0o755), ("work", 0o700), ("tmp", 0o1777)] {
            directory(&spec.writable.join(name), mode)?;
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::CLOEXEC;
        let console = rustix::fs::open(&spec.console, flags, Mode::from_raw_mode(0o600))
            .step(format!("open {}", spec.console.display()))?;
        Ok(Self {
            spec,
            owner: (geteuid(), getegid()),
            listener: serve(&spec.run_dir).step(format!("listen on {AGENT_SOCKET}"))?,
            ready: dial(&spec.run_dir).step(format!("connect to {READY_SOCKET}"))?,
            console,
            filter: seccomp::filter(),
        })
    }

    /// Whether we are root of the host, or of whatever user namespace this is.
    pub fn is_privileged(&self) -> bool {
        self.owner.0.is_root()
    }

    /// Namespaces to be born into. Root makes its user namespace later, when the mounts stand.
    pub fn namespaces(&self) -> u64 {
        let mut flags = UnshareFlags::NEWNS
            | UnshareFlags::NEWNET
            | UnshareFlags::NEWIPC
            | UnshareFlags::NEWUTS
            | UnshareFlags::NEWCGROUP
            | UnshareFlags::NEWPID;
        flags.set(UnshareFlags::NEWUSER, !self.is_privileged());
        flags.bits().into()
    }

    /// Gives the user namespace of `pid` all users and groups that we have, unchanged.
    pub fn map_all_users(&self, pid: Pid) -> Result<(), StepError> {
        for (name, outer) in [("uid_map", "/proc/self/uid_map"), ("gid_map", "/proc/self/gid_map")] {
            let outer = std::fs::read_to_string(outer).step(format!("read {outer}"))?;
            let path = format!("/proc/{}/{name}", pid.as_raw_nonzero());
            std::fs::write(&path, identity(&outer)).step(format!("write {path}"))?;
        }
        Ok(())
    }
}

/// A map of every id in `outer` to itself.
fn identity(outer: &str) -> String {
    let ranges = outer.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let (first, length) = (fields.next()?, fields.nth(1)?);
        Some(format!("{first} {first} {length}\n"))
    });
    ranges.collect()
}

/// Makes a directory with exactly this mode, unless it is there.
fn directory(path: &Path, mode: u32) -> Result<(), StepError> {
    let mode = Mode::from_raw_mode(mode);
    match rustix::fs::mkdir(path, mode) {
        // The umask may have taken bits away.
        Ok(()) => rustix::fs::chmod(path, mode).step(format!("set the mode of {}", path.display())),
        Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error).step(format!("make {}", path.display())),
    }
}

fn serve(run_dir: &Path) -> rustix::io::Result<OwnedFd> {
    let socket = stream()?;
    let (_directory, address) = address(run_dir, AGENT_SOCKET)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

fn dial(run_dir: &Path) -> rustix::io::Result<OwnedFd> {
    let socket = stream()?;
    let (_directory, address) = address(run_dir, READY_SOCKET)?;
    connect(&socket, &address)?;
    Ok(socket)
}

fn stream() -> rustix::io::Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
}

/// The address of a socket in a directory whose path may be longer than a socket's address may
/// be. Valid as long as the directory is open.
fn address(directory: &Path, name: &str) -> rustix::io::Result<(OwnedFd, SocketAddrUnix)> {
    let directory = rustix::fs::openat(
        CWD,
        directory,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let address = SocketAddrUnix::new(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()))?;
    Ok((directory, address))
}

#[cfg(test)]
mod tests {
    use super::identity;

    #[test]
    fn every_id_of_the_outer_namespace_is_mapped_to_itself() {
        assert_eq!(identity("         0          0 4294967295\n"), "0 0 4294967295\n");
        assert_eq!(identity("0 1000 1\n1 100000 65536\n"), "0 0 1\n1 1 65536\n");
    }
}
