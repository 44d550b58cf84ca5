//! What there is in the jail: files, processes, sockets, descriptors, powers.

#![allow(clippy::disallowed_types, reason = "to see that the jail has no network, one must try")]

use crate::prisoner::{DISK, LIMITS, Starter, imprison, starters};
use crate::trial;
use libtest_mimic::Trial;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect, socket};
use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process};
use rustix::thread::{
    CapabilitySet, capabilities, capability_is_in_ambient_set, capability_is_in_bounding_set, no_new_privs,
};
use std::fmt::Display;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::FileExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};
use std::path::Path;

const NAMESPACES: [&str; 7] = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];

pub fn trials() -> Vec<Trial> {
    vec![
        trial("only_its_own_files_are_there", only_its_own_files_are_there),
        trial("files_are_as_writable_as_they_should_be", files_are_as_writable_as_they_should_be),
        trial("every_namespace_is_its_own", every_namespace_is_its_own),
        trial("no_descriptor_came_along", no_descriptor_came_along),
        trial("it_sees_no_process_and_reaches_none", it_sees_no_process_and_reaches_none),
        trial("it_has_no_network", it_has_no_network),
        trial("it_has_no_powers", it_has_no_powers),
        trial("it_has_limits", it_has_limits),
        trial("threads_of_an_ordinary_user_are_counted", threads_of_an_ordinary_user_are_counted),
    ]
}

/// Looks with every starter, without powers but with all system calls, and compares with what is
/// expected.
fn check(look: fn(&mut dyn Write), expected: &[&str]) {
    for starter in starters() {
        let told = imprison(
            starter,
            |_| {},
            |inside, out| {
                let _restricted = inside.restrict(&LIMITS).unwrap();
                look(out);
            },
        );
        assert_eq!(told.lines, expected, "started by {starter:?}");
        assert_eq!(told.status.exit_status(), Some(0), "started by {starter:?}");
    }
}

fn say(out: &mut dyn Write, what: impl Display) {
    writeln!(out, "{what}").unwrap();
}

fn outcome<T>(result: io::Result<T>) -> String {
    match result {
        Ok(_) => "yes".into(),
        // Without the number.
        Err(error) => error.to_string().split(" (").next().unwrap_or_default().to_owned(),
    }
}

fn only_its_own_files_are_there() {
    fn walk(directory: &Path, out: &mut dyn Write) {
        let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            say(out, path.display());
            if path.is_dir() {
                walk(&path, out);
            }
        }
    }
    for starter in starters() {
        // Before Landlock, which leaves nobody the right to list.
        let told = imprison(starter, |_| {}, |_inside, out| walk(Path::new("/"), out));
        let all = ["/dev", "/dev/kvm", "/disk", "/parts", "/parts/upper", "/run"];
        assert_eq!(told.lines, all, "started by {starter:?}");
    }
}

fn files_are_as_writable_as_they_should_be() {
    check(
        |out| {
            let open = |path: &str, write| OpenOptions::new().read(true).write(write).open(path);
            say(out, format!("read the disk: {}", outcome(open("/disk", false))));
            say(out, format!("write the disk: {}", outcome(open("/disk", true))));
            let upper = open("/parts/upper", true).unwrap();
            say(out, format!("write the upper: {}", outcome(upper.write_all_at(b"mine", 0))));
            say(out, format!("run the disk: {}", outcome(std::process::Command::new("/disk").spawn())));
            for place in ["/new", "/run/new", "/parts/new"] {
                let made = OpenOptions::new().write(true).create_new(true).open(place);
                say(out, format!("make {place}: {}", outcome(made)));
            }
            say(out, format!("make a directory: {}", outcome(fs::create_dir("/run/directory"))));
            say(out, format!("remove the disk: {}", outcome(fs::remove_file("/disk"))));
            say(out, format!("make a socket: {}", outcome(UnixListener::bind("/run/socket"))));
        },
        &[
            "read the disk: yes",
            "write the disk: Read-only file system",
            "write the upper: yes",
            "run the disk: Permission denied",
            "make /new: Read-only file system",
            "make /run/new: Permission denied",
            "make /parts/new: Read-only file system",
            "make a directory: Permission denied",
            "remove the disk: Read-only file system",
            "make a socket: yes",
        ],
    );
}

fn every_namespace_is_its_own() {
    let ours: Vec<_> = NAMESPACES.map(|name| fs::read_link(format!("/proc/self/ns/{name}")).unwrap()).into();
    for starter in starters() {
        let told = imprison(
            starter,
            |out| {
                for name in NAMESPACES {
                    say(out, fs::read_link(format!("/proc/self/ns/{name}")).unwrap().display());
                }
            },
            |_inside, _out| {},
        );
        assert_eq!(told.lines.len(), NAMESPACES.len(), "{:?}", told.lines);
        for (ours, theirs) in ours.iter().zip(&told.lines) {
            assert_ne!(ours.to_str().unwrap(), theirs, "started by {starter:?}");
        }
    }
}

fn no_descriptor_came_along() {
    // The first four are the standard streams and what lists them.
    for starter in starters() {
        let told = imprison(
            starter,
            |out| {
                let entries = fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().file_name());
                let mut numbers: Vec<_> = entries.collect();
                numbers.sort();
                say(out, format!("{numbers:?}"));
            },
            // What is opened now shows that the jail's making has left nothing open either.
            |inside, out| {
                let _restricted = inside.restrict(&LIMITS).unwrap();
                say(out, fs::File::open("/disk").unwrap().as_raw_fd());
            },
        );
        assert_eq!(told.lines[0], r#"["0", "1", "2", "3"]"#, "started by {starter:?}");
        assert_eq!(told.lines[1], "3", "started by {starter:?}");
    }
}

fn it_sees_no_process_and_reaches_none() {
    check(
        |out| {
            say(out, format!("process {}", std::process::id()));
            say(out, format!("parent {:?}", rustix::process::getppid()));
            let second = kill_process(Pid::from_raw(2).unwrap(), Signal::KILL);
            say(out, format!("kill another: {}", outcome(second.map_err(io::Error::from))));
            say(out, format!("look at /proc: {}", outcome(fs::metadata("/proc"))));
        },
        &[
            "process 1",
            "parent None",
            "kill another: No such process",
            "look at /proc: No such file or directory",
        ],
    );
}

fn it_has_no_network() {
    let name = format!("pyro-jail-test-{}", std::process::id());
    let address = UnixAddr::from_abstract_name(&name).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    for starter in starters() {
        let told = imprison(
            starter,
            |_| {},
            |inside, out| {
                let _restricted = inside.restrict(&LIMITS).unwrap();
                let abstract_socket = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
                let theirs = SocketAddrUnix::new_abstract_name(name.as_bytes()).unwrap();
                let connected = connect(&abstract_socket, &theirs).map_err(io::Error::from);
                say(out, format!("abstract socket of the host: {}", outcome(connected)));
                let loopback: SocketAddr = "127.0.0.1:9".parse().unwrap();
                say(out, format!("tcp: {}", outcome(TcpStream::connect(loopback))));
                let udp = UdpSocket::bind("0.0.0.0:0").unwrap();
                say(out, format!("udp: {}", outcome(udp.send_to(b"x", loopback))));
            },
        );
        // Each is refused twice over: by the network namespace, and by Landlock where it has these rules.
        let refused = |line: &str, errors: &[&str]| errors.iter().any(|error| line.ends_with(error));
        assert!(
            refused(&told.lines[0], &["Operation not permitted", "Connection refused"]),
            "{:?}",
            told.lines
        );
        assert!(
            refused(&told.lines[1], &["Permission denied", "Network is unreachable"]),
            "{:?}",
            told.lines
        );
        assert!(
            refused(&told.lines[2], &["Permission denied", "Network is unreachable"]),
            "{:?}",
            told.lines
        );
    }
}

fn it_has_no_powers() {
    check(
        |out| {
            let held = capabilities(None).unwrap();
            let none = CapabilitySet::empty();
            say(out, held.effective == none && held.permitted == none && held.inheritable == none);
            let known = (0..64).map(|number| CapabilitySet::from_bits_retain(1 << number));
            say(out, known.clone().filter(|one| capability_is_in_bounding_set(*one) == Ok(true)).count());
            say(out, known.filter(|one| capability_is_in_ambient_set(*one) == Ok(true)).count());
            say(out, no_new_privs().unwrap());
            say(out, format!("{:?}", rustix::process::dumpable_behavior().unwrap()));
            say(out, format!("user {} group {}", rustix::process::getuid(), rustix::process::getgid()));
            let root = rustix::process::Uid::ROOT;
            let become_root = rustix::thread::set_thread_uid(root).map_err(io::Error::from);
            say(out, format!("become root: {}", outcome(become_root)));
            let mount =
                rustix::mount::mount("proc", "/run", "proc", rustix::mount::MountFlags::empty(), None);
            say(out, format!("mount: {}", outcome(mount.map_err(io::Error::from))));
        },
        &[
            "true",
            "0",
            "0",
            "true",
            "NotDumpable",
            "user 1 group 1",
            "become root: Invalid argument",
            "mount: Operation not permitted",
        ],
    );
}

fn it_has_limits() {
    check(
        |out| {
            say(out, format!("core {:?}", getrlimit(Resource::Core).maximum));
            say(out, format!("locked {:?}", getrlimit(Resource::Memlock).maximum));
            let upper = OpenOptions::new().write(true).open("/parts/upper").unwrap();
            say(out, format!("grow the disk: {}", outcome(upper.write_at(b"beyond", DISK.len() as u64))));
            say(out, format!("set its size: {}", outcome(upper.set_len(0))));
        },
        &[
            "core Some(0)",
            "locked Some(0)",
            "grow the disk: File too large",
            "set its size: Permission denied",
        ],
    );
}

/// The kernel does not count the threads of the host's root, whatever namespace they are in.
fn threads_of_an_ordinary_user_are_counted() {
    let told = imprison(
        Starter::Ordinary,
        |_| {},
        |inside, out| {
            let _restricted = inside.restrict(&LIMITS).unwrap();
            say(out, (0..200).map_while(|_| spawn_sleeper().ok()).count());
        },
    );
    assert_eq!(told.lines, ["64"]);
}

fn spawn_sleeper() -> io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().spawn(|| std::thread::sleep(std::time::Duration::from_secs(60)))
}
