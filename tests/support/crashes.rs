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
    &["snapshot", "create", "w", "kept"],
    &["exec", "w", "--", "sh", "-c", "echo other > /workspace/other"],
    &["fork", "w", "--name", "forked"],
    &["reset", "w", "--snapshot", "kept"],
    &["snapshot", "delete", "w", "kept"],
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

/// A kill in the middle of what is put on the host: the target is as it was or as it was to be, and the
/// next command there removes what was left.
#[allow(dead_code, reason = "what is done on the host needs no guest")]
pub fn a_kill_leaves_the_target_old_or_new(shared: &Pyro, names: &[String]) {
    let (home, pyro) = shared.apart();
    let made = super::workspaces::Made::new(&pyro, &[]);
    made.sh("echo new > changed; echo new > made; mkdir d; echo new > d/deep").ended(0);
    for name in names {
        let place = tempfile::tempdir().unwrap();
        let marker = home.path().join(format!("died-{name}"));
        let to = place.path().join("to");
        fs::create_dir(&to).unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let (out, into) = (text(&place.path().join("out")), text(&to));
        let verbs: &[&[&str]] = if name.starts_with("apply.") {
            &[&["apply", "--to", &into]]
        } else {
            &[
                &["export", ".", "--output", &out],
                &["export", ".", "--output", &out, "--format", "tar"],
                &["export", ".", "--output", &out, "--format", "patch"],
            ]
        };
        // A patch is made without going from file to file.
        let count = if name == "export.entry" { 2 } else { verbs.len() };
        for verb in &verbs[..count] {
            let _ = fs::remove_file(&marker);
            let mut command = made.command(verb[0], &verb[1..]);
            let armed = format!("{name}@{}", marker.display());
            let ran = Ran::of(&command.env("PYRO_FAILPOINT", armed).output().unwrap());
            assert!(marker.exists() && ran.code == -1, "nothing dies at {name}: {verb:?}: {ran:?}");
            // What is to be seen is whole: an export is there or not, an apply is undone by the next one.
            let is_there = fs::exists(&out).unwrap();
            assert_eq!(is_there, name == "export.renamed", "{name}: {verb:?}");
            let again = made.run(verb[0], &verb[1..]);
            let done = name == "apply.forgotten" || is_there;
            assert_eq!(again.code, i32::from(done), "{name}: {verb:?}: {again:?}");
            if verb[0] == "apply" {
                assert_eq!(fs::read_to_string(to.join("d/deep")).unwrap(), "new\n");
            } else if done {
                made.run(verb[0], &[verb[1], verb[2], &text(&place.path().join("other"))]).ended(0);
                fs::remove_dir_all(place.path().join("other")).unwrap();
            }
            let _ = fs::remove_dir_all(&out).or_else(|_| fs::remove_file(&out));
            let hidden = |path: &Path| {
                let names = fs::read_dir(path).unwrap().flatten().map(|entry| entry.file_name());
                names.filter(|name| name.as_encoded_bytes().starts_with(b".pyro")).count()
            };
            assert_eq!((hidden(place.path()), hidden(&to)), (0, 0), "{name}: {verb:?}");
        }
    }
}
