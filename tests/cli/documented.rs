//! What the documentation shows as output is what comes out.

use crate::images::layout::{Layout, Packing};
use crate::images::tarball::Tarball;
use crate::pages::blocks;
use crate::support::{Ran, command};
use std::fs;
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

#[test]
fn documented_output_is_what_comes_out() {
    let home = tempfile::tempdir().unwrap();
    let busybox = fs::read("/bin/busybox").expect("busybox-static; run `make setup`, it installs it");
    let layer =
        Tarball::new().directory("bin/").entry("bin/echo", EntryType::Regular, 0o755, &busybox, |_| {});
    let (layout, _) = Layout::of(&[layer.bytes()], Packing::Plain);
    let pyro = |words: &[String]| Ran::of(&command(home.path()).args(words).output().unwrap());
    let path = layout.path().to_str().unwrap().to_owned();
    pyro(&["env", "import", &path, "-t", "debian:12"].map(str::to_owned)).ended(0);
    let mut count = 0;
    for block in blocks(&["console"]) {
        let mut lines = block.lines.iter().peekable();
        while let Some(line) = lines.next() {
            let typed = line.strip_prefix("$ pyro ").unwrap_or_else(|| panic!("{}: {line}", block.place));
            let ran = pyro(&shlex::split(typed).unwrap());
            let mut shown: Vec<&str> = Vec::new();
            while let Some(line) = lines.next_if(|line| !line.starts_with("$ ")) {
                shown.push(line);
            }
            let came: Vec<&str> = ran.stdout.lines().collect();
            let same = came.len() == shown.len()
                && shown.iter().zip(&came).all(|(shown, line)| is_as_shown(shown, line));
            assert!(same, "{}: pyro {typed}\n{}\ncame: {ran:?}", block.place, shown.join("\n"));
            count += 1;
        }
    }
    assert!(count > 0, "no output is documented");
}

#[test]
fn an_ellipsis_stands_for_anything_and_nothing_else_does() {
    assert!(is_as_shown("a", "a") && !is_as_shown("a", "ab"));
    assert!(is_as_shown("\"ms\": …,", "\"ms\": 12,") && !is_as_shown("\"ms\": …,", "\"ms\": 12"));
    assert!(is_as_shown("…-…", "1-2") && !is_as_shown("…-…", "12"));
}
