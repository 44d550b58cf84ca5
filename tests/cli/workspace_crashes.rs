//! `kill -9` at every step that changes what is on the disk.

use crate::support::{Pyro, crashes};
use std::fs;
use std::path::PathBuf;

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

/// Whether what dies there is making something on the host, and nothing of a workspace.
fn is_of_the_host(name: &str) -> bool {
    name.starts_with("export.") || name.starts_with("apply.")
}

#[test]
fn a_kill_at_any_step_leaves_the_old_state_or_the_new_one() {
    let pyro = Pyro::new(&["--allow-host-compat"], "host_compat");
    let names: Vec<String> = failpoints().into_iter().filter(|name| !is_of_the_host(name)).collect();
    crashes::a_kill_leaves_the_old_state_or_the_new_one(&pyro, &names);
}

#[test]
fn a_kill_while_files_are_put_on_the_host_leaves_all_or_nothing() {
    let pyro = Pyro::new(&["--allow-host-compat"], "host_compat");
    let names: Vec<String> = failpoints().into_iter().filter(|name| is_of_the_host(name)).collect();
    assert!(names.len() > 8, "{names:?}");
    crashes::a_kill_leaves_the_target_old_or_new(&pyro, &names);
}
