//! What every Linux program expects under `/`, for a root that has just been entered: both the
//! agent in a guest and the namespaces launcher furnish theirs from here.

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount, mount_bind};
use std::ffi::CStr;
use std::fmt;
use std::io;

/// Flags of file systems that hold no programs and no devices.
pub const DATA_ONLY: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// Files in `/etc` that name the machine itself. Kept on `/run`, so that they do not get into
/// the writable layer.
const OWN_FILES: &str = "/run/pyro";

/// A step that failed.
#[derive(Debug)]
pub struct StepError {
    /// What was tried.
    pub step: String,
    /// How it failed.
    pub error: io::Error,
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.error)
    }
}

impl std::error::Error for StepError {}

/// Names the step of a result.
pub trait Step<T> {
    /// `step` says what was tried: "mount /proc".
    ///
    /// # Errors
    /// The same as `self`, with its name.
    fn step(self, step: impl Into<String>) -> Result<T, StepError>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn step(self, step: impl Into<String>) -> Result<T, StepError> {
        self.map_err(|error| StepError { step: step.into(), error: error.into() })
    }
}

/// Makes `directory` unless something of that name is there.
///
/// # Errors
/// What `mkdir` says.
pub fn directory(path: &str, mode: u32) -> Result<(), StepError> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(mode)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error).step(format!("make {path}")),
    }
}

/// Mounts a new file system of `kind` on `target`, which is made if missing.
///
/// # Errors
/// The step that failed.
pub fn attach(kind: &str, target: &str, flags: MountFlags, options: &CStr) -> Result<(), StepError> {
    directory(target, 0o755)?;
    mount(kind, target, kind, flags, options).step(format!("mount {target}"))
}

/// As [`attach`], for what programs can do without: a kernel that lacks it, or does not allow it
/// here, is no reason not to start.
pub fn attach_if_possible(kind: &str, target: &str, flags: MountFlags, options: &CStr) {
    let _ = attach(kind, target, flags, options);
}

/// Completes a `/dev` that has its nodes: terminals, shared memory, message queues, links.
///
/// # Errors
/// The step that failed.
pub fn complete_dev() -> Result<(), StepError> {
    let quiet = MountFlags::NOSUID | MountFlags::NOEXEC;
    // Group 5 is `tty` everywhere, but there may be no such group in this user namespace.
    attach("devpts", "/dev/pts", quiet, c"newinstance,ptmxmode=0666,mode=0620,gid=5")
        .or_else(|_| attach("devpts", "/dev/pts", quiet, c"newinstance,ptmxmode=0666,mode=0620"))?;
    attach("tmpfs", "/dev/shm", MountFlags::NOSUID | MountFlags::NODEV, c"mode=1777")?;
    attach_if_possible("mqueue", "/dev/mqueue", DATA_ONLY, c"");
    // Not the global multiplexer of a devtmpfs, which belongs to another instance.
    match rustix::fs::unlink("/dev/ptmx") {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error).step("replace /dev/ptmx"),
    }
    let links = [
        ("pts/ptmx", "/dev/ptmx"),
        ("/proc/self/fd", "/dev/fd"),
        ("/proc/self/fd/0", "/dev/stdin"),
        ("/proc/self/fd/1", "/dev/stdout"),
        ("/proc/self/fd/2", "/dev/stderr"),
    ];
    for (target, link) in links {
        match rustix::fs::symlink(target, link) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error).step(format!("make {link}")),
        }
    }
    Ok(())
}

/// Gives the machine a name that resolves, whatever the image's own `/etc/hosts` says of where it
/// was built, and a resolver configuration where the image has none. Needs `/run` to be a file
/// system of its own.
///
/// # Errors
/// The step that failed.
pub fn name_machine(hostname: &str) -> Result<(), StepError> {
    directory(OWN_FILES, 0o755)?;
    let hosts =
        format!("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t{hostname}\n");
    own_file("hosts", &hosts, true)?;
    own_file("resolv.conf", "# this machine has no network\n", false)
}

/// Shows a file of ours as `/etc/{name}`: always, or if the image's is missing or empty.
fn own_file(name: &str, text: &str, always: bool) -> Result<(), StepError> {
    let target = format!("/etc/{name}");
    match rustix::fs::statat(rustix::fs::CWD, &target, AtFlags::empty()) {
        Ok(status) if status.st_size > 0 && !always => return Ok(()),
        Ok(_) => {}
        // A mount needs something to cover: the one trace in the writable layer. An image
        // without `/etc`, or with a link to nowhere in this place, keeps what it has.
        Err(_) => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            if rustix::fs::open(&target, flags, Mode::from_raw_mode(0o644)).is_err() {
                return Ok(());
            }
        }
    }
    let source = format!("{OWN_FILES}/{name}");
    std::fs::write(&source, text).step(format!("write {source}"))?;
    mount_bind(&source, &target).step(format!("mount {target}"))
}
