//! What a machine must do, whatever kind it is: each case is run on microVMs and on namespaces.

use super::{ENVIRONMENT, Pyro, process};
use std::time::Duration;

pub fn a_command_prints_and_its_machine_is_gone(pyro: &Pyro) {
    let ran = pyro.run(&[], &["git", "--version"]).ended(0);
    assert!(ran.stdout.starts_with("git version 2."), "{ran:?}");
    let summary =
        format!("[run] environment={ENVIRONMENT} execution_mode={} exit_code=0 ", pyro.execution_mode);
    assert!(ran.stderr.contains(&summary), "{ran:?}");
}

pub fn exit_statuses_come_through(pyro: &Pyro) {
    for (script, code) in
        [("exit 0", 0), ("exit 3", 3), ("exit 255", 255), ("kill -9 $$", 137), ("kill $$", 143)]
    {
        pyro.sh(script).ended(code);
    }
    let ran = pyro.run(&[], &["no-such-program"]).ended(127);
    assert!(ran.stderr.contains("no-such-program"), "{ran:?}");
    let ran = pyro.run(&[], &["/etc/passwd"]).ended(126);
    assert!(ran.stderr.contains("/etc/passwd"), "{ran:?}");
    pyro.run(&[], &["/etc"]).ended(126);
}

pub fn streams_are_separate_and_binary_safe(pyro: &Pyro) {
    let ran = pyro.sh("printf out; printf err >&2").ended(0);
    assert_eq!(ran.stdout, "out");
    assert!(ran.stderr.starts_with("err"), "{ran:?}");
    let output = pyro.run_command(&[], &["printf", r"\377\000\376"]).output().unwrap();
    assert_eq!(output.stdout, b"\xff\x00\xfe");
}

pub fn input_is_passed_only_when_asked_for(pyro: &Pyro) {
    let text: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let ran = pyro.run_with_input(&["-i"], &["sha256sum"], &text).ended(0);
    let ours = process::sha256(&text);
    assert!(ran.stdout.starts_with(&ours), "{ran:?}, expected {ours}");
    let ran = pyro.run_with_input(&[], &["wc", "-c"], b"not for you").ended(0);
    assert_eq!(ran.stdout.trim(), "0");
}

pub fn a_timeout_kills_the_whole_group(pyro: &Pyro) {
    let words = ["sh", "-c", "sleep 1000 & sleep 1000; echo never"];
    let ran = pyro.run(&["--timeout-seconds", "1"], &words).ended(124);
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.contains("--timeout-seconds"), "{ran:?}");
}

pub fn a_background_process_does_not_hold_the_end_back(pyro: &Pyro) {
    let ran = pyro.run(&["--timeout-seconds", "25"], &["sh", "-c", "sleep 1000 & echo done"]).ended(0);
    assert_eq!(ran.stdout, "done\n");
}

pub fn json_is_one_sorted_object(pyro: &Pyro) {
    let ran = pyro.run(&["--json"], &["sh", "-c", "echo out; echo err >&2; exit 4"]).ended(4);
    let json = ran.json();
    assert_eq!(json["execution_mode"], pyro.execution_mode);
    assert_eq!(json["exit_code"], 4);
    assert_eq!(json["timed_out"], false);
    assert_eq!(json["stdout"]["text"], "out\n");
    assert_eq!(json["stderr"]["text"], "err\n");
    let keys: Vec<&str> = ran.stdout.lines().filter(|line| line.starts_with("  \"")).collect();
    assert!(keys.is_sorted(), "{ran:?}");
    let json = pyro.run(&["--json"], &["no-such-program"]).ended(127).json();
    assert_eq!(json["error"]["code"], "command_not_found");
}

pub fn environment_directory_and_user_are_the_images_or_ours(pyro: &Pyro) {
    let ran =
        pyro.run(&["--env", "A=b c", "--env", "EMPTY="], &["sh", "-c", "echo \"$A|$EMPTY|$HOME|$PATH\""]);
    assert_eq!(
        ran.ended(0).stdout,
        "b c||/root|/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
    );
    // Nothing of our own environment is in it.
    let output = pyro.run_command(&[], &["env"]).env("LEAKED", "yes").output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stdout).contains("LEAKED"));
    let ran = pyro.run(&["--workdir", "/made/for/this"], &["pwd"]).ended(0);
    assert_eq!(ran.stdout, "/made/for/this\n");
}

pub fn the_root_looks_like_linux(pyro: &Pyro) {
    let script = r#"
        set -e
        test "$(id -u)" = 0
        test "$(hostname)" = pyro
        getent hosts pyro localhost > /dev/null
        for file in null zero full random urandom tty ptmx; do test -c /dev/$file; done
        test -d /dev/pts; test -d /dev/shm; test -e /dev/fd/0; test -e /dev/stdin
        test "$(stat -c %a /tmp)" = 1777
        test "$(stat -c %a /dev/shm)" = 1777
        echo x > /tmp/a; echo x > /dev/shm/a; echo x > /run/a; echo x > /usr/bin/a; echo x > /a
        test -r /proc/self/status; test -d /sys/class
        case "$(stat -f -c %T /tmp)" in tmpfs) echo "/tmp is in memory"; exit 1;; esac
        case "$(stat -f -c %T /run)" in tmpfs) ;; *) echo "/run is on disk"; exit 1;; esac
        umask | grep -q 0022
        cat /proc/net/dev | grep -q lo:
        # The guest kernel has a dummy0 of its own, which leads nowhere: no other interface may have
        # a device behind it, or be up.
        for interface in /sys/class/net/*; do
            case $interface in */lo) continue;; esac
            test ! -e $interface/device; test "$(cat $interface/operstate)" = down
        done
        echo good
    "#;
    assert_eq!(pyro.sh(script).ended(0).stdout, "good\n");
}

pub fn nothing_of_one_machine_is_in_the_next(pyro: &Pyro) {
    pyro.sh("echo left > /root/behind; echo left > /tmp/behind; rm /etc/hostname || true").ended(0);
    let ran = pyro.sh("ls /root/behind /tmp/behind 2>&1; ls /etc/passwd").ended(0);
    assert!(ran.stdout.ends_with("/etc/passwd\n"), "{ran:?}");
    assert_eq!(ran.stdout.matches("No such file").count(), 2, "{ran:?}");
}

pub fn a_terminal_is_one(pyro: &Pyro) {
    let ran = pyro.run(&["-t"], &["sh", "-c", "tty; stty size; echo err >&2"]).ended(0);
    assert!(ran.stdout.starts_with("/dev/pts/"), "{ran:?}");
    assert!(ran.stdout.contains("24 80") && ran.stdout.contains("err"), "{ran:?}");
}

pub fn much_output_arrives_whole(pyro: &Pyro) {
    let output = pyro.run_command(&["--timeout-seconds", "300"], &["sh", "-c", "head -c 20000000 /dev/zero"]);
    let output = { output }.output().unwrap();
    assert_eq!(output.stdout.len(), 20_000_000, "{}", String::from_utf8_lossy(&output.stderr));
}

pub fn a_signal_leaves_nothing_behind(pyro: &Pyro) {
    for (signal, code) in [(rustix::process::Signal::INT, 130), (rustix::process::Signal::TERM, 143)] {
        let mut child = pyro
            .run_command(&["--timeout-seconds", "600"], &["sh", "-c", "echo started; sleep 1000"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
        assert_eq!(line, "started\n");
        let workspace = process::workspace_of(child.id());
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert!(!workspace.exists(), "{} is left", workspace.display());
    }
}

pub fn a_killed_pyro_takes_its_machine_along(pyro: &Pyro) {
    let mut child = pyro
        .run_command(&["--timeout-seconds", "600"], &["sh", "-c", "echo started; sleep 1000"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
    let workspace = process::workspace_of(child.id());
    let machine = process::descendants(child.id());
    assert!(!machine.is_empty(), "pyro has no process under it");
    child.kill().unwrap();
    child.wait().unwrap();
    // The machine notices that its owner is gone; there is no limit here but the test runner's.
    while machine.iter().any(process::Process::is_alive) {
        std::thread::sleep(Duration::from_millis(20));
    }
    // And the next command removes what the killed one left.
    pyro.sh("true").ended(0);
    assert!(!workspace.exists(), "{} is left", workspace.display());
}
