//! `kill -9` at every step that changes what is on the disk: the state is the old one or the new one,
//! the next command tells the truth and cleans up, and nothing stays behind.

use crate::support::{Pyro, Ran, process};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The names of all failpoints, from the sources: none can be forgotten.
fn failpoints() -> Vec<String> {
    let mut names = Vec::new();
    let mut next = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../workspace/src")];
    while let Some(directory) = next.pop() {
        for entry in fs::read_dir(directory).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                next.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = fs::read_to_string(path).unwrap();
            let found = text.split("failpoint::pass(\"").skip(1).filter_map(|rest| rest.split('"').next());
            names.extend(found.map(str::to_owned));
        }
    }
    names.sort();
    assert!(names.len() > 10, "{names:?}");
    names
}

/// A life with everything in it. Commands may fail after one was killed.
const LIFE: &[&[&str]] = &[
    &["exec", "w", "--", "sh", "-c", "echo one > /workspace/file; echo output"],
    &["exec", "w", "--detach", "--", "echo", "two"],
    &["logs", "w", "--sequence", "2", "--follow"],
    &["update", "w", "--label", "k=v"],
    &["stop", "w"],
    &["start", "w"],
    &["exec", "w", "--", "cat", "/workspace/file"],
    &["delete", "w"],
];

/// What `list` says, when nobody is in the middle of something any more.
fn settled(pyro: &Pyro) -> Vec<Value> {
    loop {
        let list = pyro.pyro(&["workspace", "list", "--json"]).ended(0).json();
        let all = list["workspaces"].as_array().unwrap().clone();
        if all.iter().all(|workspace| workspace["state"] != "creating") {
            return all;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn check(pyro: &Pyro, home: &Path, name: &str) {
    let marker = home.join("died");
    let armed = format!("{name}@{}", marker.display());
    let run = |mut command: std::process::Command| {
        command.env("PYRO_FAILPOINT", &armed);
        Ran::of(&command.output().unwrap())
    };
    let mut said = vec![run(pyro.create_command(&["--name", "w"]))];
    for words in LIFE {
        said.push(run(pyro.command(&[&["workspace"], *words].concat())));
        for workspace in settled(pyro) {
            let state = workspace["state"].as_str().unwrap();
            let explained = state != "crashed" || workspace["reason"].is_string();
            assert!(["started", "stopped", "crashed"].contains(&state) && explained, "{name}: {workspace}");
        }
    }
    assert!(marker.exists(), "nothing passes {name}: {said:#?}");
    // Whatever is left can be used, and deleted.
    for workspace in settled(pyro) {
        let id = workspace["id"].as_str().unwrap();
        pyro.pyro(&["workspace", "start", id]).ended(0);
        pyro.pyro(&["workspace", "exec", id, "--", "true"]).ended(0);
        pyro.pyro(&["workspace", "delete", id]).ended(0);
    }
    // The name is free again.
    pyro.create(&["--name", "w"]).ended(0);
    pyro.pyro(&["workspace", "delete", "w"]).ended(0);
    while !process::users_of(&home.join("workspaces")).is_empty() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let left = fs::read_dir(home.join("workspaces")).unwrap().flatten().map(|entry| entry.file_name());
    assert_eq!(left.collect::<Vec<_>>(), [".names.lock"], "{name}");
}

#[test]
fn a_kill_at_any_step_leaves_the_old_state_or_the_new_one() {
    let shared = Pyro::new(&["--allow-host-compat"], "host_compat");
    // Learns that no microVM boots here, where none does.
    shared.sh("true").ended(0);
    for name in failpoints() {
        let (home, pyro) = shared.apart();
        check(&pyro, home.path(), &name);
    }
}
