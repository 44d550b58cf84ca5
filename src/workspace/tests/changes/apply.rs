//! Applying patches: chosen cases, what is said when one does not fit, and directories of the host.

use crate::model::{Node, Tree, edit, original, read, write};
use pyro_workspace::patch::{HostTree, Patch};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

fn tree(files: &[(&str, &str)]) -> Tree {
    let file = |content: &str| Node::File { content: content.into(), executable: false };
    files.iter().map(|(path, content)| (path.as_bytes().to_vec(), file(content))).collect()
}

fn apply(before: &[(&str, &str)], patch: &str) -> Result<Tree, String> {
    let mut tree = tree(before);
    let parsed = Patch::parse(patch.as_bytes()).map_err(|error| error.to_string())?;
    let edits = parsed.apply(|path| original(&tree, path)).map_err(|error| error.to_string())?;
    edit(&mut tree, &edits);
    Ok(tree)
}

fn check(before: &[(&str, &str)], patch: &str, after: &[(&str, &str)]) {
    assert_eq!(apply(before, patch), Ok(tree(after)), "{patch}");
}

fn refuse(before: &[(&str, &str)], patch: &str, message: &str) {
    assert_eq!(apply(before, patch).unwrap_err(), message, "{patch}");
}

const NUMBERS: &str = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";

#[test]
fn plain_patches_of_any_make() {
    let hunk = "@@ -1 +1 @@\n-a\n+b\n";
    for names in [
        "--- a/x\n+++ b/x\n",
        "--- x\n+++ x\n",
        "--- x.orig\t2026-01-01 10:00:00.0 +0000\n+++ x\t2026-01-01 10:00:00.0 +0000\n",
        "Some words.\n\ndiff -u x x\nIndex: x\n=====\n--- i/x\r\n+++ w/x\r\n",
        "--- \"a/x\"\n+++ \"b/x\"\n",
    ] {
        let names = names.replace("x.orig", "x");
        check(&[("x", "a\n")], &format!("{names}{hunk}-- \n2.47.3\n"), &[("x", "b\n")]);
    }
    check(&[], "--- /dev/null\n+++ b/d/x\n@@ -0,0 +1 @@\n+b\n", &[("d/x", "b\n")]);
    check(&[], "--- x\n+++ x\n@@ -0,0 +1 @@\n+b\n", &[("x", "b\n")]);
    check(
        &[],
        "--- b/x\t1970-01-01 00:00:00.0 +0000\n+++ b/x\t2026-01-01\n@@ -0,0 +1 @@\n+b",
        &[("b/x", "b\n")],
    );
    check(&[("x", "a\n")], "--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n", &[]);
    // As `diff -ru old-1 old-2` names them.
    let trees = format!("--- old-1/d/x\t2026-01-01\n+++ old-2/d/x\t2026-01-01\n{hunk}");
    check(&[("d/x", "a\n")], &trees, &[("d/x", "b\n")]);
}

#[test]
fn what_is_in_the_way_is_seen_first() {
    let host = tempfile::tempdir().unwrap();
    let path = |name: &str| host.path().join(name);
    fs::write(path("file"), "x").unwrap();
    fs::create_dir_all(path("empty")).unwrap();
    fs::create_dir_all(path("full/below")).unwrap();
    symlink("empty", path("link")).unwrap();
    let tree = HostTree::open(host.path()).unwrap();
    let made = |name: &str| {
        let patch = format!("--- /dev/null\n+++ b/{name}\n@@ -0,0 +1 @@\n+b\n");
        let parsed = Patch::parse(patch.as_bytes()).unwrap();
        let edits = parsed.apply(|path| tree.read(path).unwrap_or_default()).map_err(|it| it.to_string())?;
        tree.clear(edits).map_err(|it| it.to_string())
    };
    let blocked = |name: &str, why: &str| {
        assert_eq!(made(name).unwrap_err(), format!("{name} cannot be replaced or made: {why}"));
    };
    blocked("file/below/it", "file is no directory");
    blocked("link/x", "link is no directory");
    blocked("full", "it is a directory, and below is in it");
    tree.apply(&made("empty").unwrap()).unwrap();
    assert_eq!(fs::read_to_string(path("empty")).unwrap(), "b\n");
    tree.apply(&made("full/new").unwrap()).unwrap();
}

#[test]
fn hunks_move_but_never_bend() {
    let patch = "--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n 7\n-8\n+eight\n 9\n";
    check(&[("x", NUMBERS)], patch, &[("x", "1\n2\n3\n4\n5\n6\n7\neight\n9\n")]);
    let twice = "--- a/x\n+++ b/x\n@@ -2 +2,2 @@\n-2\n+two\n+more\n@@ -8,2 +9 @@\n-8\n 9\n";
    check(&[("x", NUMBERS)], twice, &[("x", "1\ntwo\nmore\n3\n4\n5\n6\n7\n9\n")]);
    // A bare line is an empty line of context whose space an editor has taken.
    check(&[("x", "a\n\nb\n")], "--- x\n+++ x\n@@ -1,3 +1,3 @@\n a\n\n-b\n+c\n", &[("x", "a\n\nc\n")]);
    check(
        &[("x", "a\r\nb\r\n")],
        "--- x\n+++ x\n@@ -1,2 +1,2 @@\n a\r\n-b\r\n+c\r\n",
        &[("x", "a\r\nc\r\n")],
    );
    check(
        &[("x", "a")],
        "--- x\n+++ x\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n",
        &[("x", "a\n")],
    );
    let parts = "--- x\n+++ x\n@@ -1 +1 @@\n-a\n+b\n--- x\n+++ x\n@@ -1 +1 @@\n-b\n+c\n";
    check(&[("x", "a\n")], parts, &[("x", "c\n")]);
}

#[test]
fn what_does_not_fit_is_explained() {
    refuse(
        &[("x", NUMBERS)],
        "--- a/x\n+++ b/x\n@@ -4,4 +4,4 @@\n 5\n 6\n-seven\n+7!\n 8\n",
        "the patch does not fit 1 of 1 file\nx: hunk 1 (line 3 of the patch), stated for line 4, fits nowhere\n  \
         nearest at line 5: 3 of 4 lines as expected; line 7 should be \"seven\", but is \"7\"",
    );
    refuse(
        &[("x", "a\r\nb\r\n"), ("y", "  k\n")],
        "--- x\n+++ x\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n--- y\n+++ y\n@@ -1 +1 @@\n-k\n+l\n",
        "the patch does not fit 2 of 2 files\n\
         x: hunk 1 (line 3 of the patch), stated for line 1, fits nowhere\n  \
         nearest at line 1: 0 of 2 lines as expected; line 1 should be \"a\", but is \"a\\r\"\n  \
         only the ends of lines differ: does one have CRLF or spaces and the other not?\n\
         y: hunk 1 (line 9 of the patch), stated for line 1, fits nowhere\n  \
         nearest at line 1: 0 of 1 lines as expected; line 1 should be \"k\", but is \"  k\"\n  \
         only spaces at the beginnings or ends of lines differ",
    );
    refuse(
        &[("x", "b\n")],
        "--- x\n+++ x\n@@ -1 +1 @@\n-a\n+b\n",
        "the patch does not fit 1 of 1 file\nx: hunk 1 (line 3 of the patch), stated for line 1, fits nowhere; \
         its result is there already: was it applied before?; nothing in the file is like its lines",
    );
    let one = |reason: &str| format!("the patch does not fit 1 of 1 file\nx: {reason}");
    refuse(&[], "--- x\n+++ x\n@@ -1 +1 @@\n-a\n+b\n", &one("there is no such file"));
    refuse(
        &[("x", "")],
        "diff --git a/x b/x\nnew file mode 100644\n",
        &one("it exists already, and the patch would create it"),
    );
    refuse(
        &[("x", "a\nb\n")],
        "--- x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n",
        &one("the patch deletes it, but it has more lines than the patch removes"),
    );
    refuse(
        &[("x", "a\n")],
        "--- x\n+++ x\n@@ -1,0 +2 @@\n+b\n",
        &one(
            "hunk 1 (line 3 of the patch), stated for line 1, has no lines of context, so its place cannot be checked",
        ),
    );
}

#[test]
fn what_is_no_patch_is_explained() {
    let bad = |patch: &str, message: &str| refuse(&[], patch, message);
    bad(
        "",
        "line 1 of the patch: there is no change before the end: neither `diff --git` nor `---` with `+++` and `@@`",
    );
    bad(
        "@@ -1 +1 @@\n-a\n",
        "line 1 of the patch: a hunk without `---` and `+++` lines before it: which file is it for?",
    );
    bad("--- x\n+++ x\nwords\n", "line 3 of the patch: no hunk follows `---` and `+++`");
    bad("--- x\n+++ x\n@@ nonsense @@\n", "line 3 of the patch: no hunk follows `---` and `+++`");
    bad("--- x\n+++ x\n@@ -x @@\n", "line 3 of the patch: a hunk must begin like `@@ -1,2 +3,4 @@`");
    bad(
        "--- x\n+++ x\n@@ -1,3 +1 @@\n-a\n+b\n",
        "line 6 of the patch: the hunk of line 3 must have 3 old and 1 new lines, as its header says; up to here it has 1 and 1",
    );
    bad(
        "--- x\n+++ x\n@@ -1 +1 @@\n-a\n+b\n+c\n",
        "line 6 of the patch: the hunk of line 3 must have 1 old and 1 new lines, as its header says; up to here it has 1 and 2",
    );
    bad(
        "diff --git a/../x b/../x\nnew file mode 100644\n",
        "line 1 of the patch: ../x: its path has a `..` component",
    );
    bad("--- /etc/x\n+++ /etc/x\n@@ -1 +1 @@\n-a\n+b\n", "line 1 of the patch: /etc/x: its path is absolute");
    bad(
        "diff --git a/x b/x\nnew file mode 160000\n",
        "line 2 of the patch: mode 160000: only 100644, 100755 and 120000 can be applied",
    );
    bad("diff --cc x\n", "line 1 of the patch: diffs of merges (`diff --cc`, `@@@`) cannot be applied");
    bad(
        "diff --git a/x b/x\nBinary files a/x and b/x differ\n",
        "line 2 of the patch: the content of this binary file is not in the patch; make it with `git diff --binary`",
    );
}

#[test]
fn a_bomb_does_not_burst() {
    // A line of base 85 that promises more than a binary patch may have, and one that inflates to less.
    let id = "0".repeat(40);
    let patch = |size: u64| {
        format!(
            "diff --git a/x b/x\nnew file mode 100644\nindex {id}..{id}\nGIT binary patch\nliteral {size}\nHcmV?d00001\n\n"
        )
    };
    refuse(&[], &patch(1 << 40), "line 5 of the patch: the binary patch makes more than 32 MiB");
    refuse(
        &[],
        &patch(1 << 20),
        "the patch does not fit 1 of 1 file\nx: the binary patch does not make what it promises",
    );
}

#[test]
fn a_patch_does_not_choose_how_long_it_takes() {
    // Every line is like every other, but for the last one of each hunk, which fits nowhere.
    let text = "x\n".repeat(400_000);
    let hunk = format!("@@ -1,100001 +1,100001 @@\n{}-y\n+z\n", " x\n".repeat(100_000));
    let patch = format!("--- a/x\n+++ b/x\n{hunk}--- a/y\n+++ b/y\n{hunk}");
    let costly = "it takes too long to find where its hunks belong";
    refuse(
        &[("x", &text), ("y", &text)],
        &patch,
        &format!("the patch does not fit 2 of 2 files\nx: {costly}\ny: {costly}"),
    );
}

/// A directory of the host, and a patch for it.
fn host(before: &[(&str, &str)], patch: &str) -> (tempfile::TempDir, Result<(), String>) {
    let directory = tempfile::tempdir().unwrap();
    write(&tree(before), directory.path());
    let result = apply_to(directory.path(), patch);
    (directory, result)
}

fn apply_to(directory: &std::path::Path, patch: &str) -> Result<(), String> {
    let host = HostTree::open(directory).unwrap();
    let patch = Patch::parse(patch.as_bytes()).map_err(|error| error.to_string())?;
    let mut failed = None;
    let edits = patch.apply(|path| {
        host.read(path).unwrap_or_else(|error| {
            failed = Some(error.to_string());
            None
        })
    });
    if let Some(failed) = failed {
        return Err(failed);
    }
    let edits = edits.map_err(|error| error.to_string())?;
    host.apply(&edits).map_err(|error| error.to_string())
}

const MANY: &str = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n--- a/d/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-g\n\
                    --- /dev/null\n+++ b/n/e/w\n@@ -0,0 +1 @@\n+new\n";

#[test]
fn a_directory_of_the_host_is_changed_and_nothing_stays_behind() {
    let (directory, result) = host(&[("x", "a\n"), ("d/gone", "g\n"), ("kept", "k\n")], MANY);
    assert_eq!(result, Ok(()));
    assert_eq!(read(directory.path()), tree(&[("x", "b\n"), ("n/e/w", "new\n"), ("kept", "k\n")]));
    let names = |path: &std::path::Path| fs::read_dir(path).unwrap().count();
    assert_eq!(names(directory.path()), 3, "neither the stage nor the emptied directory is left");
}

#[test]
fn a_failure_on_the_host_undoes_everything() {
    // `n` is a file: the last file's directory cannot be made.
    let before = [("x", "a\n"), ("d/gone", "g\n"), ("n", "in the way\n")];
    let (directory, result) = host(&before, MANY);
    assert_eq!(result.unwrap_err(), "cannot make n/e: Not a directory (os error 20)");
    assert_eq!(read(directory.path()), tree(&before));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3);
}

#[test]
fn nothing_outside_of_the_directory_is_reached() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("x"), "a\n").unwrap();
    let directory = tempfile::tempdir().unwrap();
    symlink(outside.path(), directory.path().join("link")).unwrap();
    symlink(outside.path().join("x"), directory.path().join("file")).unwrap();
    let change = "@@ -1 +1 @@\n-a\n+b\n";
    let through = apply_to(directory.path(), &format!("--- a/link/x\n+++ b/link/x\n{change}"));
    assert!(through.as_ref().unwrap_err().contains("Too many levels of symbolic links"), "{through:?}");
    // The link itself is what a patch of it would change: its target is not `a`.
    assert!(apply_to(directory.path(), &format!("--- a/file\n+++ b/file\n{change}")).is_err());
    let planted = "--- /dev/null\n+++ b/sub/.Git/hooks/x\n@@ -0,0 +1 @@\n+b\n";
    let planted = apply_to(directory.path(), planted).unwrap_err();
    assert_eq!(planted, "sub/.Git/hooks/x: its path leads into the repository (`.git`)");
    assert_eq!(fs::read_to_string(outside.path().join("x")).unwrap(), "a\n");
}

#[test]
fn permissions_of_the_host_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    fs::write(&path, "a\n").unwrap();
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    apply_to(directory.path(), "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n").unwrap();
    assert_eq!(mode(), 0o640);
    apply_to(directory.path(), "diff --git a/x b/x\nold mode 100644\nnew mode 100755\n").unwrap();
    assert_eq!(mode(), 0o750);
    apply_to(directory.path(), "diff --git a/x b/x\nold mode 100755\nnew mode 100644\n").unwrap();
    assert_eq!(mode(), 0o640);
}
