//! `kill -9` at a step that changes what is on the disk: the state is the old one or the new one, the
//! next command tells the truth and cleans up, and nothing stays behind.

use super::{Pyro, Ran, process};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::time::Duration;

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

/// Lives a workspace's whole life for each of these failpoints.
pub fn a_kill_leaves_the_old_state_or_the_new_one(shared: &Pyro, names: &[String]) {
    // Learns whether a microVM boots here.
    shared.sh("true").ended(0);
    for name in names {
        let (home, pyro) = shared.apart();
        check(&pyro, home.path(), name);
    }
}
