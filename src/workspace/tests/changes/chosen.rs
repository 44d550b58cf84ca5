//! Chosen differences, and what is said of them.

use crate::layers::{Guest, entry, lower, tar};
use crate::model::{Node, Tree};
use pyro_protocol::{Entry, EntryKind};
use pyro_workspace::diff::{Contents, Diff, DiffError, Touched, Upper, View, compare};
use std::io::{self, Read};

fn file(content: impl Into<Vec<u8>>) -> Node {
    Node::File { content: content.into(), executable: false }
}

fn tree(files: &[(&str, Node)]) -> Tree {
    files.iter().map(|(path, node)| (path.as_bytes().to_vec(), node.clone())).collect()
}

fn regular(path: &str, size: usize) -> Entry {
    entry(path.as_bytes(), EntryKind::File { size: size as u64 }, 0o644)
}

fn directory(path: &str) -> Entry {
    entry(path.as_bytes(), EntryKind::Directory { opaque: false }, 0o755)
}

/// The difference that these entries above `old` make, with their contents in `new`.
fn diff(old: &Tree, entries: Vec<Entry>, contents: &mut dyn Contents) -> Result<(Diff, String), DiffError> {
    let place = tempfile::tempdir().unwrap();
    let open = || lower(place.path(), &tar(old));
    let (base, now) = (View::new(None, vec![open()]), View::new(Some(Upper::new(entries)?), vec![open()]));
    let mut patch = Vec::new();
    let diff = compare(&base, &now, b"workspace", b"", Touched::default(), contents, Some(&mut patch))?;
    Ok((diff, String::from_utf8_lossy(&patch).into_owned()))
}

fn json(diff: &Diff) -> Vec<String> {
    let text = |change| serde_json::to_value(change).unwrap().to_string();
    diff.changes.iter().map(text).collect()
}

#[test]
fn what_git_does_not_know_is_an_entry_alone() {
    let old =
        tree(&[("f", file("x")), ("owned", file("x")), ("secret", file("x")), (".git/HEAD", file("x"))]);
    let mut owned = regular("workspace/owned", 1);
    owned.uid = 7;
    let mut tagged = regular("workspace/f", 1);
    tagged.xattrs.push((b"user.a".to_vec().into(), b"b".to_vec().into()));
    let mut secret = regular("workspace/secret", 1);
    secret.mode = 0o600;
    let entries = vec![
        directory("workspace"),
        directory("workspace/.git"),
        regular("workspace/.git/HEAD", 9),
        entry(b"workspace/device", EntryKind::Character(1, 3), 0o666),
        directory("workspace/empty"),
        tagged,
        entry(b"workspace/fifo", EntryKind::Fifo, 0o644),
        owned,
        secret,
        entry(b"workspace/socket", EntryKind::Socket, 0o755),
    ];
    let (found, patch) = diff(&old, entries, &mut Guest(&old)).unwrap();
    assert_eq!(patch, "");
    let side = |kind: &str, mode: &str| format!(r#"{{"gid":0,"mode":"{mode}",{kind},"uid":0}}"#);
    let plain = |mode| side(r#""size":1,"type":"file""#, mode);
    let change = |path: &str, old: &str, new: &str, status: &str| {
        let old = if old.is_empty() { String::new() } else { format!(r#","old":{old}"#) };
        format!(r#"{{"binary":false,"in_patch":false,"new":{new}{old},"path":"{path}","status":"{status}"}}"#)
    };
    let expected = [
        change(
            "device",
            "",
            r#"{"gid":0,"major":1,"minor":3,"mode":"0666","type":"character_device","uid":0}"#,
            "added",
        ),
        change("empty", "", &side(r#""type":"directory""#, "0755"), "added"),
        change(
            "f",
            &plain("0644"),
            &plain("0644").replace("0}", r#"0,"xattrs":["user.a"]}"#),
            "metadata_changed",
        ),
        change("fifo", "", &side(r#""type":"fifo""#, "0644"), "added"),
        change(
            "owned",
            &plain("0644"),
            &plain("0644").replace(r#""uid":0"#, r#""uid":7"#),
            "metadata_changed",
        ),
        change("secret", &plain("0644"), &plain("0600"), "mode_changed"),
        change("socket", "", &side(r#""type":"socket""#, "0755"), "added"),
    ];
    assert_eq!(json(&found), expected);
}

#[test]
fn a_directory_that_is_removed_deletes_what_was_in_it() {
    let old = tree(&[("d/a", file("1\n")), ("d/s/b", file("2\n")), ("k", file("k"))]);
    let entries = vec![directory("workspace"), entry(b"workspace/d", EntryKind::Whiteout, 0)];
    let (found, _) = diff(&old, entries, &mut Guest(&Tree::new())).unwrap();
    let paths: Vec<&[u8]> = found.changes.iter().map(|change| &change.path[..]).collect();
    assert_eq!(paths, [&b"d/a"[..], b"d/s/b"]);
    let mut stat = Vec::new();
    found.write_stat(&mut stat).unwrap();
    assert_eq!(
        String::from_utf8(stat).unwrap(),
        " d/a   | 1 -\n d/s/b | 1 -\n 2 files changed, 2 deletions(-)\n"
    );
}

/// Contents without end, made as they are read.
struct Endless(u64);

impl Contents for Endless {
    fn fetch(
        &mut self,
        paths: &[Vec<u8>],
        each: &mut dyn FnMut(usize, &mut dyn Read) -> io::Result<()>,
    ) -> io::Result<()> {
        (0..paths.len()).try_for_each(|number| each(number, &mut io::repeat(0).take(self.0)))
    }
}

#[test]
fn large_files_are_compared_and_not_held() {
    const SIZE: usize = 40 << 20;
    let mut old = tree(&[("big", file(vec![0; SIZE]))]);
    let entries = || vec![directory("workspace"), regular("workspace/big", SIZE)];
    let (found, _) = diff(&old, entries(), &mut Endless(SIZE as u64)).unwrap();
    assert!(found.is_empty(), "copied up, but equal");
    let Some(Node::File { content, .. }) = old.get_mut(&b"big"[..]) else { unreachable!() };
    content[SIZE - 1] = 1;
    let (found, patch) = diff(&old, entries(), &mut Endless(SIZE as u64)).unwrap();
    assert_eq!(patch, "diff --git a/big b/big\nBinary files a/big and b/big differ\n");
    assert_eq!(found.left_out().count(), 1);
    // It said that it was small, and does not end.
    let lie = vec![directory("workspace"), regular("workspace/big", 5)];
    let (found, _) = diff(&old, lie, &mut Endless(u64::MAX)).unwrap();
    assert_eq!(found.left_out().count(), 1);
}

#[test]
fn a_file_that_vanishes_meanwhile_is_gone() {
    let old = tree(&[("x", file("1\n"))]);
    let entries = vec![directory("workspace"), regular("workspace/new", 3), regular("workspace/x", 2)];
    let (found, patch) = diff(&old, entries, &mut Guest(&Tree::new())).unwrap();
    assert_eq!(found.changes.len(), 1);
    assert!(patch.starts_with("diff --git a/x b/x\ndeleted file mode 100644\n"), "{patch}");
}

#[test]
fn impossible_trees_are_refused() {
    let refuse = |entries: Vec<Entry>, message: &str| {
        let error = Upper::new(entries).unwrap_err().to_string();
        assert_eq!(error, format!("the workspace's agent describes an impossible tree: {message}"));
    };
    refuse(vec![directory("../x")], "../x: it is not a clean, relative path");
    refuse(vec![directory("/x")], "/x: it is not a clean, relative path");
    refuse(vec![directory("a/b")], "a/b: its directory is not described");
    refuse(vec![directory("a"), directory("a")], "a: it is described twice");
    refuse(vec![regular("a", 1), directory("a/b")], "a/b: it is in something that is not a directory");
    let deep = (1..1000).map(|depth| directory(&vec!["d"; depth].join("/")));
    let base = View::new(None, Vec::new());
    let now = View::new(Some(Upper::new(deep).unwrap()), Vec::new());
    let result = compare(&base, &now, b"", b"", Touched::default(), &mut Endless(0), None);
    assert!(matches!(result, Err(DiffError::Deep(_))));
}

#[test]
fn layers_that_only_one_side_has_are_compared_too() {
    let place = tempfile::tempdir().unwrap();
    let (first, second) = (place.path().join("1"), place.path().join("2"));
    [&first, &second].into_iter().for_each(|path| std::fs::create_dir(path).unwrap());
    let old = tree(&[("same", file("s")), ("x", file("1\n")), ("y", file("1\n"))]);
    let above = tar(&tree(&[("same", file("s")), ("x", file("2\n")), (".wh.y", file(""))]));
    let toc =
        pyro_layer::scan(&above[..], &pyro_layer::Limits::default(), io::Cursor::new(Vec::new())).unwrap();
    let mut touched = Touched::default();
    touched.add_layer(&toc);
    let base = View::new(None, vec![lower(&first, &tar(&old))]);
    let delta = crate::layers::disk(&second, &above, pyro_layer::overlay);
    let now = View::new(None, vec![delta, lower(&first, &tar(&old))]);
    let mut patch = Vec::new();
    compare(&base, &now, b"workspace", b"", touched, &mut Endless(0), Some(&mut patch)).unwrap();
    assert_eq!(
        String::from_utf8(patch).unwrap(),
        "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-1\n+2\n\
         diff --git a/y b/y\ndeleted file mode 100644\n--- a/y\n+++ /dev/null\n@@ -1 +0,0 @@\n-1\n"
    );
}

#[test]
fn what_has_moved_is_told_once() {
    let old = tree(&[
        ("dir/a", file("same\n")),
        ("dir/b", file("same\n")),
        ("binary", file(b"\0\x01".to_vec())),
        ("empty", file("")),
        ("edited", file("one\n")),
        ("to be a link", file("x\n")),
    ]);
    let new = tree(&[
        ("new/b", file("same\n")),
        ("other", file("same\n")),
        ("binary.moved", file(b"\0\x01".to_vec())),
        ("nothing", file("")),
        ("changed", file("two\n")),
    ]);
    let gone = |path: &str| entry(format!("workspace/{path}").as_bytes(), EntryKind::Whiteout, 0);
    let mut other = regular("workspace/other", 5);
    other.mode = 0o755;
    let entries = vec![
        directory("workspace"),
        gone("binary"),
        regular("workspace/binary.moved", 2),
        regular("workspace/changed", 4),
        gone("dir"),
        gone("edited"),
        gone("empty"),
        directory("workspace/new"),
        regular("workspace/new/b", 5),
        regular("workspace/nothing", 0),
        other,
        gone("to be a link"),
    ];
    let (found, patch) = diff(&old, entries, &mut Guest(&new)).unwrap();
    let moves: Vec<&str> = patch.lines().filter(|line| line.contains("rename")).collect();
    let expected = [
        "rename from binary",
        "rename to binary.moved",
        "rename from dir/b",
        "rename to new/b",
        "rename from dir/a",
        "rename to other",
    ];
    assert_eq!(moves, expected);
    assert!(patch.contains("old mode 100644\nnew mode 100755\nsimilarity index 100%\nrename from dir/a\n"));
    let moved = |change: &str| json(&found).into_iter().find(|json| json.contains(change)).unwrap();
    assert!(moved(r#""path":"new/b""#).contains(r#""renamed_from":"dir/b","status":"added""#));
    assert!(moved(r#""path":"dir/b""#).contains(r#""renamed_to":"new/b","status":"deleted""#));
    let digest = r#""sha256":"b413f47d13ee2fe6c845b2ee141af81de858df4ec549a58b7970bb96645bc8d2""#;
    assert!(moved(r#""path":"binary.moved""#).contains(digest));
    assert_eq!((found.changes.len(), found.file_count()), (11, 8));
    assert_eq!(found.lines().added + found.lines().removed, 3);
    let mut table = Vec::new();
    found.write_stat(&mut table).unwrap();
    let table = String::from_utf8(table).unwrap();
    assert!(table.contains(" {dir => new}/b ") && table.contains(" dir/a => other "), "{table}");
}
