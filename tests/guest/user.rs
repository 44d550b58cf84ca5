//! What an ordinary user can do who may use `/dev/kvm`. In the lab `tests/runner` starts these as one;
//! on a host whose own KVM boots guests they run as whoever runs the tests.

use crate::support::{ENVIRONMENT, Pyro, cases, delta, process};
use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::TcpListener;
use std::process::Stdio;

#[expect(clippy::print_stderr, reason = "what cannot be tested here is said aloud")]
fn pyro() -> Pyro {
    let user = rustix::process::geteuid();
    let in_lab = std::env::var_os("PYRO_GUEST_RUNNER").is_some_and(|runner| runner == "lab");
    assert!(!(in_lab && user.is_root()), "the lab starts these tests as its plain user");
    if user.is_root() {
        eprintln!("NOT TESTED: an ordinary user, since root runs this test");
    }
    Pyro::new(&[], "guest_vsock")
}

#[test]
fn every_check_of_doctor_passes() {
    let pyro = pyro();
    // Of an environment that nothing was done in yet, doctor says just that.
    pyro.prepare(&[]).ended(0);
    // Docker Hub may be out of reach: this takes connections in its place.
    let mirror = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = tempfile::tempdir().unwrap();
    fs::create_dir(config.path().join("pyro")).unwrap();
    let text = format!("[registry.mirrors]\n\"docker.io\" = [\"{}\"]\n", mirror.local_addr().unwrap());
    fs::write(config.path().join("pyro/config.toml"), text).unwrap();
    let mut doctor = pyro.command(&["doctor", "--environment", ENVIRONMENT, "--json"]);
    let output = doctor.env("XDG_CONFIG_HOME", config.path()).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let failed: Vec<_> = checks.iter().filter(|check| check["verdict"] != "PASS").collect();
    assert!(failed.is_empty() && output.status.success(), "{failed:#?}");
    let detail = |name: &str| checks.iter().find(|check| check["name"] == name).unwrap()["detail"].clone();
    assert!(detail("boot").as_str().unwrap().starts_with("a guest booted and answered"));
    assert_eq!(
        detail("confinement"),
        "user, mount, PID, network, IPC and UTS namespaces, pivoted root, seccomp, no capabilities, \
         no_new_privs, Landlock"
    );
}

#[test]
fn a_command_prints_and_its_machine_is_gone() {
    cases::a_command_prints_and_its_machine_is_gone(&pyro());
}

#[test]
fn the_monitor_of_a_running_guest_is_in_its_jail() {
    let words = ["sh", "-c", "echo started; sleep 1000"];
    let mut child =
        pyro().run_command(&["--timeout-seconds", "600"], &words).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "started\n");
    let below = process::descendants(child.id());
    let monitor = below.iter().find(|process| process::descendants(process.pid).is_empty()).unwrap().pid;
    let status = fs::read_to_string(format!("/proc/{monitor}/status")).unwrap();
    let status: HashMap<&str, &str> = status.lines().filter_map(|line| line.split_once(":\t")).collect();
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status[set], "0000000000000000", "{set}");
    }
    assert_eq!(status["NoNewPrivs"], "1");
    assert_eq!((status["Seccomp"], status["Seccomp_filters"]), ("2", "2"));
    assert!(status["NSpid"].ends_with("\t1"), "it is the first process of its namespace: {status:?}");
    // Not dumpable: the user who started it cannot look into it either.
    for what in ["root", "ns/user", "fd", "mem"] {
        let path = format!("/proc/{monitor}/{what}");
        let opened = fs::read_link(&path).map(|_| ()).or_else(|_| fs::File::open(&path).map(|_| ()));
        if !rustix::process::geteuid().is_root() {
            assert_eq!(opened.unwrap_err().kind(), ErrorKind::PermissionDenied, "{path}");
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn layers_lie_on_an_image() {
    delta::layers_lie_on_an_image(&pyro());
}

/// The lab's kernel is another one than that of most who build this.
#[test]
fn layers_lie_on_an_image_in_namespaces() {
    delta::layers_lie_on_an_image(&Pyro::new(&[], "host_compat"));
}
