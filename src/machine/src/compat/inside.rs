//! The child's way from fresh namespaces to the agent. Every step is needed by a later one, or
//! takes something of the host away.

use super::MAP_USERS;
use super::prepare::Prepared;
use crate::spec::Purpose;
use pyro_sys::root::{self, DATA_ONLY, Step, StepError, attach, attach_if_possible};
use pyro_sys::tree::Tree;
use pyro_sys::{clone, loopback, seccomp};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, mount_remount, unmount,
};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::process::{Signal, chdir, fchdir, pivot_root, set_parent_process_death_signal, setsid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::thread::set_thread_groups;
use std::convert::Infallible;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Nodes of the host's `/dev` that the machine shares: those without state.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Parts of `/proc` through which root's number alone, without capabilities, changes the host.
const PROC_READ_ONLY: [&str; 7] =
    ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/acpi", "/proc/scsi"];

/// Becomes the agent of a machine.
pub fn enter(prepared: &Prepared<'_>, parent: &OwnedFd) -> Result<Infallible, StepError> {
    die_with(parent)?;
    // Away from the terminal of whoever started us.
    setsid().step("start a session")?;
    if prepared.is_privileged() {
        set_thread_groups(&[]).step("drop supplementary groups")?;
    } else {
        become_root(prepared)?;
    }
    rustix::system::sethostname(prepared.spec.hostname.as_bytes()).step("set the host name")?;
    loopback::up().step("set the loopback interface up")?;
    let (agent, upper) = build_root(prepared)?;
    if prepared.is_privileged() {
        enter_user_namespace(parent)?;
    }
    attach_console(prepared)?;
    seccomp::install(prepared.filter.iter().copied()).step("install the system call filter")?;
    // Again: changing credentials has cleared it.
    die_with(parent)?;
    let argv: &[_] = match prepared.spec.purpose {
        Purpose::Work => &[c"pyro-agent", c"--namespaces"],
        Purpose::Look => &[c"pyro-agent", c"--namespaces", c"--look"],
    };
    clone::execute(&agent, argv, &[prepared.listener.as_fd(), prepared.ready.as_fd(), upper.as_fd()])
        .step("execute the agent")
}

/// Has the kernel kill us when the launcher dies, or sees that it is dead already.
fn die_with(parent: &OwnedFd) -> Result<(), StepError> {
    set_parent_process_death_signal(Some(Signal::KILL)).step("bind to the launcher's life")?;
    let mut fds = [PollFd::new(parent, PollFlags::RDHUP)];
    poll(&mut fds, Some(&Timespec::default())).step("look for the launcher")?;
    if fds[0].revents().is_empty() {
        Ok(())
    } else {
        Err(io::Error::from(io::ErrorKind::BrokenPipe)).step("find the launcher")
    }
}

/// Maps root in here to the ordinary user outside. The kernel lets us do that by ourselves, but
/// only for one user, one group, and if groups cannot be dropped afterwards.
fn become_root(prepared: &Prepared<'_>) -> Result<(), StepError> {
    let (user, group) = prepared.owner;
    let maps = [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("0 {} 1", user.as_raw())),
        ("/proc/self/gid_map", format!("0 {} 1", group.as_raw())),
    ];
    maps.into_iter().try_for_each(|(path, text)| std::fs::write(path, text).step(format!("write {path}")))
}

/// Gives up root of the host: from here on we own nothing but ourselves, and the mounts that we
/// made cannot be changed from the new namespace.
fn enter_user_namespace(parent: &OwnedFd) -> Result<(), StepError> {
    clone::unshare_users_and_mounts().step("enter a user namespace")?;
    send(parent, MAP_USERS, SendFlags::NOSIGNAL).step("ask for users")?;
    let mut answer = [0; MAP_USERS.len()];
    let (length, _) = recv(parent, &mut answer, RecvFlags::empty()).step("await users")?;
    if length == 0 { Err(io::Error::from(io::ErrorKind::BrokenPipe)).step("await users") } else { Ok(()) }
}

/// Leaves nothing of the host in sight but the agent's program and the upper directory of the root's
/// overlay, which are returned.
fn build_root(prepared: &Prepared<'_>) -> Result<(Tree, Tree), StepError> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).step("separate the mounts from the host's")?;
    let devices = DEVICES.map(|name| (name, Tree::of(format!("/dev/{name}"))));
    let writable = &prepared.spec.writable;
    let temporary = Tree::of(writable.join("tmp"));
    let temporary = match prepared.spec.purpose {
        Purpose::Work => temporary,
        Purpose::Look => temporary.and_then(Tree::read_only),
    };
    let temporary = temporary.step("open the machine's /tmp")?;
    // Root in the machine gets at the agent's file as `/proc/1/exe`, and it is everyone's.
    let agent = &prepared.spec.agent;
    let agent = Tree::of(agent).and_then(Tree::read_only).step(format!("open {}", agent.display()))?;
    // So does it get at this one, as a descriptor of the agent; a mount of its own, it leads no
    // further up.
    let upper =
        Tree::of(writable.join("upper")).and_then(Tree::read_only).step("open the upper directory")?;
    mount_overlay(prepared)?;
    let host = directory("/").step("open the host's root")?;
    chdir(writable).step("enter the new root")?;
    // The old root then lies on top of the new one, until it is taken away.
    pivot_root(".", ".").step("change the root")?;
    chdir("/").step("enter the new root")?;

    // While the host's are still there: the kernel allows a user namespace no more of these than
    // what it can see already.
    attach("proc", "/proc", DATA_ONLY, c"")?;
    attach_if_possible("sysfs", "/sys", DATA_ONLY | MountFlags::RDONLY, c"");
    attach_if_possible("cgroup2", "/sys/fs/cgroup", DATA_ONLY | MountFlags::RDONLY, c"");
    fchdir(&host).step("enter the host's root")?;
    unmount(".", UnmountFlags::DETACH).step("leave the host's root")?;
    chdir("/").step("enter the new root")?;

    attach("tmpfs", "/dev", MountFlags::NOSUID | MountFlags::NOEXEC, c"mode=755,size=64k")?;
    for (name, device) in devices {
        let target = format!("/dev/{name}");
        let device = device.step(format!("open {target}"))?;
        open(&target, OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC, Mode::from_raw_mode(0o666))
            .step(format!("make {target}"))?;
        device.place(&target).step(format!("mount {target}"))?;
    }
    root::complete_dev()?;
    attach("tmpfs", "/run", MountFlags::NOSUID | MountFlags::NODEV, c"mode=755")?;
    root::directory("/tmp", 0o1777)?;
    temporary.place("/tmp").step("mount /tmp")?;
    if prepared.spec.purpose == Purpose::Work {
        root::name_machine(&prepared.spec.hostname)?;
    }
    if prepared.is_privileged() {
        PROC_READ_ONLY.iter().try_for_each(|path| make_read_only(path))?;
    }
    Ok((agent, upper))
}

/// Mounts the machine's root over its writable directory, in this mount namespace only. One that is
/// for looking has the upper directory as its topmost layer, and none to write to.
fn mount_overlay(prepared: &Prepared<'_>) -> Result<(), StepError> {
    let spec = prepared.spec;
    let open = |path: &std::path::Path| directory(path).step(format!("open {}", path.display()));
    let lower = spec.lower.iter().map(|path| open(path)).collect::<Result<Vec<_>, _>>()?;
    let upper = open(&spec.writable.join("upper"))?;
    // By descriptor: paths of any length and with any character, none of them to be read inside. The
    // options must fit in a page, so the numbers stand alone.
    chdir("/proc/self/fd").step("enter the directory of descriptors")?;
    let by_number = |fd: &OwnedFd| fd.as_raw_fd().to_string();
    let layers = lower.iter().map(by_number).collect::<Vec<_>>().join(":");
    // Volatile: as with a microVM's disk, only a crash of the host loses what was not written out.
    // `userxattr`: an ordinary user may not write `trusted` attributes, nor may root of a user
    // namespace, which the agent is, read them.
    let common = "redirect_dir=nofollow,metacopy=off,index=off,xino=off,userxattr";
    let upper_number = by_number(&upper);
    // Open until the mount has been made, since it goes by its number.
    let work = open(&spec.writable.join("work"))?;
    let (flags, options) = match spec.purpose {
        Purpose::Work => {
            // What the last machine on this layer left, since it did not wait for the disk.
            let volatile = spec.writable.join("work/work/incompat/volatile");
            let _ = rustix::fs::unlink(volatile.join("dirty"));
            let _ = rustix::fs::rmdir(volatile);
            let work = by_number(&work);
            let options =
                format!("lowerdir={layers},upperdir={upper_number},workdir={work},{common},volatile");
            (MountFlags::NODEV, options)
        }
        Purpose::Look => {
            (MountFlags::NODEV | MountFlags::RDONLY, format!("lowerdir={upper_number}:{layers},{common}"))
        }
    };
    let options = CString::new(options).expect("numbers and words contain no NUL");
    mount("overlay", &spec.writable, "overlay", flags, options.as_c_str()).step("mount the overlay")
}

fn directory(path: impl rustix::path::Arg) -> rustix::io::Result<OwnedFd> {
    open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn make_read_only(path: &str) -> Result<(), StepError> {
    match mount_bind(path, path) {
        Ok(()) => mount_remount(path, DATA_ONLY | MountFlags::BIND | MountFlags::RDONLY, c"")
            .step(format!("make {path} read-only")),
        // What this kernel does not have needs no protection.
        Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error).step(format!("cover {path}")),
    }
}

fn attach_console(prepared: &Prepared<'_>) -> Result<(), StepError> {
    let null = open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).step("open /dev/null")?;
    dup2_stdin(&null).step("detach standard input")?;
    dup2_stdout(&prepared.console).step("attach the console")?;
    dup2_stderr(&prepared.console).step("attach the console")
}
