//! What a machine has of the host: nothing that it was not given.

use crate::support::{Machine, Owner, lay_out, program, with_machines};
use pyro_machine::launch;
use pyro_machine::report::Reason;
use pyro_machine::spec::{READY_SOCKET, Spec};
use pyro_protocol::{Reply, frame};
use rustix::process::{Signal, pidfd_send_signal};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

#[test]
fn the_agent_says_what_it_did() {
    with_machines(|machine| {
        let names: Vec<&str> = machine.ready.steps.iter().map(|step| step.name.as_str()).collect();
        assert_eq!(names, ["agent", "listening"]);
        assert!(machine.ready.steps.is_sorted_by_key(|step| step.at_us));
    });
}

#[test]
fn only_its_own_processes_are_there() {
    with_machines(|machine| {
        let processes = machine.text("for p in /proc/[0-9]*; do cat $p/comm; done 2>/dev/null");
        let processes: BTreeSet<&str> = processes.lines().collect();
        assert_eq!(processes, BTreeSet::from(["pyro-agent", "sh"]));
        assert_eq!(machine.text("tr '\\0' ' ' < /proc/1/cmdline"), "pyro-agent --namespaces ");
        assert_eq!(machine.text("wc -c < /proc/1/environ"), "0\n");
    });
}

#[test]
fn only_its_own_mounts_are_there() {
    with_machines(|machine| {
        let table = machine.text("cat /proc/self/mountinfo");
        let points: BTreeSet<&str> = table.lines().filter_map(|line| line.split(' ').nth(4)).collect();
        let mut allowed = BTreeSet::from(["/", "/proc", "/sys", "/sys/fs/cgroup", "/dev", "/run", "/tmp"]);
        allowed.extend(["/dev/pts", "/dev/shm", "/dev/mqueue", "/etc/hosts", "/etc/resolv.conf"]);
        allowed.extend(["null", "zero", "full", "random", "urandom", "tty"].map(|name| match name {
            "null" => "/dev/null",
            "zero" => "/dev/zero",
            "full" => "/dev/full",
            "random" => "/dev/random",
            "urandom" => "/dev/urandom",
            _ => "/dev/tty",
        }));
        let unexpected: Vec<_> =
            points.difference(&allowed).filter(|point| !point.starts_with("/proc/")).collect();
        assert!(unexpected.is_empty(), "{unexpected:?}");
        for needed in
            ["/", "/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/null", "/run", "/tmp", "/etc/hosts"]
        {
            assert!(points.contains(needed), "{needed} is not mounted");
        }
        // The overlay does not say where on the host its layers are.
        let root = table.lines().find(|line| line.split(' ').nth(4) == Some("/")).unwrap();
        assert!(!root.contains(&*machine.directory.path().to_string_lossy()), "{root}");
    });
}

#[test]
fn only_its_own_files_are_there() {
    with_machines(|machine| {
        let names = "bin\ndev\netc\nhome\nproc\nroot\nrun\nsys\ntmp\nusr\n";
        assert_eq!(machine.text("ls /"), names);
        // Above the root is the root, and nothing is left open that leads elsewhere.
        assert_eq!(machine.text("ls /../.."), names);
        assert_eq!(machine.text("ls /proc/1/root/"), names);
        // Some may be closed meanwhile.
        let open = machine.text("for fd in /proc/1/fd/*; do readlink $fd || true; done");
        // The upper directory of the overlay, which is a root of its own and cannot be written to.
        let upper =
            machine.text("echo x > /mark; for up in . .. ../../..; do ls /proc/1/fd/5/$up/mark; done");
        assert_eq!(upper.lines().count(), 3, "{upper}");
        for change in [
            "rm /proc/1/fd/5/mark",
            "touch /proc/1/fd/5/x",
            "chmod 777 /proc/1/fd/5/mark",
            "mount -o remount,rw /proc/1/fd/5",
        ] {
            assert_ne!(machine.sh(change).code(), 0, "{change}");
        }
        let known = ["/dev/null", "anon_inode:", "socket:", "pipe:"];
        let console = machine.path("console");
        for target in open.lines().filter(|target| !known.iter().any(|known| target.starts_with(known))) {
            assert!(console.ends_with(target.trim_start_matches('/')), "{target}");
        }
        let devices = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero";
        assert_eq!(machine.text("echo $(ls /dev)").trim(), devices);
        assert_eq!(
            machine.text("echo hi > /dev/null; head -c 4 /dev/zero | wc -c; head -c 4 /dev/urandom | wc -c"),
            "4\n4\n"
        );
    });
}

#[test]
fn there_is_no_network_but_its_own_loopback() {
    with_machines(|machine| {
        assert_eq!(machine.text("ls /sys/class/net"), "lo\n");
        let interfaces = machine.text("cat /proc/net/dev");
        let names: Vec<&str> = interfaces.lines().skip(2).filter_map(|line| line.split(':').next()).collect();
        assert_eq!(names.iter().map(|name| name.trim()).collect::<Vec<_>>(), ["lo"]);
        // The listening side ends with the other one's input, which therefore has no end.
        let talk = "mkfifo /tmp/endless; (echo hello | nc -l -p 7777 &) ; i=0; until nc localhost 7777 <> /tmp/endless; do i=$((i+1)); [ $i -lt 100 ] || exit 1; sleep 0.01; done; rm /tmp/endless";
        assert_eq!(machine.sh(talk).output(), "hello\n");
        assert_ne!(machine.sh("nc -w 1 192.0.2.1 80 < /dev/null").code(), 0);
        // Abstract sockets of the host belong to its network.
        assert_eq!(machine.text("grep -c @ /proc/net/unix || true"), "0\n");
    });
}

#[test]
fn it_has_a_name_that_resolves() {
    with_machines(|machine| {
        assert_eq!(machine.text("hostname"), "testbed\n");
        assert_eq!(machine.text("grep -c testbed /etc/hosts"), "1\n");
        assert_ne!(rustix::system::uname().nodename().to_bytes(), b"testbed");
    });
}

#[test]
fn every_namespace_is_its_own() {
    with_machines(|machine| {
        for name in ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"] {
            let path = format!("/proc/self/ns/{name}");
            let inside = machine.text(&format!("readlink {path}"));
            assert_ne!(Path::new(inside.trim()), fs::read_link(&path).unwrap(), "{name}");
        }
    });
}

#[test]
fn the_host_cannot_be_changed_from_inside() {
    let attempts = [
        "echo x > /proc/sys/kernel/core_pattern",
        "echo h > /proc/sysrq-trigger",
        "echo 1 > /proc/sys/vm/drop_caches",
        "echo x > /sys/kernel/uevent_helper",
        "mkdir /sys/fs/cgroup/x",
        "mknod /tmp/disk b 8 0",
        "umount /proc/sys && echo x > /proc/sys/kernel/core_pattern",
        "mount -o remount,rw /proc/sys && echo x > /proc/sys/kernel/core_pattern",
        "mkdir -p /tmp/p && mount -t proc proc /tmp/p && echo x > /tmp/p/sys/kernel/core_pattern",
        "unshare -Urmpf sh -c 'mount -t proc proc /proc && echo x > /proc/sys/kernel/core_pattern'",
        "unshare -m sh -c 'umount -l /proc/sys && echo x > /proc/sys/kernel/core_pattern'",
        "dmesg",
        "insmod /bin/busybox",
        "nsenter -t 1 -u hostname stolen && grep stolen /proc/1/status",
        "chroot /proc/1/root/proc/1/root ls /work",
        ": > /proc/1/exe",
        "chmod 0 /proc/1/exe && exit 1 || exit 1",
    ];
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    with_machines(|machine| {
        let agent = fs::metadata(machine.path("agent")).unwrap();
        for attempt in attempts {
            assert_ne!(machine.sh(attempt).code(), 0, "{:?}: {attempt}", machine.owner);
        }
        assert_eq!(fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap(), pattern);
        let after = fs::metadata(machine.path("agent")).unwrap();
        assert_eq!(
            (agent.permissions(), agent.modified().unwrap()),
            (after.permissions(), after.modified().unwrap())
        );
        assert_eq!(machine.text("grep Seccomp: /proc/self/status"), "Seccomp:\t2\n");
    });
}

#[test]
fn only_changes_go_to_the_writable_layer() {
    with_machines(|machine| {
        let before = tree(&machine.path("lower"));
        machine.text("echo new > /etc/new; rm /etc/group; mkdir /srv; echo x > /tmp/t; echo x > /run/r; echo x > /dev/shm/s");
        assert_eq!(machine.text("cat /etc/new /tmp/t; ls -A /srv"), "new\nx\n");
        assert_eq!(tree(&machine.path("lower")), before);
        // `resolv.conf` is the empty file that ours is mounted on.
        let upper = ["etc", "etc/group", "etc/new", "etc/resolv.conf", "srv"].map(PathBuf::from);
        assert_eq!(tree(&machine.path("writable/upper")), BTreeSet::from(upper));
        assert_eq!(tree(&machine.path("writable/tmp")), BTreeSet::from([PathBuf::from("t")]));
        assert_eq!(machine.text("stat -c %a /tmp"), "1777\n");
    });
}

fn tree(root: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            found.insert(entry.path().strip_prefix(root).unwrap().to_owned());
            if entry.file_type().unwrap().is_dir() {
                pending.push(entry.path());
            }
        }
    }
    found
}

#[test]
fn the_machine_dies_with_its_launcher() {
    with_machines(|machine| {
        let session = machine.begin(crate::support::sh("trap '' HUP TERM INT; echo begun; sleep 995"));
        session.until("begun\n");
        pidfd_send_signal(&machine.launched, Signal::KILL).unwrap();
        // The connection ends when the last process that holds it does: the agent.
        while frame::read::<Reply>(&session.stream).is_ok() {}
    });
}

#[test]
fn the_machine_dies_when_its_owner_hangs_up() {
    with_machines(|machine| {
        let session = machine.begin(crate::support::sh("echo begun; sleep 994"));
        session.until("begun\n");
        assert_eq!(machine.launched.kill().unwrap().reason, Reason::Killed);
        while frame::read::<Reply>(&session.stream).is_ok() {}
    });
}

#[test]
fn a_start_that_fails_says_which_step() {
    for owner in Owner::all() {
        let directory = tempfile::tempdir().unwrap();
        let good = lay_out(directory.path());
        let _listener = UnixListener::bind(good.run_dir.join(READY_SOCKET)).unwrap();
        let program = program(owner, directory.path());
        let nowhere = PathBuf::from("/nowhere");
        let table = [
            (|spec: &mut pyro_machine::spec::Namespaces, path| spec.agent = path) as fn(&mut _, PathBuf),
            |spec, path| spec.lower = vec![path],
            |spec, path| spec.writable = path,
            |spec, path| spec.run_dir = path,
            |spec, path| spec.console = path.join("console"),
        ];
        for spoil in table {
            let mut spec = good.clone();
            spoil(&mut spec, nowhere.clone());
            // The socket of the attempt before.
            let _ = fs::remove_file(good.run_dir.join(pyro_machine::spec::AGENT_SOCKET));
            let end = launch::launch(&program, &Spec::Namespaces(spec), None).unwrap().end();
            let Reason::NotStarted(failure) = &end.reason else { panic!("{end}") };
            assert!(failure.reason.contains("No such file or directory"), "{end}");
        }
    }
}

#[test]
fn several_layers_make_one_root() {
    for owner in Owner::all() {
        let directory = tempfile::tempdir().unwrap();
        let mut spec = lay_out(directory.path());
        let top = spec.lower[0].join("..").join("top: with, odd\\name");
        fs::create_dir_all(top.join("etc")).unwrap();
        fs::write(top.join("etc/passwd"), "root:x:0:0::/top:/bin/sh\n").unwrap();
        spec.lower.insert(0, top);
        let machine = Machine::from_spec(owner, directory, spec);
        assert_eq!(machine.text("echo $HOME; ls /etc/group"), "/top\n/etc/group\n");
    }
}

#[test]
fn as_many_layers_fit_as_an_image_may_have() {
    let directory = tempfile::tempdir().unwrap();
    let mut spec = lay_out(directory.path());
    for number in 1..500 {
        let layer = directory.path().join(number.to_string());
        fs::create_dir_all(layer.join("layers")).unwrap();
        fs::write(layer.join("layers").join(number.to_string()), "").unwrap();
        spec.lower.insert(0, layer);
    }
    let machine = Machine::from_spec(Owner::all()[0], directory, spec);
    assert_eq!(machine.text("ls /layers | wc -l"), "499\n");
}
