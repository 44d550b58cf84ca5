//! A kill after any step of an apply, and what the next one makes of it.

use super::{HostTree, Stage, recovery};
use crate::patch::{Action, FileEdit};
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

fn edits() -> Vec<FileEdit> {
    let write = |text: &str| Action::Write { content: text.into(), mode: None };
    [
        ("changed", write("new")),
        ("removed", Action::Remove),
        ("made/deep/file", write("new")),
        ("link", Action::Symlink(b"elsewhere".to_vec())),
        ("empty", Action::RemoveDirectory),
    ]
    .map(|(path, action)| FileEdit { path: path.into(), action })
    .into()
}

fn fill(directory: &Path) {
    fs::write(directory.join("changed"), "old").unwrap();
    fs::write(directory.join("removed"), "old").unwrap();
    fs::write(directory.join("link"), "old").unwrap();
    fs::create_dir(directory.join("empty")).unwrap();
}

/// Paths, and the content of files and links.
fn look(directory: &Path) -> BTreeMap<String, String> {
    fn add(all: &mut BTreeMap<String, String>, directory: &Path, below: &str) {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            let name = format!("{below}{}", entry.file_name().to_str().unwrap());
            if kind.is_dir() {
                add(all, &path, &format!("{name}/"));
                all.insert(name, "/".into());
            } else if kind.is_symlink() {
                all.insert(name, fs::read_link(path).unwrap().display().to_string());
            } else {
                all.insert(name, fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut all = BTreeMap::new();
    add(&mut all, directory, "");
    all
}

/// Applies the first edits, and leaves everything as a killed process would.
fn begin(tree: &HostTree, edits: &[FileEdit], steps: usize) {
    let stage = Stage::new(tree).unwrap();
    for (number, edit) in edits.iter().enumerate() {
        stage.prepare(number, edit).unwrap();
    }
    recovery::plan(tree, stage.aside.as_fd(), edits).unwrap();
    for (number, edit) in edits.iter().enumerate().take(steps) {
        stage.commit(number, edit, &mut Vec::new()).unwrap();
    }
    stage.aside.keep();
}

#[test]
fn what_was_begun_is_undone() {
    let edits = edits();
    for steps in 0..=edits.len() {
        let directory = tempfile::tempdir().unwrap();
        fill(directory.path());
        let before = look(directory.path());
        let tree = HostTree::open(directory.path()).unwrap();
        begin(&tree, &edits, steps);
        assert_ne!(look(directory.path()), before, "{steps}");
        tree.recover().unwrap();
        assert_eq!(look(directory.path()), before, "{steps}");
    }
}

#[test]
fn what_somebody_has_changed_since_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path());
    let tree = HostTree::open(directory.path()).unwrap();
    begin(&tree, &edits(), 1);
    fs::write(directory.path().join("changed"), "somebody else's").unwrap();
    let error = tree.recover().unwrap_err().to_string();
    assert!(error.contains(".pyro-apply-"), "{error}");
    assert_eq!(look(directory.path())["changed"], "somebody else's");
    assert!(look(directory.path()).values().any(|content| content == "old"));
}

/// A guest, or whoever made a repository, can have a directory of that name, with a plan in it.
#[test]
fn a_plan_of_a_stranger_plants_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let stage = root.join(".pyro-apply-0123456789abcdef");
    fs::create_dir_all(root.join(".git/hooks")).unwrap();
    fs::create_dir(&stage).unwrap();
    fs::write(stage.join("plan"), "r .git/hooks/pre-commit\0").unwrap();
    fs::write(stage.join("old-0"), "#!/bin/sh\n").unwrap();
    let tree = HostTree::open(root).unwrap();
    for mode in [0o755, 0o700] {
        fs::set_permissions(&stage, fs::Permissions::from_mode(mode)).unwrap();
        let recovered = tree.recover();
        assert!(recovered.is_ok() == (mode == 0o755), "{recovered:?}");
        assert_eq!(fs::read_dir(root.join(".git/hooks")).unwrap().count(), 0);
        assert!(stage.join("old-0").exists());
    }
    // Nor can a patch bring one.
    let path = b".pyro-apply-0123456789abcdef/plan".to_vec();
    let edit = FileEdit { path, action: Action::Write { content: Vec::new(), mode: None } };
    let error = tree.apply(&[edit]).unwrap_err().to_string();
    assert!(error.contains("pyro's own"), "{error}");
}

#[test]
fn one_that_works_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path());
    let tree = HostTree::open(directory.path()).unwrap();
    let stage = Stage::new(&tree).unwrap();
    stage.prepare(0, &edits()[0]).unwrap();
    let during = look(directory.path());
    tree.recover().unwrap();
    assert_eq!(look(directory.path()), during);
    drop(stage);
    tree.apply(&edits()).unwrap();
    let after = look(directory.path());
    assert!(after.keys().all(|path| !path.starts_with(".pyro")), "{after:?}");
    assert_eq!((&*after["changed"], &*after["link"]), ("new", "elsewhere"));
}
