//! Whatever happens to a tree: `git apply` of the patch, and our own, make the new tree of the old one.

use crate::layers::diff;
use crate::model::{Node, Tree, edit, git, ops, original, read, run, write};
use proptest::prelude::*;
use pyro_workspace::patch::{Lines, Patch, StatLine, write_stat};

fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn apply_own(old: &Tree, patch: &[u8]) -> Tree {
    let parsed = Patch::parse(patch).unwrap_or_else(|error| panic!("{error}\n{}", show(patch)));
    let edits = parsed.apply(|path| original(old, path));
    let edits = edits.unwrap_or_else(|error| panic!("{error}\n{}", show(patch)));
    let mut tree = old.clone();
    edit(&mut tree, &edits);
    tree
}

fn apply_git(old: &Tree, patch: &[u8]) -> Tree {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("tree");
    std::fs::create_dir(&root).unwrap();
    write(old, &root);
    let output = git(&root, &["apply", "--whitespace=nowarn"], patch);
    assert!(output.status.success(), "{}\n{}", show(&output.stderr), show(patch));
    read(&root)
}

/// Our table of git's own numbers.
fn stat(numbers: &[u8], old: &Tree, new: &Tree) -> String {
    let content = |tree: &Tree, path: &[u8]| match tree.get(path) {
        Some(Node::File { content, .. } | Node::Symlink(content)) => content.clone(),
        None => Vec::new(),
    };
    let sizes = |path: &[u8]| {
        let (old, new) = (content(old, path), content(new, path));
        if old == new { (0, 0) } else { (old.len() as u64, new.len() as u64) }
    };
    let mut records = numbers.split(|byte| *byte == 0).filter(|line| !line.is_empty());
    let lines = std::iter::from_fn(|| {
        records.next().map(|line| {
            let mut fields = line.splitn(3, |byte| *byte == b'\t');
            let mut number = || str::from_utf8(fields.next().unwrap()).unwrap().parse().ok();
            let (added, removed) = (number(), number());
            let mut path = fields.next().unwrap();
            // Of what has moved, both names follow.
            let from = path.is_empty().then(|| records.next().unwrap());
            if from.is_some() {
                path = records.next().unwrap();
            }
            let lines = added.zip(removed).map(|(added, removed)| Lines { added, removed });
            StatLine {
                path,
                from,
                change: lines.ok_or_else(|| if from.is_some() { (0, 0) } else { sizes(path) }),
            }
        })
    });
    let mut out = Vec::new();
    write_stat(&lines.collect::<Vec<_>>(), &mut out).unwrap();
    show(&out)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, max_shrink_time: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn patches_of_any_change_are_exact(first in ops(0..25), second in ops(0..15), seed in any::<u64>()) {
        let mut old = Tree::new();
        run(&mut old, &first);
        let mut new = old.clone();
        run(&mut new, &second);
        // Any of what stayed may have been copied up, and any directory made anew.
        let copied = |path: &[u8]| path.iter().fold(seed, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into())) % 3 == 0;
        let (found, patch) = diff(&old, &new, copied);
        prop_assert_eq!(found.is_empty(), old == new);
        prop_assert_eq!(patch.is_empty(), old == new);
        if old != new {
            prop_assert_eq!(&apply_own(&old, &patch), &new, "{}", show(&patch));
            prop_assert_eq!(&apply_git(&old, &patch), &new, "{}", show(&patch));
        }
    }

    #[test]
    fn patches_of_git_are_applied_as_git_does(first in ops(0..25), second in ops(0..15)) {
        let mut old = Tree::new();
        run(&mut old, &first);
        let mut new = old.clone();
        run(&mut new, &second);
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("tree");
        std::fs::create_dir(&root).unwrap();
        write(&old, &root);
        let must = |args: &[&str]| {
            let output = git(&root, args, b"");
            assert!(output.status.success(), "{args:?}: {}", show(&output.stderr));
            output.stdout
        };
        must(&["init", "-q"]);
        must(&["add", "-Af"]);
        must(&["commit", "-qm", "x", "--allow-empty"]);
        for entry in std::fs::read_dir(&root).unwrap().flatten().filter(|entry| entry.file_name() != ".git") {
            let path = entry.path();
            if path.symlink_metadata().unwrap().is_dir() { std::fs::remove_dir_all(path).unwrap() } else { std::fs::remove_file(path).unwrap() }
        }
        write(&new, &root);
        must(&["add", "-Af"]);
        for moves in ["--no-renames", "-M100%"] {
            let numbers = must(&["diff", "--cached", moves, "--numstat", "-z", "HEAD"]);
            let table = must(&["diff", "--cached", moves, "--stat=80", "HEAD"]);
            prop_assert_eq!(stat(&numbers, &old, &new), show(&table));
        }
        let renames = ["--binary", "-M", "-C", "--find-copies-harder"];
        for options in [&["--binary"][..], &renames, &["--binary", "--no-prefix", "-U1"]] {
            let patch = must(&[&["diff", "--cached", "HEAD"][..], options].concat());
            if patch.is_empty() {
                prop_assert_eq!(&old, &new);
            } else {
                prop_assert_eq!(&apply_own(&old, &patch), &new, "{:?} {}", options, show(&patch));
            }
        }
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Patch::parse(&bytes);
    }

    #[test]
    fn no_mutation_of_a_patch_makes_anything_panic(
        first in ops(0..12),
        second in ops(1..8),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..5), 1..6),
    ) {
        let mut old = Tree::new();
        run(&mut old, &first);
        let mut new = old.clone();
        run(&mut new, &second);
        let (_, mut patch) = diff(&old, &new, |_| false);
        for (index, byte, kind) in cuts {
            if patch.is_empty() {
                break;
            }
            let at = index.index(patch.len());
            match kind {
                0 => patch[at] = byte,
                1 => patch.insert(at, byte),
                2 => { patch.remove(at); }
                3 => patch.truncate(at),
                _ => { let tail = patch[at..].to_vec(); patch.extend(tail); }
            }
        }
        if let Ok(parsed) = Patch::parse(&patch) {
            // Whatever it became: it changes nothing outside, and says why it does not fit.
            match parsed.apply(|path| original(&old, path)) {
                Ok(edits) => for edit in edits {
                    prop_assert!(!edit.path.starts_with(b"/") && !edit.path.split(|b| *b == b'/').any(|part| part == b".."));
                },
                Err(misfit) => prop_assert!(!misfit.to_string().is_empty()),
            }
        }
    }
}
