//! Somebody in a jail who looks around and tells.

use pyro_machine::confine::namespaces::{FLAGS, Owner};
use pyro_machine::confine::{Access, Inside, Jail, Limits};
use pyro_machine::report::Failure;
use pyro_sys::clone::{Child, Clone};
use rustix::fs::Mode;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    DumpableBehavior, Gid, Uid, WaitId, WaitIdOptions, WaitIdStatus, geteuid, set_dumpable_behavior, waitid,
};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// A user that owns nothing else on this host.
const ORDINARY: u32 = 54_321;

/// What the jail's disk holds.
pub const DISK: &[u8] = b"the guest's own disk";

/// Who starts the monitor.
#[derive(Clone, Copy, Debug)]
pub enum Starter {
    /// Root of the host.
    Root,
    /// A user without privileges.
    Ordinary,
}

/// Everyone who can be tried here: only root can try both.
pub fn starters() -> Vec<Starter> {
    if geteuid().is_root() {
        vec![Starter::Root, Starter::Ordinary]
    } else {
        eprintln!("NOT TESTED: a jail made by root, since this test is not run by root");
        vec![Starter::Ordinary]
    }
}

/// Exit status of a prisoner that panicked; the message is among what was told.
const PANICKED: u8 = 101;

/// What came out of the jail.
pub struct Told {
    /// The lines, as the prisoner wrote them.
    pub lines: Vec<String>,
    /// How its process ended.
    pub status: WaitIdStatus,
}

/// The monitor's limits in these jails.
pub const LIMITS: Limits = Limits { vcpus: 1, disk: DISK.len() as u64 };

/// Runs `look` in a jail like the monitor's, and returns what it wrote. There is a disk to read at
/// `/disk`, one to write at `/parts/upper`, and a directory for sockets at `/run`. `before` runs in
/// the namespaces with the host's files still in view.
pub fn imprison(
    starter: Starter,
    before: impl FnOnce(&mut dyn Write),
    look: impl FnOnce(Inside, &mut dyn Write),
) -> Told {
    let directory = tempfile::tempdir().unwrap();
    let host = directory.path();
    fs::write(host.join("disk"), DISK).unwrap();
    fs::write(host.join("upper"), DISK).unwrap();
    fs::write(host.join("secret"), "somebody else's").unwrap();
    fs::create_dir(host.join("run")).unwrap();
    if matches!(starter, Starter::Ordinary) && geteuid().is_root() {
        for name in ["", "disk", "upper", "secret", "run"] {
            std::os::unix::fs::chown(host.join(name), Some(ORDINARY), Some(ORDINARY)).unwrap();
        }
    }
    let (output, input) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let body = || {
        become_starter(starter);
        let owner = Owner::current();
        let inner = Clone { namespaces: FLAGS.bits().into(), cgroup: None, parents: output.as_fd() };
        let child = inner.run(|| {
            let life = catch_unwind(AssertUnwindSafe(|| {
                attach(&input);
                let mut out = io::stdout();
                owner.settle().unwrap();
                before(&mut out);
                look(enter(host).unwrap(), &mut out);
            }));
            life.map_or(PANICKED, |()| 0)
        });
        pass_on(&wait(&child.unwrap()))
    };
    let child = Clone { namespaces: 0, cgroup: None, parents: output.as_fd() }.run(body).unwrap();
    drop(input);
    let mut text = String::new();
    File::from(output).read_to_string(&mut text).unwrap();
    let status = wait(&child);
    Told { lines: text.lines().map(str::to_owned).collect(), status }
}

fn enter(host: &Path) -> Result<Inside, Failure> {
    let mut jail = Jail::new(&host.join("run"))?;
    jail.add(Path::new("/dev/null"), "/dev/kvm", Access::Device)?;
    jail.add(&host.join("run"), "/run", Access::Sockets)?;
    jail.add(&host.join("disk"), "/disk", Access::Read)?;
    jail.add(&host.join("upper"), "/parts/upper", Access::Write)?;
    jail.enter()
}

fn become_starter(starter: Starter) {
    if matches!(starter, Starter::Ordinary) && geteuid().is_root() {
        let (uid, gid) = (Uid::from_raw(ORDINARY), Gid::from_raw(ORDINARY));
        set_thread_groups(&[]).unwrap();
        set_thread_res_gid(gid, gid, gid).unwrap();
        set_thread_res_uid(uid, uid, uid).unwrap();
        // Changing users made this process's entries in /proc root's.
        set_dumpable_behavior(DumpableBehavior::Dumpable).unwrap();
    }
}

/// As the warden does.
fn attach(input: &OwnedFd) {
    let null = File::open("/dev/null").unwrap();
    rustix::stdio::dup2_stdin(&null).unwrap();
    rustix::stdio::dup2_stdout(input).unwrap();
    rustix::stdio::dup2_stderr(input).unwrap();
    drop(null);
    pyro_sys::fds::close_from(3).unwrap();
    rustix::process::umask(Mode::empty());
}

fn wait(child: &Child) -> WaitIdStatus {
    waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED).unwrap().unwrap()
}

/// The process between us and the prisoner ends with the signal's number, or zero.
fn pass_on(status: &WaitIdStatus) -> u8 {
    let code = status.exit_status().or(status.terminating_signal()).unwrap_or_default();
    u8::try_from(code).unwrap()
}
