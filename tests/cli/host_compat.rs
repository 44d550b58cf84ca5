//! What only namespaces can show, or show on another scale.

use crate::images::layout::{Layout, Packing};
use crate::images::tarball::Tarball;
use crate::pyro;
use crate::support::{Ran, command, disks, endurance, hostile, smoke};

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

#[test]
fn a_directory_is_no_disk() {
    disks::a_directory_is_no_disk(&pyro());
}

#[test]
fn output_without_end_takes_no_memory() {
    endurance::output_without_end_takes_no_memory(&pyro(), 1 << 30);
}

#[test]
fn workflows_of_use_cases_pass() {
    let cases = ["repro-fix-loop", "parallel-workspaces", "untrusted-inspection", "daily-loop"];
    let image = std::env::var("PYRO_TEST_IMAGE").expect("PYRO_TEST_IMAGE names an image; run `make test`");
    // In a state directory of their own, which is cold at first.
    smoke::drive(&cases, &[("USE_CASE_HOST_COMPAT", "1"), ("USE_CASE_IMAGE", &image)]);
}

#[test]
fn directories_without_end_hurt_nobody() {
    hostile::directories_without_end_hurt_nobody(&pyro());
}

/// A fifth of a million: a link costs the overlay 40 µs, and a description and its content as much again,
/// so a million takes four minutes here, of which these are the same.
#[test]
fn very_many_files_take_a_bounded_memory() {
    hostile::very_many_files_take_a_bounded_memory(&pyro(), 100_000);
}

#[test]
fn files_that_are_replaced_all_the_time_hurt_nobody() {
    hostile::files_that_are_replaced_all_the_time_hurt_nobody(&pyro());
}
