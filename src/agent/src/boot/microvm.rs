//! Assembling the root of a microVM from its disks.
//!
//! ```text
//! /dev/vda   EROFS   the agent and mount points; what we start on
//! /dev/vdb   EROFS   the image                          lowest
//! /dev/vdd   EROFS   the delta layers, if there are any above it
//! /dev/vdc   ext4    upper/ and work/ of the overlay, tmp/
//! ```
//! One that is for looking only, which the kernel's command line says, has `upper/` as the topmost
//! layer below, and nothing to write to.
//!
//! A machine without `/dev/vdb` has nothing to assemble: it was started to see whether a guest
//! boots and answers.

use super::Purpose;
use crate::ready::Log;
use pyro_sys::root::{
    DATA_ONLY, Step, StepError, attach, attach_if_possible, complete_dev, directory, name_machine,
};
use pyro_sys::tree::Tree;
use pyro_sys::{ext4, loopback};
use rustix::fs::{Mode, OFlags, chmod, open};
use rustix::mount::{MountFlags, mount, mount_move};
use std::ffi::CString;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::Path;

const BOOT: &str = "/dev/vda";
const IMAGE: &str = "/dev/vdb";
const WRITABLE: &str = "/dev/vdc";
const DELTA: &str = "/dev/vdd";

/// Mount points, on a file system in memory: the agent's disk is read-only.
const BASE: &str = "/run/base";
const OVER: &str = "/run/delta";
const DISK: &str = "/run/disk";
const ROOT: &str = "/run/root";

/// Block size of the writable file system, as its template has it.
const BLOCK: u64 = 4096;

/// The name of a machine that was given none.
const HOSTNAME: &str = "pyro";

/// Mounts the disks, enters the root that they make, and furnishes it. Returns the writable layer,
/// which is out of reach by then, and what all of it is for.
///
/// # Errors
/// The step that failed.
pub fn assemble(log: &mut Log) -> Result<(Option<OwnedFd>, Purpose), StepError> {
    // The stock kernel has mounted this one by itself, and does not do so twice in a place.
    if !Path::new(BOOT).exists() {
        attach("devtmpfs", "/dev", MountFlags::NOSUID | MountFlags::NOEXEC, c"mode=0755")?;
    }
    attach("proc", "/proc", DATA_ONLY, c"")?;
    attach("tmpfs", "/run", MountFlags::NOSUID | MountFlags::NODEV, c"mode=0755")?;
    let words = Words::read();
    if !Path::new(IMAGE).exists() {
        log.done("no disks");
        return Ok((None, words.purpose));
    }
    mount_layers("image", IMAGE, BASE)?;
    let mut lower = BASE.to_owned();
    if Path::new(DELTA).exists() {
        mount_layers("layers above the image", DELTA, OVER)?;
        lower = format!("{OVER}:{BASE}");
    }
    log.done("image");
    match words.purpose {
        Purpose::Work => mount_writable()?,
        Purpose::Look => mount_for_looking()?,
    }
    log.done("writable disk");
    let upper =
        open(format!("{DISK}/upper"), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .step("open the writable layer")?;
    match words.purpose {
        Purpose::Work => {
            overlay(&lower)?;
            // On the disk, where builds have room, but beside the layer, which it is no part of.
            let temporary = Tree::of(format!("{DISK}/tmp")).step("open the machine's /tmp")?;
            enter()?;
            log.done("root");
            furnish(&words.hostname)?;
            // Only here: in the image, /tmp may be a link to somewhere in it.
            directory("/tmp", 0o1777)?;
            temporary.place("/tmp").step("mount /tmp")?;
        }
        Purpose::Look => {
            overlay_for_looking(&lower)?;
            let temporary = Tree::of(format!("{DISK}/tmp"));
            enter()?;
            log.done("root");
            furnish_for_looking(temporary);
        }
    }
    log.done("furnished");
    Ok((Some(upper), words.purpose))
}

fn mount_layers(what: &str, device: &str, target: &str) -> Result<(), StepError> {
    directory(target, 0o755)?;
    mount(device, target, "erofs", MountFlags::RDONLY, None)
        .step(format!("mount the {what} ({device}) as erofs"))
}

/// Mounts the writable disk and grows its file system to the whole of it.
fn mount_writable() -> Result<(), StepError> {
    directory(DISK, 0o700)?;
    mount(WRITABLE, DISK, "ext4", MountFlags::NOATIME, c"discard")
        .step(format!("mount the writable disk ({WRITABLE}) as ext4"))?;
    let device = File::open(WRITABLE).and_then(|mut file| file.seek(SeekFrom::End(0)));
    let bytes = device.step(format!("measure {WRITABLE}"))?;
    let disk = File::open(DISK).step("open the writable disk")?;
    ext4::resize(&disk, bytes / BLOCK).step("grow the writable disk")?;
    for (name, mode) in [("upper", 0o755), ("work", 0o755), ("tmp", 0o1777)] {
        let path = format!("{DISK}/{name}");
        directory(&path, mode)?;
        chmod(&path, Mode::from_raw_mode(mode)).step(format!("set the mode of {path}"))?;
    }
    Ok(())
}

/// Mounts the writable disk so that nothing of it changes. All that is ever written is what the kernel
/// finds in the journal, where every machine that was not unmounted leaves something: without it the files
/// would not be what was written last, and the next start would do the same.
fn mount_for_looking() -> Result<(), StepError> {
    directory(DISK, 0o700)?;
    mount(WRITABLE, DISK, "ext4", MountFlags::RDONLY, None)
        .step(format!("mount the writable disk ({WRITABLE}) as ext4"))
}

/// Shows what is on the writable disk over the image, and nothing above it.
fn overlay_for_looking(lower: &str) -> Result<(), StepError> {
    directory(ROOT, 0o755)?;
    let options = format!("lowerdir={DISK}/upper:{lower},redirect_dir=off,metacopy=off,index=off,xino=off");
    let options = CString::new(options).expect("mount points have no zero byte");
    mount("overlay", ROOT, "overlay", MountFlags::RDONLY, Some(options.as_c_str())).step("mount the root")
}

/// What the agent itself needs, and the files of `/tmp`. Each only where it has a place: whatever the
/// workspace did to its root, the rest of it can be looked at.
fn furnish_for_looking(temporary: std::io::Result<Tree>) {
    attach_if_possible("proc", "/proc", DATA_ONLY, c"");
    // As in every machine: what is kept there is none of the workspace's files.
    attach_if_possible("tmpfs", "/run", DATA_ONLY, c"mode=0755");
    let _ = temporary.and_then(|tree| tree.place("/tmp"));
}

/// Puts the writable disk over the image. The features that are off would make the writable layer
/// refer to the layers below it by more than names, and it is to be a layer of its own.
fn overlay(lower: &str) -> Result<(), StepError> {
    directory(ROOT, 0o755)?;
    let options = format!(
        "lowerdir={lower},upperdir={DISK}/upper,workdir={DISK}/work,\
         redirect_dir=off,metacopy=off,index=off,xino=off"
    );
    let options = CString::new(options).expect("mount points have no zero byte");
    mount("overlay", ROOT, "overlay", MountFlags::NOATIME, Some(options.as_c_str())).step("mount the root")
}

/// Makes the overlay the root. What we started on stays below it, out of reach.
fn enter() -> Result<(), StepError> {
    rustix::process::chdir(ROOT).step("enter the root")?;
    mount_move(".", "/").step("move the root")?;
    rustix::process::chroot(".").step("change the root")?;
    rustix::process::chdir("/").step("enter the root")
}

fn furnish(hostname: &str) -> Result<(), StepError> {
    attach("proc", "/proc", DATA_ONLY, c"")?;
    attach("sysfs", "/sys", DATA_ONLY, c"")?;
    attach_if_possible("cgroup2", "/sys/fs/cgroup", DATA_ONLY, c"nsdelegate");
    attach("devtmpfs", "/dev", MountFlags::NOSUID | MountFlags::NOEXEC, c"mode=0755")?;
    complete_dev()?;
    attach("tmpfs", "/run", MountFlags::NOSUID | MountFlags::NODEV, c"mode=0755")?;
    rustix::system::sethostname(hostname.as_bytes()).step("set the host name")?;
    name_machine(hostname)?;
    loopback::up().step("set the loopback interface up")
}

/// What the kernel's command line says to us.
struct Words {
    hostname: String,
    purpose: Purpose,
}

impl Words {
    fn read() -> Self {
        let line = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
        // libkrun puts each of them into quotes, which only the kernel's own reader takes off.
        let mut words = line.split_whitespace().map(|word| word.trim_matches('"'));
        let hostname = words.clone().find_map(|word| word.strip_prefix("pyro.hostname="));
        let looks = words.any(|word| word == "pyro.look");
        Self {
            hostname: hostname.unwrap_or(HOSTNAME).to_owned(),
            purpose: if looks { Purpose::Look } else { Purpose::Work },
        }
    }
}
