//! What the documentation shows as output is what comes out.

use crate::images::layout::{Layout, Packing};
use crate::images::tarball::Tarball;
use crate::pages::blocks;
use crate::support::{Ran, command};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use tar::EntryType;

/// Whether `line` is as shown, where `…` stands for anything.
fn is_as_shown(shown: &str, line: &str) -> bool {
    let parts: Vec<&str> = shown.split('…').collect();
    let [first, middle @ .., last] = &parts[..] else { return line == shown };
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    for part in middle {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

/// An image that has what the pages use: busybox under the names of its commands.
fn image() -> Layout {
    let busybox = fs::read("/bin/busybox").expect("busybox-static; run `make setup`, it installs it");
    let mut layer =
        Tarball::new().directory("bin/").entry("bin/echo", EntryType::Regular, 0o755, &busybox, |_| {});
    for name in ["cat", "sh", "test", "true"] {
        layer = layer.link(&format!("bin/{name}"), EntryType::Symlink, "echo");
    }
    Layout::of(&[layer.bytes()], Packing::Plain).0
}

/// A line that a page shows after a prompt, run by a shell where the pages are.
fn typed(home: &Path, pages: &Path, line: &str) -> Ran {
    let pyro = command(home);
    let beside = Path::new(pyro.get_program()).parent().unwrap();
    let path = std::env::join_paths(
        std::iter::once(beside.to_owned()).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let mut shell = Command::new("sh");
    for (name, value) in pyro.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let git = ["GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"];
    shell.envs(git.map(|name| (name, "somebody"))).env("PATH", path.unwrap());
    let output = shell.arg("-c").arg(line).current_dir(pages).stdin(Stdio::null()).output();
    Ran::of(&output.unwrap())
}

#[test]
fn documented_output_is_what_comes_out() {
    let home = tempfile::tempdir().unwrap();
    let layout = image();
    let import =
        command(home.path()).args(["env", "import"]).arg(layout.path()).args(["-t", "debian:12"]).output();
    Ran::of(&import.unwrap()).ended(0);
    let pages = tempfile::tempdir().unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/example");
    let copied = Command::new("cp").arg("-r").arg(example).arg(pages.path()).status();
    assert!(copied.unwrap().success());
    let mut count = 0;
    for block in blocks(&["console"]) {
        let mut lines = block.lines.iter().peekable();
        while let Some(line) = lines.next() {
            let line = line.strip_prefix("$ ").unwrap_or_else(|| panic!("{}: {line}", block.place));
            let ran = typed(home.path(), pages.path(), line);
            let mut shown: Vec<&str> = Vec::new();
            while let Some(line) = lines.next_if(|line| !line.starts_with("$ ")) {
                shown.push(line);
            }
            let came: Vec<&str> = ran.stdout.lines().collect();
            let same = came.len() == shown.len()
                && shown.iter().zip(&came).all(|(shown, line)| is_as_shown(shown, line));
            assert!(same, "{}: {line}\n{}\ncame: {ran:?}", block.place, shown.join("\n"));
            count += 1;
        }
    }
    assert!(count > 0, "no output is documented");
    let left = fs::read_dir(home.path().join("workspaces")).unwrap().flatten().map(|entry| entry.file_name());
    assert_eq!(left.collect::<Vec<_>>(), [".names.lock"], "the pages leave workspaces behind");
}

#[test]
fn an_ellipsis_stands_for_anything_and_nothing_else_does() {
    assert!(is_as_shown("a", "a") && !is_as_shown("a", "ab"));
    assert!(is_as_shown("\"ms\": …,", "\"ms\": 12,") && !is_as_shown("\"ms\": …,", "\"ms\": 12"));
    assert!(is_as_shown("…-…", "1-2") && !is_as_shown("…-…", "12"));
}
