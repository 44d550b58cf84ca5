//! `pyro-machine` started by its owner, where no guest has to boot: what goes wrong and how it is
//! told, and that an end is an end.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test panics where it cannot go on, and says what it could not try"
)]

use pyro_machine::firmware;
use pyro_machine::launch::{self, Machine};
use pyro_machine::report::{End, Reason};
use pyro_machine::spec::{Disk, DiskFormat, MicroVm, Purpose, Spec};
use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Far more than anything here takes, also on a host that does three other things.
const LIMIT: Duration = Duration::from_secs(60);

/// A directory with all that a machine needs but a guest that boots.
struct Site {
    directory: tempfile::TempDir,
    spec: MicroVm,
}

impl Site {
    /// `None`, said aloud, if this host has no guest kernel or no KVM.
    fn new() -> Option<Self> {
        let missing = |what: &str| eprintln!("NOT TESTED: {what}");
        let kernel =
            firmware::find(Path::new("/nonexistent")).map_err(|error| missing(&error.to_string())).ok()?;
        let kvm = fs::OpenOptions::new().read(true).write(true).open("/dev/kvm");
        kvm.map_err(|error| missing(&format!("/dev/kvm: {error}"))).ok()?;
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::create_dir(path("run")).unwrap();
        // Neither is a file system, so a guest kernel that runs panics.
        for name in ["agent.erofs", "upper.img"] {
            fs::File::create(path(name)).unwrap().set_len(1 << 20).unwrap();
        }
        let spec = MicroVm {
            vcpus: 1,
            mem_mib: 256,
            kernel,
            agent_disk: path("agent.erofs"),
            disks: vec![Disk {
                path: path("upper.img"),
                format: DiskFormat::Raw,
                read_only: false,
                parts: Vec::new(),
            }],
            run_dir: path("run"),
            console: path("console"),
            hostname: "test".into(),
            purpose: Purpose::Work,
        };
        Some(Self { directory, spec })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn launch(&self) -> Machine {
        let program = Path::new(env!("CARGO_BIN_EXE_pyro-machine"));
        launch::launch(program, &Spec::MicroVm(self.spec.clone()), None).unwrap()
    }

    fn end(&self) -> End {
        self.launch().wait(Some(LIMIT)).cloned().expect("the machine ends")
    }
}

/// Changes the machine and expects it not to start, for a reason that has all of `words`.
fn refused(change: impl FnOnce(&mut Site), words: &[&str]) {
    let Some(mut site) = Site::new() else { return };
    change(&mut site);
    let end = site.end();
    assert!(matches!(end.reason, Reason::NotStarted(_)), "{end:?}");
    let text = end.to_string();
    for word in words {
        assert!(text.contains(word), "no {word:?} in {text:?}");
    }
}

fn await_stage(machine: &Machine, name: &str) {
    let start = Instant::now();
    while !machine.stages().iter().any(|stage| stage.name == name) {
        assert!(start.elapsed() < LIMIT, "{:?}", machine.stages());
        assert_eq!(machine.wait(Some(Duration::from_millis(5))), None);
    }
}

#[test]
fn a_missing_disk_is_named() {
    refused(|site| fs::remove_file(site.path("upper.img")).unwrap(), &["upper.img", "No such file"]);
}

#[test]
fn a_missing_agent_disk_is_named() {
    refused(|site| fs::remove_file(site.path("agent.erofs")).unwrap(), &["agent.erofs", "No such file"]);
}

#[test]
fn a_missing_part_is_named() {
    refused(|site| site.spec.disks[0].parts.push("/nowhere/part".into()), &["/nowhere/part", "No such file"]);
}

#[test]
fn a_missing_directory_is_named() {
    refused(|site| fs::remove_dir(site.path("run")).unwrap(), &["/run", "No such file"]);
}

#[test]
fn a_console_that_cannot_be_written_is_named() {
    refused(|site| fs::create_dir(site.path("console")).unwrap(), &["console", "Is a directory"]);
}

#[test]
fn something_else_than_libkrunfw_is_named() {
    refused(
        |site| {
            fs::write(site.path("libkrunfw.so.5"), "no library").unwrap();
            site.spec.kernel = site.path("libkrunfw.so.5");
        },
        &["load ", "libkrunfw.so.5", "file too short"],
    );
    // A library, but another one.
    refused(|site| site.spec.kernel = "libm.so.6".into(), &["load libm.so.6", "krunfw_get_kernel"]);
}

#[test]
fn another_version_of_libkrunfw_is_named() {
    refused(
        |site| {
            let (source, library) = (site.path("old.c"), site.path("libkrunfw.so.4"));
            fs::write(&source, "void krunfw_get_kernel(void) {}\n").unwrap();
            let mut compiler = Command::new("cc");
            compiler.args(["-shared", "-fPIC", "-Wl,-soname,libkrunfw.so.4", "-o"]).arg(&library).arg(source);
            assert!(compiler.status().unwrap().success());
            site.spec.kernel = library;
        },
        &["libkrunfw.so.4", "not of the version", "libkrunfw.so.5"],
    );
}

/// With something else in the place of `/dev/kvm`, in a mount namespace of its own.
fn without_kvm(script: &str, words: &[&str]) {
    let Some(site) = Site::new() else { return };
    if !rustix::process::geteuid().is_root() {
        eprintln!("NOT TESTED: a host without /dev/kvm, since this test is not run by root");
        return;
    }
    let program = site.path("program");
    let machine = env!("CARGO_BIN_EXE_pyro-machine");
    fs::write(&program, format!("#!/bin/sh\nexec unshare --mount sh -euc '{script}' {machine}\n")).unwrap();
    fs::set_permissions(site.directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let machine = launch::launch(&program, &Spec::MicroVm(site.spec.clone()), None).unwrap();
    let end = machine.wait(Some(LIMIT)).expect("the machine ends");
    assert!(matches!(end.reason, Reason::NotStarted(_)), "{end:?}");
    for word in words {
        assert!(end.to_string().contains(word), "no {word:?} in {end}");
    }
}

#[test]
fn a_host_without_kvm_is_told_why() {
    let missing = "mount -t tmpfs none /mnt; touch /mnt/null; mount --bind /dev/null /mnt/null; \
                   mount --rbind /mnt /dev; exec $0";
    without_kvm(missing, &["open /dev/kvm", "does not exist", "not loaded"]);
    // A number that no driver has.
    let nobodys = "mount -t tmpfs none /mnt; mknod /mnt/kvm c 10 99; mount --bind /mnt/kvm /dev/kvm; exec $0";
    without_kvm(nobodys, &["open /dev/kvm", "no KVM behind it", "not loaded"]);
    let closed = "mount -t tmpfs none /mnt; mknod -m 600 /mnt/kvm c 10 232; mount --bind /mnt/kvm /dev/kvm; \
                  exec setpriv --reuid 54321 --regid 54321 --clear-groups $0";
    without_kvm(closed, &["open /dev/kvm", "this user may not", "kvm"]);
}

#[test]
fn a_socket_of_another_machine_is_named() {
    refused(|site| fs::write(site.path("run/agent.sock"), "").unwrap(), &["agent.sock", "File exists"]);
}

#[test]
fn a_descriptor_that_is_none_is_an_error() {
    refused(
        |site| {
            fs::write(site.path("upper.img"), "not a descriptor").unwrap();
            site.spec.disks[0].format = DiskFormat::Vmdk;
        },
        &["start the virtual machine", "block"],
    );
}

#[test]
fn a_size_that_no_machine_has_is_an_error() {
    refused(|site| site.spec.mem_mib = 0, &["set the machine's size"]);
    refused(|site| site.spec.vcpus = 0, &["set the machine's size"]);
}

#[test]
fn a_guest_without_a_root_ends_by_itself_or_this_hosts_kvm_is_named() {
    let Some(site) = Site::new() else { return };
    let end = site.end();
    match end.reason {
        Reason::KernelNotEntered => assert!(end.console.is_empty(), "{end:?}"),
        Reason::Panic(ref message) => assert!(message.contains("mount root"), "{end:?}"),
        _ => panic!("{end:?}"),
    }
    assert!(end.peak_kib > 1024, "{end:?}");
}

#[test]
fn a_killed_machine_is_gone() {
    let Some(site) = Site::new() else { return };
    let machine = site.launch();
    await_stage(&machine, "entering");
    assert!(machine.confinement().is_some());
    let processes = monitors(&machine);
    assert!(!processes.is_empty());
    assert_eq!(machine.kill().unwrap().reason, Reason::Killed);
    for process in processes {
        assert!(!Path::new(&format!("/proc/{process}")).exists(), "{process} is still there");
    }
}

#[test]
fn a_machine_whose_warden_is_killed_goes_with_it() {
    let Some(site) = Site::new() else { return };
    let machine = site.launch();
    await_stage(&machine, "entering");
    let monitors = monitors(&machine);
    assert_eq!(monitors.len(), 1);
    rustix::process::pidfd_send_signal(&machine, rustix::process::Signal::KILL).unwrap();
    assert!(matches!(machine.end().reason, Reason::Vanished(_)));
    let start = Instant::now();
    while monitors.iter().any(|monitor| is_running(monitor)) {
        assert!(start.elapsed() < LIMIT, "{monitors:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The processes that `machine`'s has started.
fn monitors(machine: &Machine) -> Vec<String> {
    let about = fs::read_to_string(format!("/proc/self/fdinfo/{}", machine.as_fd().as_raw_fd())).unwrap();
    let warden = about.lines().find_map(|line| line.strip_prefix("Pid:\t")).unwrap();
    let all = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    all.filter(|process| stat(process).is_some_and(|fields| fields[1] == warden)).collect()
}

fn is_running(process: &str) -> bool {
    stat(process).is_some_and(|fields| fields[0] != "Z")
}

/// State, parent and the rest of `/proc/PID/stat`.
fn stat(process: &str) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split(' ').map(str::to_owned).collect())
}
