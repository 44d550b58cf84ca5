//! The monitor's side: a process that confines itself and becomes a microVM.
//!
//! `open` takes hold of everything that the machine needs of the host, `confine` gives up the rest,
//! `enter` hands over to libkrun. Each consumes the last.

use crate::krun::context::{Context, Dialer};
use pyro_machine::confine::{Access, Jail, Limits, namespaces::Owner};
use pyro_machine::report::{Failure, Report};
use pyro_machine::spec::{AGENT_SOCKET, Disk, DiskFormat, MicroVm, Purpose, READY_SOCKET};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::convert::Infallible;
use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The agent's vsock port.
const AGENT_PORT: u32 = 1024;

/// The port of the host that the agent dials once it is ready.
const READY_PORT: u32 = 1025;

/// The device that KVM is asked through, and its place in the jail, which libkrun dictates.
const KVM: &str = "/dev/kvm";

/// Where the jail has the directory of sockets.
const SOCKETS: &str = "/run";

/// Where the jail has the disk that is the guest's first root.
const AGENT_DISK: &str = "/agent";

/// How long a machine that was killed may take to let go of its disk: the kernel ends what it has begun
/// to write.
const LETTING_GO: Duration = Duration::from_secs(10);

/// Becomes the machine of `spec`. `owner` is who started this process before its namespaces.
pub fn become_machine(spec: &MicroVm, owner: Owner) -> Result<Infallible, Failure> {
    tell(&Report::stage("forked"));
    open(spec, owner)?.confine()?.enter()
}

/// A microVM whose files are in hand.
struct Open<'a> {
    spec: &'a MicroVm,
    context: Context,
    jail: Jail,
    limits: Limits,
    held: Vec<File>,
}

/// A microVM that can only be entered.
struct Confined<'a> {
    spec: &'a MicroVm,
    context: Context,
    /// The writable disks, which no other machine gets while this process lives.
    _held: Vec<File>,
}

fn open(spec: &MicroVm, owner: Owner) -> Result<Open<'_>, Failure> {
    // libkrun's own word for this names neither the file nor the reason.
    let kvm = OpenOptions::new().read(true).write(true).open(KVM);
    named("open /dev/kvm", kvm.map_err(|error| without_kvm(&error)))?;
    owner.settle()?;
    let context = Context::new(&spec.kernel)?;
    let writable = spec.disks.iter().filter(|disk| !disk.read_only);
    let held = writable.map(|disk| hold(&disk.path, LETTING_GO)).collect::<Result<_, _>>()?;
    let mut jail = Jail::new(&spec.run_dir)?;
    jail.add(Path::new(KVM), KVM, Access::Device)?;
    jail.add(&spec.run_dir, SOCKETS, Access::Sockets)?;
    jail.add(&spec.agent_disk, AGENT_DISK, Access::Read)?;
    for (number, disk) in spec.disks.iter().enumerate() {
        let access = if disk.read_only { Access::Read } else { Access::Write };
        jail.add(&disk.path, image(number, disk), access)?;
        for part in &disk.parts {
            jail.add(part, format!("{}/{}", directory(number), part_name(part)?), access)?;
        }
    }
    let limits = Limits { vcpus: spec.vcpus, disk: largest_writable(&spec.disks)? };
    tell(&Report::stage("opened"));
    Ok(Open { spec, context, jail, limits, held })
}

impl<'a> Open<'a> {
    fn confine(self) -> Result<Confined<'a>, Failure> {
        let confinement = self.jail.enter()?.restrict(&self.limits)?.filter()?;
        tell(&Report::Confined(confinement));
        tell(&Report::stage("confined"));
        Ok(Confined { spec: self.spec, context: self.context, _held: self.held })
    }
}

impl Confined<'_> {
    fn enter(mut self) -> Result<Infallible, Failure> {
        let spec = self.spec;
        self.context.size(spec.vcpus, spec.mem_mib)?;
        self.context.kernel_words(&kernel_words(spec))?;
        self.context.console()?;
        self.context.vsock(&[
            (AGENT_PORT, format!("{SOCKETS}/{AGENT_SOCKET}"), Dialer::Host),
            (READY_PORT, format!("{SOCKETS}/{READY_SOCKET}"), Dialer::Guest),
        ])?;
        self.context.disk(AGENT_DISK, DiskFormat::Raw, true)?;
        for (number, disk) in spec.disks.iter().enumerate() {
            self.context.disk(&image(number, disk), disk.format, disk.read_only)?;
        }
        tell(&Report::stage("entering"));
        Err(self.context.enter())
    }
}

/// Keeps other machines from a disk. Whoever killed this one's supervisor may have killed its last machine
/// as well, which then has no more to say, but may not have ended.
fn hold(disk: &Path, patience: Duration) -> Result<File, Failure> {
    /// Between two tries.
    const PAUSE: Duration = Duration::from_millis(5);
    let failed = |reason: String| Failure { step: format!("take hold of {}", disk.display()), reason };
    let file = File::open(disk).map_err(|error| failed(error.to_string()))?;
    let deadline = Instant::now() + patience;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK | Errno::INTR) if Instant::now() < deadline => sleep(PAUSE),
            Err(Errno::WOULDBLOCK) => return Err(failed("another machine still writes to it".into())),
            Err(error) => return Err(failed(error.to_string())),
        }
    }
}

/// What libkrun's own words, which mount its virtio-fs, are overruled with.
fn kernel_words(spec: &MicroVm) -> Vec<String> {
    let fixed = ["root=/dev/vda", "rootfstype=erofs", "ro", "init=/pyro-agent"];
    let mut words: Vec<String> = fixed.map(str::to_owned).into();
    words.push(format!("pyro.hostname={}", spec.hostname));
    if spec.purpose == Purpose::Look {
        words.push("pyro.look".into());
    }
    words
}

/// The jail's directory for disk `number` and its parts.
fn directory(number: usize) -> String {
    format!("/disk{number}")
}

fn image(number: usize, disk: &Disk) -> String {
    let name = match disk.format {
        DiskFormat::Raw => "image",
        DiskFormat::Vmdk => "image.vmdk",
    };
    format!("{}/{name}", directory(number))
}

/// The file name under which the descriptor knows `part`.
fn part_name(part: &Path) -> Result<&str, Failure> {
    part.file_name().and_then(|name| name.to_str()).ok_or_else(|| Failure {
        step: format!("name the disk's part {}", part.display()),
        reason: "it has no plain file name".into(),
    })
}

fn largest_writable(disks: &[Disk]) -> Result<u64, Failure> {
    let files =
        disks.iter().filter(|disk| !disk.read_only).flat_map(|disk| disk.parts.iter().chain([&disk.path]));
    let sizes = files.map(|path| {
        let size = fs::metadata(path).map(|data| data.len());
        size.map_err(|error| Failure {
            step: format!("look at {}", path.display()),
            reason: error.to_string(),
        })
    });
    sizes.reduce(|most, size| Ok(most?.max(size?))).unwrap_or(Ok(0))
}

/// What the kernel means by its errors about `/dev/kvm`.
fn without_kvm(error: &io::Error) -> String {
    match Errno::from_io_error(error) {
        Some(Errno::NOENT) => "it does not exist: virtualization is switched off, or not offered to this \
                               host, or the kernel's module kvm_intel or kvm_amd is not loaded"
            .into(),
        Some(Errno::NODEV | Errno::NXIO) => {
            "the kernel has no KVM behind it: its module kvm_intel or kvm_amd is not loaded".into()
        }
        Some(Errno::ACCESS | Errno::PERM) => {
            "this user may not; the file's group, often kvm, is the one to be in".into()
        }
        _ => error.to_string(),
    }
}

fn named<T>(step: &str, result: Result<T, impl Display>) -> Result<T, Failure> {
    result.map_err(|error| Failure { step: step.into(), reason: error.to_string() })
}

/// Tells the process outside, which is there as long as this one is.
pub fn tell(report: &Report) {
    let _ = std::io::stderr().write_all(&report.to_line());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_one_machines_at_a_time() {
        let disk = tempfile::NamedTempFile::new().unwrap();
        let first = hold(disk.path(), Duration::ZERO).unwrap();
        let refused = hold(disk.path(), Duration::ZERO).unwrap_err();
        assert_eq!(refused.reason, "another machine still writes to it");
        drop(first);
        hold(disk.path(), Duration::ZERO).unwrap();
    }

    #[test]
    fn a_disk_that_is_let_go_is_taken() {
        let disk = tempfile::NamedTempFile::new().unwrap();
        let first = hold(disk.path(), Duration::ZERO).unwrap();
        let last = std::thread::spawn(move || {
            sleep(Duration::from_millis(20));
            drop(first);
        });
        hold(disk.path(), Duration::from_secs(60)).unwrap();
        last.join().unwrap();
    }
}
