//! Every case of the files of a workspace, on namespaces of this host.

use crate::images::layout::{Layout, Packing};
use crate::images::tarball::Tarball;
use crate::support::{Pyro, Ran, command, files};

fn pyro() -> Pyro {
    Pyro::new(&["--allow-host-compat"], "host_compat")
}

#[test]
fn a_seed_is_what_git_knows_and_says_so() {
    files::a_seed_is_what_git_knows_and_says_so(&pyro());
}

#[test]
fn a_directory_is_seeded_whole_and_a_missing_one_not_at_all() {
    files::a_directory_is_seeded_whole_and_a_missing_one_not_at_all(&pyro());
}

#[test]
fn a_workspace_without_a_seed_is_empty_and_there() {
    files::a_workspace_without_a_seed_is_empty_and_there(&pyro());
}

#[test]
fn a_diff_makes_the_same_tree_of_the_checkout() {
    files::a_diff_makes_the_same_tree_of_the_checkout(&pyro());
}

#[test]
fn files_are_listed_read_and_written() {
    files::files_are_listed_read_and_written(&pyro());
}

#[test]
fn patches_are_applied_whole_or_not_at_all() {
    files::patches_are_applied_whole_or_not_at_all(&pyro());
}

#[test]
fn exports_are_whole_and_stay_inside() {
    files::exports_are_whole_and_stay_inside(&pyro());
}

#[test]
fn an_interrupted_export_leaves_nothing() {
    files::an_interrupted_export_leaves_nothing(&pyro());
}

#[test]
fn a_push_is_whole_or_not_at_all() {
    files::a_push_is_whole_or_not_at_all(&pyro());
}

#[test]
fn a_diff_is_against_the_baseline_or_a_snapshot() {
    files::a_diff_is_against_the_baseline_or_a_snapshot(&pyro());
}

/// An image whose user is the one that its databases give a number for a name.
#[test]
fn files_belong_to_whom_commands_run_as() {
    let busybox = std::fs::read("/bin/busybox").expect("busybox-static; run `make setup`, it installs it");
    let tar = Tarball::new()
        .directory("bin/")
        .entry("bin/sh", tar::EntryType::Regular, 0o755, &busybox, |_| {})
        .directory("etc/")
        .file("etc/group", b"root:x:0:\n50:x:9:\n")
        .file("etc/passwd", b"root:x:0:0::/:/bin/sh\n1000:x:7:8::/:/bin/sh\n");
    let (layout, _) = Layout::of(&[tar.bytes()], Packing::Plain);
    let home = tempfile::tempdir().unwrap();
    let pyro = |words: &[&str]| Ran::of(&command(home.path()).args(words).output().unwrap()).ended(0);
    pyro(&["env", "import", layout.path().to_str().unwrap(), "-t", "pyro.local/test/user:1"]);
    let source = tempfile::tempdir().unwrap();
    std::fs::write(source.path().join("seeded"), "x").unwrap();
    let source = source.path().to_str().unwrap();
    let words = ["workspace", "create", "--allow-host-compat", "--id-only", "--seed-path", source];
    let id = pyro(&[&words[..], &["pyro.local/test/user:1"]].concat()).stdout;
    let id = id.trim();
    std::fs::write(format!("{source}/pushed"), "y").unwrap();
    pyro(&["workspace", "sync", "push", id, source, "--dest", "new"]);
    pyro(&["workspace", "file", "write", id, "written", "--text", "z"]);
    let script = "for file in . seeded new new/pushed written; do test -O $file && test -G $file && echo $file; done; id -u";
    let ran = pyro(&["workspace", "exec", id, "--", "/bin/sh", "-c", script]);
    assert_eq!(ran.stdout, ".\nseeded\nnew\nnew/pushed\nwritten\n7\n");
    pyro(&["workspace", "delete", id]);
}
