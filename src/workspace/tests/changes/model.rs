//! A small file tree, random ones, and the ways to and from a real directory.

use proptest::prelude::*;
use pyro_workspace::patch::{Action, FileEdit, Original};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

/// A file or link. Directories are where something is in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    File { content: Vec<u8>, executable: bool },
    Symlink(Vec<u8>),
}

/// A tree by paths.
pub type Tree = BTreeMap<Vec<u8>, Node>;

/// A step that changes a tree. Numbers choose among what is there, or among the names below.
#[derive(Clone, Debug)]
pub enum Op {
    Write { name: usize, content: Vec<u8>, executable: bool },
    Link { name: usize, target: Vec<u8> },
    Edit { at: usize, line: usize, text: Vec<u8> },
    Delete { at: usize },
    DeleteDirectory { at: usize },
    Rename { at: usize, name: usize },
    Chmod { at: usize },
}

const NAMES: &[&[u8]] = &[
    b"a",
    b"b",
    b"a.c",
    b"dir",
    b"dir/a",
    b"dir/b",
    b"dir/sub/x",
    b"dir/sub/y",
    b"dir.x",
    b"with space",
    b"with space/x y",
    b"q\"uote",
    b"back\\slash",
    b"tab\there",
    b"line\nfeed",
    b"not-utf8-\xff\xfe",
    "\u{fc}mlaut".as_bytes(),
    b"--- a",
    b"a b/c",
    b"b/",
    b"x => y",
    b"a/b/c/d",
    b".gitignore",
    b"trailing ",
    b"-",
    b"\x01",
];

fn name(number: usize) -> Vec<u8> {
    NAMES[number % NAMES.len()].strip_suffix(b"/").unwrap_or(NAMES[number % NAMES.len()]).to_vec()
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        4 => Just(b"same\n".to_vec()),
        4 => "[a-d]{0,3}\n".prop_map(String::into_bytes),
        1 => Just(b"\n".to_vec()),
        1 => Just(b"crlf\r\n".to_vec()),
        1 => Just(b"lone\rreturn\n".to_vec()),
        1 => Just(b"\xff\xfe bytes\n".to_vec()),
        1 => Just(b"-- \n".to_vec()),
        1 => Just(b"++ b/x\n".to_vec()),
        1 => Just(b"@@ -1 +1 @@\n".to_vec()),
        1 => Just(b"diff --git a/x b/x\n".to_vec()),
        1 => Just(b"\\ No newline at end of file\n".to_vec()),
    ];
    let text = prop::collection::vec(line, 0..30).prop_map(|lines| lines.concat());
    let cut = text.clone().prop_map(|mut text: Vec<u8>| {
        text.pop();
        text
    });
    let binary = prop::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| [&b"\0"[..], &bytes].concat());
    prop_oneof![6 => text, 3 => cut, 2 => binary]
}

pub fn ops(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Op>> {
    let number = any::<prop::sample::Index>().prop_map(|index| index.index(1 << 20));
    let op = prop_oneof![
        6 => (number.clone(), content(), any::<bool>())
            .prop_map(|(name, content, executable)| Op::Write { name, content, executable }),
        1 => (number.clone(), "[a-z/.]{1,9}").prop_map(|(name, target)| Op::Link { name, target: target.into() }),
        4 => (number.clone(), number.clone(), "[x-z]{0,2}\n?")
            .prop_map(|(at, line, text)| Op::Edit { at, line, text: text.into() }),
        2 => number.clone().prop_map(|at| Op::Delete { at }),
        1 => number.clone().prop_map(|at| Op::DeleteDirectory { at }),
        2 => (number.clone(), number.clone()).prop_map(|(at, name)| Op::Rename { at, name }),
        2 => number.prop_map(|at| Op::Chmod { at }),
    ];
    prop::collection::vec(op, count)
}

/// Puts something at a path; whatever is in the way goes.
fn put(tree: &mut Tree, path: Vec<u8>, node: Node) {
    let below = [&path[..], b"/"].concat();
    tree.retain(|other, _| !other.starts_with(&below) && !path.starts_with(&[&other[..], b"/"].concat()));
    tree.insert(path, node);
}

pub fn run(tree: &mut Tree, ops: &[Op]) {
    for op in ops {
        let pick = |at: usize| tree.keys().nth(at % tree.len().max(1)).cloned();
        match op {
            Op::Write { name: number, content, executable } => {
                put(tree, name(*number), Node::File { content: content.clone(), executable: *executable });
            }
            Op::Link { name: number, target } => put(tree, name(*number), Node::Symlink(target.clone())),
            Op::Edit { at, line, text } => {
                let Some(Node::File { content, .. }) = pick(*at).and_then(|path| tree.get_mut(&path)) else {
                    continue;
                };
                let mut lines: Vec<&[u8]> = content.split_inclusive(|byte| *byte == b'\n').collect();
                let line = line % (lines.len() + 1);
                if line < lines.len() {
                    lines[line] = text
                } else {
                    lines.push(text)
                }
                *content = lines.concat();
            }
            Op::Delete { at } => {
                pick(*at).and_then(|path| tree.remove(&path));
            }
            Op::DeleteDirectory { at } => {
                let Some(path) = pick(*at) else { continue };
                let Some(slash) = path.iter().position(|byte| *byte == b'/') else { continue };
                tree.retain(|other, _| !other.starts_with(&path[..=slash]));
            }
            Op::Rename { at, name: number } => {
                let Some(node) = pick(*at).and_then(|path| tree.remove(&path)) else { continue };
                put(tree, name(*number), node);
            }
            Op::Chmod { at } => {
                if let Some(Node::File { executable, .. }) = pick(*at).and_then(|path| tree.get_mut(&path)) {
                    *executable = !*executable;
                }
            }
        }
    }
}

fn join(directory: &Path, path: &[u8]) -> std::path::PathBuf {
    directory.join(OsStr::from_bytes(path))
}

/// Writes a tree into an empty directory.
pub fn write(tree: &Tree, directory: &Path) {
    for (path, node) in tree {
        let path = join(directory, path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match node {
            Node::Symlink(target) => symlink(OsStr::from_bytes(target), &path).unwrap(),
            Node::File { content, executable } => {
                fs::write(&path, content).unwrap();
                let mode = if *executable { 0o755 } else { 0o644 };
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            }
        }
    }
}

/// Reads a tree from a directory, without `.git`.
pub fn read(directory: &Path) -> Tree {
    fn visit(directory: &Path, prefix: &[u8], tree: &mut Tree) {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name();
            if prefix.is_empty() && name == ".git" {
                continue;
            }
            let path = [prefix, name.as_bytes()].concat();
            let meta = entry.path().symlink_metadata().unwrap();
            if meta.is_dir() {
                visit(&entry.path(), &[&path[..], b"/"].concat(), tree);
            } else if meta.is_symlink() {
                let target = fs::read_link(entry.path()).unwrap();
                tree.insert(path, Node::Symlink(target.as_os_str().as_bytes().to_vec()));
            } else {
                let executable = meta.permissions().mode() & 0o100 != 0;
                tree.insert(path, Node::File { content: fs::read(entry.path()).unwrap(), executable });
            }
        }
    }
    let mut tree = Tree::new();
    visit(directory, b"", &mut tree);
    tree
}

/// What a patch finds at a path of a tree.
pub fn original(tree: &Tree, path: &[u8]) -> Option<Original> {
    let below = [path, b"/"].concat();
    match tree.get(path) {
        Some(Node::File { content, executable }) => {
            let mode = if *executable { 0o755 } else { 0o644 };
            Some(Original::File { content: content.clone(), mode })
        }
        Some(Node::Symlink(target)) => Some(Original::Symlink(target.clone())),
        None => tree.keys().any(|other| other.starts_with(&below)).then_some(Original::Directory),
    }
}

/// Carries edits out on a tree; something in the way is a failure.
pub fn edit(tree: &mut Tree, edits: &[FileEdit]) {
    for FileEdit { path, action } in edits {
        match action {
            Action::Remove => assert!(tree.remove(path).is_some(), "{path:?} is not there"),
            Action::RemoveDirectory => {
                assert_eq!(original(tree, path), None, "{path:?} is not empty");
            }
            Action::Write { content, mode } => {
                let executable = mode.is_some_and(|mode| mode & 0o100 != 0);
                insert(tree, path, Node::File { content: content.clone(), executable });
            }
            Action::Symlink(target) => insert(tree, path, Node::Symlink(target.clone())),
        }
    }
}

fn insert(tree: &mut Tree, path: &[u8], node: Node) {
    let parents = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at]);
    for parent in parents {
        assert!(!tree.contains_key(parent), "{parent:?} is in the way of {path:?}");
    }
    assert_ne!(original(tree, path), Some(Original::Directory), "a directory is in the way of {path:?}");
    tree.insert(path.to_vec(), node);
}

/// Runs git in a directory, as far from the user's own settings as it goes.
pub fn git(directory: &Path, args: &[&str], input: &[u8]) -> std::process::Output {
    use std::io::Write;
    use std::process::Stdio;
    let mut child = Command::new("git")
        .args([
            "-c",
            "core.autocrlf=false",
            "-c",
            "user.name=x",
            "-c",
            "user.email=x@x",
            "-c",
            "core.fsync=none",
        ])
        .args(args)
        .current_dir(directory)
        .env("GIT_CEILING_DIRECTORIES", directory.parent().unwrap())
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}
