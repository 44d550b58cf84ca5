//! What workspaces must do, whatever kind of machine they have.

use super::{ENVIRONMENT, Pyro, Ran, process};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A workspace of one test, deleted with it.
pub struct Made<'a> {
    pub pyro: &'a Pyro,
    pub id: String,
}

impl<'a> Made<'a> {
    /// Creates one.
    pub fn new(pyro: &'a Pyro, flags: &[&str]) -> Self {
        let ran = pyro.create(&[&["--id-only"], flags].concat()).ended(0);
        Self { pyro, id: ran.stdout.trim().to_owned() }
    }

    /// `pyro workspace VERB ID WORDS…`.
    pub fn command(&self, verb: &str, words: &[&str]) -> Command {
        let mut command = self.pyro.command(&["workspace", verb, &self.id]);
        command.args(words);
        command
    }

    /// The same, run.
    pub fn run(&self, verb: &str, words: &[&str]) -> Ran {
        Ran::of(&self.command(verb, words).output().expect("pyro starts"))
    }

    /// Runs a shell script in it.
    pub fn sh(&self, script: &str) -> Ran {
        self.run("exec", &["--timeout-seconds", "600", "--", "sh", "-c", script])
    }

    /// Its status.
    pub fn status(&self) -> Value {
        self.run("status", &["--json"]).ended(0).json()
    }

    /// A command of it, as the journal has it.
    pub fn log(&self, sequence: u64) -> Value {
        self.run("logs", &["--json", "--sequence", &sequence.to_string()]).ended(0).json()
    }

    /// Starts a script that says when it runs, and returns when it has.
    fn begin(&self, script: &str) -> Child {
        let script = format!("echo started; {script}");
        let mut child = self
            .command("exec", &["--timeout-seconds", "600", "--", "sh", "-c", &script])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "started\n");
        child
    }

    /// Its supervisor, and the program that its machine is.
    fn processes(&self) -> (process::Process, process::Process) {
        let supervisor = process::with_argument(&self.id);
        let mut under = process::descendants(supervisor.pid);
        (supervisor, under.remove(0))
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        let _gone = self.run("delete", &[]);
    }
}

/// Nothing here takes long: what is waited for comes, or the test runner ends the test.
fn until<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn a_workspace_lives_through_stops_and_ends_with_delete(pyro: &Pyro) {
    let made = Made::new(pyro, &["--name", "a-life", "--label", "of=tests"]);
    let status = made.status();
    assert_eq!(status["id"], *made.id);
    assert_eq!(status["name"], "a-life");
    assert_eq!(status["labels"]["of"], "tests");
    assert_eq!(status["state"], "started");
    assert_eq!(status["environment"], ENVIRONMENT);
    assert_eq!(status["execution_mode"], pyro.execution_mode);
    assert_eq!(made.sh("pwd; echo kept > file").ended(0).stdout, "/workspace\n");
    // By name, by the beginning of the id.
    for address in ["a-life", &made.id[..10]] {
        let ran = pyro.pyro(&["workspace", "exec", address, "--", "cat", "file"]).ended(0);
        assert_eq!(ran.stdout, "kept\n");
    }
    made.run("stop", &[]).ended(0);
    assert_eq!(made.status()["state"], "stopped");
    made.run("stop", &[]).ended(0);
    let ran = made.sh("true").ended(125);
    assert!(ran.stderr.contains(&format!("hint: pyro workspace start {}", made.id)), "{ran:?}");
    made.run("start", &[]).ended(0);
    made.run("start", &[]).ended(0);
    assert_eq!(made.sh("cat file").ended(0).stdout, "kept\n");
    made.run("delete", &[]).ended(0);
    let ran = made.run("status", &[]).ended(1);
    assert!(ran.stderr.contains("pyro workspace list"), "{ran:?}");
}

pub fn a_wrong_name_is_answered_with_a_right_one(pyro: &Pyro) {
    let made = Made::new(pyro, &["--name", "nearly-right"]);
    let ran = pyro.pyro(&["workspace", "status", "nearly-rihgt"]).ended(1);
    assert!(ran.stderr.contains("did you mean nearly-right?"), "{ran:?}");
    let ran = pyro.create(&["--name", "nearly-right"]).ended(1);
    assert!(ran.stderr.contains(&made.id), "{ran:?}");
    pyro.create(&["--name", "not a name"]).ended(2);
}

pub fn update_changes_what_its_user_says(pyro: &Pyro) {
    let made = Made::new(pyro, &["--name", "first", "--label", "a=1", "--label", "b=2"]);
    let changes = ["--name", "second", "--clear-label", "a", "--label", "c=3", "--ttl-seconds", "1234"];
    let status = made.run("update", &[&["--json"], &changes[..]].concat()).ended(0).json();
    assert_eq!(status["name"], "second");
    assert_eq!(status["labels"], serde_json::json!({ "b": "2", "c": "3" }));
    assert_eq!(status["ttl_seconds"], 1234);
    let other = Made::new(pyro, &[]);
    other.run("update", &["--name", "second"]).ended(1);
    made.run("update", &["--clear-name"]).ended(0);
    other.run("update", &["--name", "second"]).ended(0);
    made.run("update", &[]).ended(2);
}

pub fn commands_end_as_they_end_alone(pyro: &Pyro) {
    let made = Made::new(pyro, &[]);
    for (script, code) in [("exit 3", 3), ("kill -9 $$", 137)] {
        made.sh(script).ended(code);
    }
    made.run("exec", &["--", "no-such-program"]).ended(127);
    made.run("exec", &["--", "/etc/passwd"]).ended(126);
    let ran =
        made.run("exec", &["--timeout-seconds", "1", "--", "sh", "-c", "sleep 1000 & sleep 1000"]).ended(124);
    assert!(ran.stderr.contains("--timeout-seconds"), "{ran:?}");
    made.sh("sleep 1000 & echo left").ended(0);
    let output =
        made.command("exec", &["--cwd", "/made/for/this", "--", "printf", r"\377\000"]).output().unwrap();
    assert_eq!(output.stdout, b"\xff\x00");
    let json =
        made.run("exec", &["--json", "--", "sh", "-c", "echo out; echo err >&2; exit 4"]).ended(4).json();
    assert_eq!(json["stdout"]["text"], "out\n");
    assert_eq!(json["stderr"]["text"], "err\n");
    assert_eq!(json["exit_code"], 4);
    let states: Vec<Value> = (1..=8).map(|sequence| made.log(sequence)["exit_code"].clone()).collect();
    assert_eq!(states, [3, 137, 127, 126, 124, 0, 0, 4]);
}

pub fn input_reaches_a_command_only_when_asked_for(pyro: &Pyro) {
    let made = Made::new(pyro, &[]);
    let input = std::fs::File::open("/etc/passwd").unwrap();
    let output =
        made.command("exec", &["--", "wc", "-c"]).stdin(input.try_clone().unwrap()).output().unwrap();
    assert_eq!(output.stdout, b"0\n");
    let output = made.command("exec", &["-i", "--", "cat"]).stdin(input).output().unwrap();
    assert_eq!(output.stdout, std::fs::read("/etc/passwd").unwrap());
}

pub fn much_output_passes_and_its_ends_are_kept(pyro: &Pyro) {
    const BYTES: u64 = 20_000_000;
    let made = Made::new(pyro, &[]);
    let script = format!("head -c {BYTES} /dev/zero; echo the end; echo of it >&2");
    let output =
        made.command("exec", &["--timeout-seconds", "600", "--", "sh", "-c", &script]).output().unwrap();
    assert_eq!(output.stdout.len() as u64, BYTES + 8);
    let log = made.log(1);
    assert_eq!(log["cursor"], BYTES + 14);
    let kept = log["stdout"]["bytes"].as_u64().unwrap() + log["stderr"]["bytes"].as_u64().unwrap();
    assert_eq!(kept + log["dropped_bytes"].as_u64().unwrap(), BYTES + 14);
    assert!((2 << 20..=4 << 20).contains(&kept), "{kept} bytes are kept");
    assert!(log["stdout"]["text"].as_str().unwrap().ends_with("the end\n"));
    assert_eq!(log["stderr"]["text"], "of it\n");
}

pub fn commands_run_side_by_side(pyro: &Pyro) {
    let made = Made::new(pyro, &[]);
    // Each waits for the other.
    let meet = |own: &str, other: &str| {
        format!("touch {own}; while ! test -e {other}; do sleep 0.05; done; echo met")
    };
    let script = |text: String| {
        made.command("exec", &["--timeout-seconds", "600", "--", "sh", "-c", &text])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let both = [script(meet("one", "two")), script(meet("two", "one"))];
    for child in both {
        assert_eq!(child.wait_with_output().unwrap().stdout, b"met\n");
    }
    let mut sequences: Vec<u64> = [1, 2].map(|number| made.log(number)["sequence"].as_u64().unwrap()).into();
    sequences.sort_unstable();
    assert_eq!(sequences, [1, 2]);
}

pub fn a_detached_command_outlives_everything_in_front(pyro: &Pyro) {
    let made = Made::new(pyro, &[]);
    let script = "echo early; while ! test -e /go; do sleep 0.05; done; echo late; exit 7";
    let ran = made.run("exec", &["--detach", "--timeout-seconds", "600", "--", "sh", "-c", script]).ended(0);
    assert_eq!(ran.stdout, format!("{} #1\n", made.id));
    assert_eq!(made.log(1)["state"], "running");
    let mut follower =
        made.command("logs", &["--sequence", "1", "--follow"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(follower.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "early\n");
    made.sh("touch /go").ended(0);
    line.clear();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "late\n");
    assert_eq!(follower.wait().unwrap().code(), Some(0));
    let log = made.log(1);
    assert_eq!((&log["state"], &log["exit_code"]), (&"ended".into(), &7.into()));
    made.run("exec", &["--detach", "--", "no-such-program"]).ended(127);
    let list = made.run("logs", &["--json"]).ended(0).json();
    let numbers: Vec<u64> =
        list["commands"].as_array().unwrap().iter().map(|it| it["sequence"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3]);
}

pub fn an_interrupted_command_is_killed(pyro: &Pyro) {
    let made = Made::new(pyro, &[]);
    let mut child = made.begin("sleep 4321");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(made.log(1)["state"], "interrupted");
    // The same for one that is killed itself: its journal tells that nobody knows.
    let mut child = made.begin("sleep 4321");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(made.log(2)["state"], "lost");
    let gone =
        "for dir in /proc/[0-9]*; do tr '\\0' ' ' < $dir/cmdline; done | grep -c 'sleep 432[1]' || true";
    until(|| (made.sh(gone).stdout == "0\n").then_some(()));
}

pub fn a_crash_is_told_at_once_and_mended_by_start(pyro: &Pyro) {
    let made = Made::new(pyro, &[]);
    made.sh("echo kept > file; sync").ended(0);
    // Its machine vanishes: the supervisor notices.
    let child = made.begin("sleep 1000");
    made.processes().1.kill();
    let output = Ran::of(&child.wait_with_output().unwrap()).ended(125);
    assert!(output.stderr.contains("the machine stopped"), "{output:?}");
    until(|| (made.status()["state"] == "crashed").then_some(()));
    assert!(made.status()["reason"].as_str().is_some_and(|reason| !reason.is_empty()));
    made.run("start", &[]).ended(0);
    assert_eq!(made.sh("cat file").ended(0).stdout, "kept\n");
    // Its supervisor is killed: nobody is left to notice, and it is told all the same.
    let (supervisor, machine) = made.processes();
    supervisor.kill();
    until(|| (!supervisor.is_alive()).then_some(()));
    let status = made.status();
    assert_eq!(status["state"], "crashed", "{status}");
    assert!(status["reason"].as_str().unwrap().contains("supervisor"), "{status}");
    assert_eq!(made.run("summary", &["--json"]).ended(0).json()["state"], "crashed");
    for (verb, words, code) in
        [("exec", &["--", "true"][..], 125), ("exec", &["--detach", "--", "true"], 125), ("diff", &[], 1)]
    {
        let told = made.run(verb, words).ended(code).stderr;
        assert!(told.contains("its supervisor is gone"), "{verb}: {told}");
        assert!(told.contains("pyro workspace start") && !told.contains("os error"), "{verb}: {told}");
    }
    // Its files are there, and can be kept.
    pyro.pyro(&["workspace", "snapshot", "create", &made.id, "saved"]).ended(0);
    made.run("start", &[]).ended(0);
    assert!(!machine.is_alive(), "two machines on one disk");
    assert_eq!(made.sh("cat file").ended(0).stdout, "kept\n");
    // Both are killed at once, in the middle of writing, and nobody waits for their end.
    made.sh("(while :; do date > busy; sync; done) > /dev/null 2>&1 &").ended(0);
    let (supervisor, machine) = made.processes();
    supervisor.kill();
    machine.kill();
    made.run("start", &[]).ended(0);
    assert!(!machine.is_alive(), "two machines on one disk");
    assert_eq!(made.sh("cat file").ended(0).stdout, "kept\n");
}

pub fn a_workspace_expires(pyro: &Pyro) {
    let made = Made::new(pyro, &["--ttl-seconds", "600"]);
    let supervisor = made.processes().0;
    // A command that runs is activity.
    let child = made.begin("sleep 3; echo done");
    made.run("update", &["--ttl-seconds", "1"]).ended(0);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"done\n");
    until(|| (!supervisor.is_alive()).then_some(()));
    made.run("status", &[]).ended(1);
}

pub fn two_at_once_do_not_get_in_each_others_way(pyro: &Pyro) {
    let spawn = || {
        let mut command = pyro.create_command(&["--id-only", "--name", "only-one"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let ran: Vec<Ran> =
        [spawn(), spawn(), spawn()].map(|child| Ran::of(&child.wait_with_output().unwrap())).into();
    let (made, refused): (Vec<&Ran>, Vec<&Ran>) = ran.iter().partition(|ran| ran.code == 0);
    assert_eq!(made.len(), 1, "{ran:?}");
    assert!(refused.iter().all(|ran| ran.stderr.contains("only-one")), "{ran:?}");
    let made = Made { pyro, id: made[0].stdout.trim().to_owned() };
    let child = made.begin("sleep 1000");
    let delete = || made.command("delete", &[]).stderr(Stdio::piped()).spawn().unwrap();
    let deleted = [delete(), delete()].map(|child| Ran::of(&child.wait_with_output().unwrap()));
    assert!(deleted.iter().any(|ran| ran.code == 0), "{deleted:?}");
    assert!(
        deleted.iter().all(|ran| ran.code == 0 || ran.stderr.contains("pyro workspace list")),
        "{deleted:?}"
    );
    Ran::of(&child.wait_with_output().unwrap()).ended(125);
}

pub fn an_interrupted_create_leaves_nothing(pyro: &Pyro) {
    for wait_ms in [0, 10, 20, 40, 80, 160, 320] {
        let mut child = pyro
            .create_command(&["--name", "never-made"])
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(wait_ms));
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let code = child.wait().unwrap().code();
        let ran = pyro.pyro(&["workspace", "status", "never-made"]);
        match code {
            // Before it could catch the signal.
            Some(130) | None => assert_eq!(ran.code, 1, "after {wait_ms} ms: {ran:?}"),
            // It was faster.
            other => {
                assert_eq!(other, Some(0));
                pyro.pyro(&["workspace", "delete", "never-made"]).ended(0);
            }
        }
    }
}
