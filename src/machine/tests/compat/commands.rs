//! What a command sees, and what its caller is told.

use crate::support::{Machine, Owner, exec, sh, with_machines};
use pyro_protocol::{Exec, FailureKind, Input, Reply, Status};

#[test]
fn exit_codes_and_signals_come_back() {
    with_machines(|machine| {
        for code in [0, 1, 7, 126, 255] {
            assert_eq!(machine.sh(&format!("exit {code}")).ended().status, Status::Exited(code));
        }
        assert_eq!(machine.sh("kill -TERM $$").ended().status, Status::Signaled(15));
        assert_eq!(machine.sh("kill -KILL $$").ended().status, Status::Signaled(9));
        assert_eq!(machine.sh("kill -SEGV $$").ended().status, Status::Signaled(11));
    });
}

#[test]
fn a_program_that_cannot_run_says_why() {
    let table: &[(&[&str], FailureKind, &str)] = &[
        (&["nope"], FailureKind::NotFound, "nope: not found"),
        (&["/bin/nope"], FailureKind::NotFound, "/bin/nope: not found"),
        (&["/bin/sh/nope"], FailureKind::NotFound, "/bin/sh/nope: not found"),
        (&["not-executable"], FailureKind::NotExecutable, "not-executable: permission denied"),
        (&["/etc"], FailureKind::NotExecutable, "/etc: is a directory"),
        (
            &["not-a-program"],
            FailureKind::NotExecutable,
            "not-a-program: not a program for this machine, nor a script with a #! line",
        ),
        (
            &["no-interpreter"],
            FailureKind::NotExecutable,
            "no-interpreter: its interpreter is not in this workspace",
        ),
        (&[], FailureKind::Invalid, "the command is empty"),
        (&[""], FailureKind::Invalid, "the command is empty"),
        (&["a\0b"], FailureKind::Invalid, "an argument contains a NUL byte"),
    ];
    with_machines(|machine| {
        for (argv, kind, message) in table {
            let outcome = machine.run(exec(argv));
            let failure = outcome.failure();
            assert_eq!((failure.kind, failure.message.as_str()), (*kind, *message), "{argv:?}");
        }
    });
}

#[test]
fn programs_are_looked_up_in_the_path_of_the_command() {
    with_machines(|machine| {
        machine
            .text("mkdir -p /opt/a /opt/b; printf '#!/bin/sh\necho $0' > /opt/b/tool; chmod +x /opt/b/tool");
        let with_path = |path: &str| Exec {
            env: vec![(b"PATH".to_vec().into(), path.as_bytes().to_vec().into())],
            ..exec(&["tool"])
        };
        assert_eq!(machine.run(with_path("/opt/a:/opt/b:/bin")).output(), "/opt/b/tool\n");
        assert_eq!(machine.run(with_path("/nowhere:/opt/a")).failure().kind, FailureKind::NotFound);
        let in_cwd = Exec { cwd: b"/opt/b".to_vec().into(), ..with_path(":/bin") };
        assert_eq!(machine.run(in_cwd).output(), "./tool\n");
        // A file that may not be executed hides no other one.
        machine.text("touch /opt/a/tool");
        assert_eq!(machine.run(with_path("/opt/a:/opt/b")).output(), "/opt/b/tool\n");
        let without = Exec { env: Vec::new(), ..exec(&["echo", "found"]) };
        assert_eq!(machine.run(without).output(), "found\n");
    });
}

#[test]
fn the_environment_is_the_one_given_and_who_one_is() {
    with_machines(|machine| {
        let mut command = exec(&["env"]);
        command.env.push((b"ODD".to_vec().into(), b"a=b c\n\xff".to_vec().into()));
        assert_eq!(
            machine.run(command).stdout,
            b"PATH=/usr/bin:/bin\nODD=a=b c\n\xff\nHOME=/root\nUSER=root\nLOGNAME=root\n"
        );
        let mut command = exec(&["env"]);
        command.env.push((b"HOME".to_vec().into(), b"/else".to_vec().into()));
        assert!(machine.run(command).output().contains("HOME=/else\n"));
        let mut command = exec(&["env"]);
        command.env.push((b"A=B".to_vec().into(), Default::default()));
        assert_eq!(machine.run(command).failure().message, "'A=B' cannot name a variable");
    });
}

#[test]
fn the_working_directory_is_entered_or_made() {
    let at = |directory: &str, create_cwd| Exec {
        cwd: directory.as_bytes().to_vec().into(),
        create_cwd,
        ..exec(&["pwd"])
    };
    with_machines(|machine| {
        assert_eq!(machine.run(at("", false)).output(), "/\n");
        assert_eq!(machine.run(at("/etc", false)).output(), "/etc\n");
        assert_eq!(machine.run(at("etc", false)).output(), "/etc\n");
        let missing = machine.run(at("/work/deep", false));
        assert_eq!(missing.failure().kind, FailureKind::Invalid);
        assert_eq!(
            missing.failure().message,
            "working directory /work/deep: No such file or directory (os error 2)"
        );
        assert_eq!(machine.run(at("/work/deep", true)).output(), "/work/deep\n");
        assert_eq!(machine.text("stat -c '%a %u' /work/deep"), "755 0\n");
        let through_a_file = machine.run(at("/etc/passwd/x", true));
        assert_eq!(through_a_file.failure().kind, FailureKind::Invalid);
    });
}

#[test]
fn root_of_the_host_can_run_commands_as_any_user() {
    if !Owner::all().contains(&Owner::Root) {
        return;
    }
    let machine = Machine::start(Owner::Root);
    let as_user = |user: &str, script: &str| Exec { user: user.to_owned(), ..sh(script) };
    let who = "echo $(id -u) $(id -g) $(id -G) $HOME $USER";
    assert_eq!(machine.run(as_user("ann", who)).output(), "1000 1000 1000 2000 /home/ann ann\n");
    assert_eq!(machine.run(as_user("1000:crew", who)).output(), "1000 2000 2000 /home/ann ann\n");
    assert_eq!(machine.run(as_user("4000:4001", who)).output(), "4000 4001 4001 /\n");
    assert_eq!(machine.run(as_user("", who)).output(), "0 0 0 /root root\n");
    let unknown = machine.run(as_user("bob", "true"));
    assert_eq!(unknown.failure().message, "no user 'bob' in the image");
    assert_eq!(unknown.failure().kind, FailureKind::Invalid);
    let script = "touch /tmp/mine && stat -c %u /tmp/mine; touch /root/x 2>&1 || grep Cap /proc/self/status";
    let outcome = machine.run(as_user("ann", script)).output();
    assert!(outcome.starts_with("1000\n") && outcome.contains("CapEff:\t0000000000000000"), "{outcome}");
}

#[test]
fn an_ordinary_user_is_root_and_nobody_else() {
    let machine = Machine::start(Owner::Ordinary);
    assert_eq!(machine.text("id -u; touch /x; stat -c '%u %g' /x /bin/sh"), "0\n0 0\n0 0\n");
    let outcome = machine.run(Exec { user: "ann".to_owned(), ..sh("id") });
    assert_eq!(outcome.failure().kind, FailureKind::Invalid);
    assert!(outcome.failure().message.starts_with("cannot run as user 1000, group 1000 on this machine"));
}

#[test]
fn a_timeout_kills_the_whole_group() {
    with_machines(|machine| {
        let limited = |script: &str| Exec { timeout_ms: Some(150), ..sh(script) };
        let outcome =
            machine.run(limited("echo begun; sleep 1234 & trap '' TERM INT HUP; sleep 1235; echo no"));
        let ended = outcome.ended();
        assert_eq!((ended.status, ended.timed_out), (Status::Signaled(9), true));
        assert_eq!(outcome.output(), "begun\n");
        assert!(ended.duration_us >= 150_000, "{ended:?}");
        assert!(!machine.is_running("sleep 1234") && !machine.is_running("sleep 1235"));
        // One that is in time is not said to have been late.
        assert!(!machine.run(limited("true")).ended().timed_out);
    });
}

#[test]
fn signals_reach_the_whole_group() {
    with_machines(|machine| {
        let session =
            machine.begin(sh("trap 'echo caught; exit 3' TERM; echo begun; while :; do sleep 1; done"));
        session.until("begun\n");
        session.send(&Input::Signal(15));
        let outcome = session.outcome();
        assert_eq!((outcome.output().as_str(), outcome.code()), ("caught\n", 3));

        let session = machine.begin(sh("sleep 4321 & echo begun; wait"));
        session.until("begun\n");
        session.send(&Input::Signal(9));
        assert_eq!(session.outcome().ended().status, Status::Signaled(9));
        machine.until_gone("sleep 4321");

        let session = machine.begin(sh("echo begun; sleep 4322"));
        session.until("begun\n");
        session.send(&Input::Signal(99));
        assert_eq!(session.outcome().failure().message, "there is no signal 99");
        machine.until_gone("sleep 4322");
    });
}

#[test]
fn hanging_up_kills_the_command() {
    with_machines(|machine| {
        let session = machine.begin(sh("sleep 777 & echo begun; sleep 777"));
        session.until("begun\n");
        drop(session);
        machine.until_gone("sleep 777");
    });
}

#[test]
fn processes_left_behind_do_not_hold_a_command_up() {
    with_machines(|machine| {
        let outcome = machine
            .run(Exec { timeout_ms: Some(30_000), ..sh("(trap '' HUP; sleep 888) & echo done; exit 5") });
        assert_eq!(
            (outcome.output().as_str(), outcome.code(), outcome.ended().timed_out),
            ("done\n", 5, false)
        );
        // They live on, as under any other shell, and so do those that never stop talking.
        assert!(machine.is_running("sleep 888"));
        let outcome = machine.run(Exec { timeout_ms: Some(30_000), ..sh("yes & exit 6") });
        assert_eq!((outcome.code(), outcome.ended().timed_out), (6, false));
        // A last filter in the pipeline still gets its words out.
        let outcome = machine.sh("{ sleep 0.02; echo late; } & echo early");
        assert_eq!(outcome.output(), "early\nlate\n");
    });
}

#[test]
fn orphans_are_reaped() {
    with_machines(|machine| {
        machine.text("for i in $(seq 50); do (sleep 0.01 & ) ; done; sleep 0.3");
        assert_eq!(machine.text("ps -o stat,comm | grep -c '^Z' || true"), "0\n");
    });
}

#[test]
fn commands_start_from_a_clean_slate() {
    with_machines(|machine| {
        let status = machine.run(exec(&["cat", "/proc/self/status"])).output();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().to_owned()
        };
        assert_eq!(field("SigBlk:"), "0000000000000000");
        assert_eq!(field("SigIgn:"), "0000000000000000");
        assert_eq!(field("NoNewPrivs:"), "0");
        assert_eq!(machine.text("umask"), "0022\n");
        // 3 is the directory that `ls` reads.
        assert_eq!(machine.text("ls /proc/self/fd"), "0\n1\n2\n3\n");
        assert_eq!(machine.text("ulimit -c"), "0\n");
        let files: u64 = machine.text("ulimit -n").trim().parse().unwrap();
        assert!(files >= 1024, "{files}");
        assert_eq!(machine.text("readlink /proc/self/fd/0"), "/dev/null\n");
    });
}

#[test]
fn a_command_is_announced_by_its_process_id() {
    with_machines(|machine| {
        let session = machine.begin(sh("echo $$; cat /proc/$$/stat"));
        let Reply::Started { pid } = session.reply() else { panic!("not the first reply") };
        let output = session.outcome().output();
        let stat: Vec<&str> = output.split_whitespace().collect();
        // Its own process, group and session.
        assert_eq!((stat[0], stat[5], stat[6]), (pid.to_string().as_str(), stat[0], stat[0]));
    });
}
