//! The filter of system calls: what a monitor does works, what it never does ends it.

use crate::prisoner::{DISK, LIMITS, Told, imprison, starters};
use crate::trial;
use libtest_mimic::Trial;
use pyro_sys::trap;
use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, memfd_create, open};
use rustix::io::ioctl_fionbio;
use rustix::net::{AddressFamily, SocketType, socket};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::sync::Arc;

const SIGSYS: i32 = 31;

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("what_a_monitor_does_is_allowed", what_a_monitor_does_is_allowed),
        trial("a_forbidden_call_is_named", a_forbidden_call_is_named),
    ];
    for (name, call) in FORBIDDEN {
        trials.push(Trial::test(format!("forbidden::{name}"), move || {
            ends_the_process(*call);
            Ok(())
        }));
    }
    trials
}

/// One of each kind that a guest would like to have.
const FORBIDDEN: &[(&str, fn())] = &[
    ("running_a_program", || {
        let _ = Command::new("/disk").status();
    }),
    ("a_network_socket", || {
        let _ = socket(AddressFamily::INET, SocketType::STREAM, None);
    }),
    ("a_netlink_socket", || {
        let _ = socket(AddressFamily::NETLINK, SocketType::RAW, None);
    }),
    ("a_vsock_socket", || {
        let _ = socket(AddressFamily::VSOCK, SocketType::STREAM, None);
    }),
    ("making_a_file", || {
        let _ = open("/run/new", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR);
    }),
    ("making_a_directory", || {
        let _ = fs::create_dir("/run/new");
    }),
    ("removing_a_file", || {
        let _ = fs::remove_file("/run/new");
    }),
    ("following_a_link", || {
        let _ = fs::read_link("/disk");
    }),
    ("a_signal_to_others", || {
        let _ = kill_process(Pid::from_raw(2).unwrap(), Signal::KILL);
    }),
    ("memory_with_a_name", || {
        let _ = memfd_create("x", MemfdFlags::empty());
    }),
    ("an_ioctl_that_is_not_kvms", || {
        let _ = ioctl_fionbio(std::io::stdout(), false);
    }),
    ("its_user_number", || {
        let _ = rustix::process::getuid().is_root();
    }),
    ("its_capabilities", || {
        let _ = rustix::thread::capabilities(None);
    }),
    ("being_dumpable", || {
        let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable);
    }),
    ("tracing_itself", || {
        let _ = rustix::process::set_ptracer(rustix::process::PTracer::Any);
    }),
    ("mounting", || {
        let _ = rustix::mount::mount("x", "/run", "tmpfs", rustix::mount::MountFlags::empty(), None);
    }),
    ("another_root", || {
        let _ = rustix::process::chroot("/run");
    }),
    ("opening_with_more_to_say", || {
        let _ = rustix::fs::openat2(
            CWD,
            "/disk",
            OFlags::RDONLY,
            Mode::empty(),
            rustix::fs::ResolveFlags::empty(),
        );
    }),
    ("a_file_system", || {
        let _ = rustix::mount::fsopen("tmpfs", rustix::mount::FsOpenFlags::empty());
    }),
    ("hearing_of_forbidden_calls", || {
        let _ = signal_hook::flag::register(signal_hook::consts::SIGSYS, Arc::default());
    }),
    ("a_timer_slack", || {
        let _ = rustix::thread::current_timer_slack();
    }),
];

fn ends_the_process(call: fn()) {
    for told in make(call) {
        let ended = told.status.exit_status();
        match &told.lines[..] {
            // Made while signals are blocked, as the C library does to start a program.
            [before] if before == "before" => assert_eq!(ended, Some(SIGSYS)),
            [before, word] if before == "before" && word.starts_with(trap::WORDS) => {
                assert_eq!(ended, Some(trap::STATUS));
            }
            lines => panic!("{lines:?}"),
        }
    }
}

fn a_forbidden_call_is_named() {
    const GETUID: i64 = 102;
    for told in make(|| assert!(!rustix::process::getuid().is_root())) {
        assert_eq!(told.lines, ["before", &format!("{}{GETUID}", trap::WORDS)]);
    }
}

/// What comes of a call, made by everyone's monitor.
fn make(call: fn()) -> impl Iterator<Item = Told> {
    starters().into_iter().map(move |starter| {
        imprison(
            starter,
            |_| {},
            |inside, out| {
                inside.restrict(&LIMITS).unwrap().filter().unwrap();
                writeln!(out, "before").unwrap();
                call();
                writeln!(out, "after").unwrap();
            },
        )
    })
}

fn what_a_monitor_does_is_allowed() {
    for starter in starters() {
        let told = imprison(
            starter,
            |_| {},
            |inside, out| {
                inside.restrict(&LIMITS).unwrap().filter().unwrap();
                use_files_threads_and_sockets(out);
            },
        );
        assert_eq!(told.lines, ["the guest's own disk", "hello"], "started by {starter:?}");
        assert_eq!(told.status.exit_status(), Some(0), "started by {starter:?}");
    }
}

fn use_files_threads_and_sockets(out: &mut dyn Write) {
    let disk = File::open("/disk").unwrap();
    let upper = OpenOptions::new().write(true).open("/parts/upper").unwrap();
    let mut bytes = [0; DISK.len()];
    rustix::io::preadv(&disk, &mut [std::io::IoSliceMut::new(&mut bytes)], 0).unwrap();
    rustix::io::pwritev(&upper, &[std::io::IoSlice::new(&bytes)], 0).unwrap();
    upper.sync_all().unwrap();
    writeln!(out, "{}", String::from_utf8_lossy(&bytes)).unwrap();
    let listener = UnixListener::bind("/run/agent.sock").unwrap();
    let server = std::thread::spawn(move || {
        let accepted = rustix::net::accept(&listener).unwrap();
        rustix::net::send(&accepted, b"hello", rustix::net::SendFlags::NOSIGNAL).unwrap();
    });
    let mut text = String::new();
    UnixStream::connect("/run/agent.sock").unwrap().read_to_string(&mut text).unwrap();
    server.join().unwrap();
    writeln!(out, "{text}").unwrap();
}
