//! Odd circumstances: closed outputs, what a caller left open, names like ids, commands that fit nowhere.

use crate::pyro;
use crate::support::Ran;
use crate::support::workspaces::Made;
use rustix::io::{FdFlags, fcntl_setfd};
use std::fs::{File, OpenOptions};
use std::process::Stdio;

#[test]
fn nothing_depends_on_who_hears_the_notes() {
    let pyro = pyro();
    let made = Made::new(&pyro, &[]);
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    let closed = || std::io::pipe().unwrap().1;
    for (verb, words, code) in
        [("exec", &["--", "sh", "-c", "exit 3"][..], 3), ("diff", &[], 0), ("update", &["--label", "a=b"], 0)]
    {
        let mut command = made.command(verb, words);
        assert_eq!(command.stderr(full()).status().unwrap().code(), Some(code), "{verb}");
        let mut command = made.command(verb, words);
        assert_eq!(command.stderr(closed()).status().unwrap().code(), Some(code), "{verb}");
    }
    assert_eq!(pyro.command(&["no-such-verb"]).stderr(full()).status().unwrap().code(), Some(2));
    assert_eq!(pyro.command(&["run"]).stderr(closed()).status().unwrap().code(), Some(2));
}

#[test]
fn a_closed_output_ends_a_command_as_a_pipe_does() {
    let pyro = pyro();
    let made = Made::new(&pyro, &[]);
    let closed = || std::io::pipe().unwrap().1;
    let status = |words: &[&str]| made.command("exec", words).stdout(closed()).status().unwrap().code();
    assert_eq!(status(&["--", "sh", "-c", "yes; exit 3"]), Some(141));
    // It has ended, and only its output is not wanted.
    assert_eq!(status(&["--json", "--", "sh", "-c", "exit 3"]), Some(3));
    let mut run = pyro.run_command(&[], &["sh", "-c", "yes; exit 3"]);
    assert_eq!(run.stdout(closed()).status().unwrap().code(), Some(141));
}

#[test]
fn what_the_caller_has_open_does_not_stay_open() {
    let pyro = pyro();
    let (reader, writer) = std::io::pipe().unwrap();
    // As a shell would leave it.
    fcntl_setfd(&writer, FdFlags::empty()).unwrap();
    let made = Made::new(&pyro, &[]);
    drop(writer);
    assert_eq!(std::io::read_to_string(reader).unwrap(), "", "the end of a pipe");
    made.sh("true").ended(0);
}

#[test]
fn a_name_is_no_id() {
    let pyro = pyro();
    let made = Made::new(&pyro, &[]);
    for name in [&made.id, &made.id[..6], "ws_"] {
        let ran = pyro.create(&["--name", name]).ended(2);
        assert!(ran.stderr.contains("ids begin so"), "{ran:?}");
        made.run("update", &["--name", name]).ended(2);
    }
    made.run("update", &["--name", "ws_x"]).ended(0);
}

#[test]
fn a_command_that_cannot_be_sent_or_placed_is_told_plainly() {
    let pyro = pyro();
    let made = Made::new(&pyro, &[]);
    let long = "x".repeat(100_000);
    let words: Vec<&str> = ["--", "echo"].into_iter().chain(std::iter::repeat_n(&*long, 15)).collect();
    for flags in [&[][..], &["--detach"]] {
        let ran = made.run("exec", &[flags, &words].concat()).ended(125);
        assert!(ran.stderr.contains("over 1 MiB"), "{}", &ran.stderr[..200]);
    }
    for place in ["/proc/1/none", "/dev/null", "/etc/passwd/x"] {
        let ran = made.run("exec", &["--cwd", place, "--", "true"]).ended(125);
        assert!(ran.stderr.contains("working directory") && ran.stderr.contains(place), "{ran:?}");
    }
    let mut unreadable = made.command("exec", &["-i", "--", "cat"]);
    let ran = Ran::of(&unreadable.stdin(File::open("/").unwrap()).output().unwrap()).ended(0);
    assert!(ran.stderr.contains("standard input cannot be read"), "{ran:?}");
}

#[test]
fn where_output_is_missing_its_lines_are_not_joined() {
    let pyro = pyro();
    let made = Made::new(&pyro, &[]);
    made.command("exec", &["--", "seq", "1000000"]).stdout(Stdio::null()).status().unwrap();
    let logs = made.run("logs", &["--sequence", "1"]).ended(0);
    let gap = logs.stdout.lines().find(|line| line.ends_with("bytes of output are no longer kept]"));
    assert!(gap.is_some(), "{} lines", logs.stdout.lines().count());
    assert!(logs.stdout.lines().all(|line| line.len() <= 7 || Some(line) == gap));
    let log = made.log(1);
    assert_eq!(log["stdout"]["truncated"], true);
}

#[test]
fn every_result_says_how_its_workspace_runs() {
    let pyro = pyro();
    let made = Made::new(&pyro, &[]);
    let output = tempfile::tempdir().unwrap();
    let [files, tar] = ["files", "tar"].map(|name| output.path().join(name).to_str().unwrap().to_owned());
    let id = &*made.id;
    let steps: &[&[&str]] = &[
        &["exec", id, "--json", "--", "true"],
        &["exec", id, "--json", "--detach", "--", "true"],
        &["logs", id],
        &["logs", id, "--sequence", "1"],
        &["file", "write", id, "a", "--text", "x"],
        &["file", "list", id],
        &["file", "read", id, "a"],
        &["diff", id],
        &["export", id, "a", "--output", &files],
        &["summary", id],
        &["status", id],
        &["snapshot", "create", id, "s"],
        &["snapshot", "list", id],
        &["snapshot", "delete", id, "s"],
        &["commit", id, "-t", "pyro.local/test/mode:1"],
        &["reset", id],
        &["stop", id],
        &["disk", "list", id],
        &["disk", "read", id, "/etc/passwd"],
        &["disk", "export", id, "--format", "tar", "--output", &tar],
        &["start", id],
        &["update", id, "--label", "a=b"],
        &["delete", id],
    ];
    for words in steps {
        let json: &[&str] = if words.contains(&"--json") { &[] } else { &["--json"] };
        let ran = pyro.pyro(&[&["workspace"], *words, json].concat()).ended(0);
        assert_eq!(ran.json()["execution_mode"], pyro.execution_mode, "{words:?}");
    }
    pyro.pyro(&["env", "rm", "pyro.local/test/mode:1"]).ended(0);
}
