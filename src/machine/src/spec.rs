//! What `pyro-machine` is told: one JSON object on an inherited socket.
//!
//! Sockets: `run_dir` holds `agent.sock`, made by the machine, on which the agent serves, and
//! `ready.sock`, on which the host must listen before the launch; the agent dials it once.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Name of the socket in `run_dir` on which the agent serves.
pub const AGENT_SOCKET: &str = "agent.sock";

/// Name of the socket in `run_dir` on which the host awaits the agent's first word.
pub const READY_SOCKET: &str = "ready.sock";

/// A machine to start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Spec {
    /// A KVM microVM.
    MicroVm(MicroVm),
    /// Namespaces of this host's kernel ("host-compat").
    Namespaces(Namespaces),
}

/// What a machine is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// Commands; what they write stays in its writable layer.
    #[default]
    Work,
    /// Being looked at: it runs no command, and nothing can write to its files.
    Look,
}

/// A microVM: libkrun, its kernel, and block devices.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MicroVm {
    /// Virtual processors.
    pub vcpus: u8,
    /// Memory in MiB.
    pub mem_mib: u32,
    /// libkrunfw, the shared library that holds the guest kernel.
    pub kernel: PathBuf,
    /// `/dev/vda`: a raw, read-only EROFS image that holds the agent and mount points.
    pub agent_disk: PathBuf,
    /// `/dev/vdb` and on.
    pub disks: Vec<Disk>,
    /// Host directory for the sockets.
    pub run_dir: PathBuf,
    /// File that gets the guest's console; made if missing, else appended to.
    pub console: PathBuf,
    /// Host name in the guest.
    pub hostname: String,
    /// What it is for.
    pub purpose: Purpose,
}

/// A block device of a microVM.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Disk {
    /// The image file, or the VMDK descriptor.
    pub path: PathBuf,
    /// How to read it.
    pub format: DiskFormat,
    /// Whether the guest may only read.
    pub read_only: bool,
    /// The files that a VMDK descriptor names, by file name alone, wherever they lie on the host.
    pub parts: Vec<PathBuf>,
}

/// Disk formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DiskFormat {
    /// The file is the disk.
    Raw,
    /// The file is a VMDK descriptor of flat extents.
    Vmdk,
}

/// A machine of namespaces: the same agent as PID 1, overlayfs as its root.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Namespaces {
    /// The agent program (static).
    pub agent: PathBuf,
    /// Lower directories of the root, topmost first.
    pub lower: Vec<PathBuf>,
    /// A directory for overlayfs' `upper` and `work`, made inside it if missing.
    pub writable: PathBuf,
    /// Memory limit in MiB, enforced where a cgroup can be made.
    pub mem_mib: u32,
    /// Processor limit, enforced where a cgroup can be made.
    pub vcpus: u8,
    /// Host directory for the sockets.
    pub run_dir: PathBuf,
    /// File that gets the agent's own messages.
    pub console: PathBuf,
    /// Host name inside.
    pub hostname: String,
    /// What it is for.
    pub purpose: Purpose,
}
