//! A failing test, from its reproduction to its fix, as an agent would go about it.

use super::workspaces::Made;
use super::{Pyro, Ran, process};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const PATCH: &str = "--- a/sum.sh\n+++ b/sum.sh\n@@ -1 +1 @@\n-echo $(( $1 - $2 ))\n+echo $(( $1 + $2 ))\n";

fn checkout(path: &Path) {
    fs::create_dir(path).unwrap();
    fs::write(path.join("sum.sh"), "echo $(( $1 - $2 ))\n").unwrap();
    fs::write(path.join("test.sh"), "test $(sh sum.sh 2 3) = 5\n").unwrap();
    let git = |words: &[&str]| {
        let output = Command::new("git").arg("-C").arg(path).args(words).output().unwrap();
        Ran::of(&output).ended(0);
    };
    git(&["init", "-q", "."]);
    git(&["add", "."]);
    git(&["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "first"]);
}

pub fn a_failing_test_is_reproduced_and_mended(shared: &Pyro) {
    // Learns whether a microVM boots here.
    shared.sh("true").ended(0);
    let (home, pyro) = shared.apart();
    let outside = tempfile::tempdir().unwrap();
    let source = outside.path().join("checkout");
    checkout(&source);
    let made = Made::new(&pyro, &["--seed-path", source.to_str().unwrap(), "--name", "fix"]);
    let workspace = |words: &[&str]| pyro.pyro(&[&["workspace"], words].concat());
    let test = |id: &str| workspace(&["exec", id, "--", "sh", "test.sh"]);

    test("fix").ended(1);
    let read = workspace(&["file", "read", "fix", "sum.sh", "--content-only"]).ended(0).stdout;
    assert_eq!(read, "echo $(( $1 - $2 ))\n");
    workspace(&["patch", "apply", "fix", "--patch", PATCH]).ended(0);
    test("fix").ended(0);
    let diff = workspace(&["diff", "fix"]).ended(0).stdout;
    assert!(diff.ends_with(PATCH), "{diff}");
    // The checkout changes when that is asked for, and not before.
    assert_eq!(fs::read_to_string(source.join("sum.sh")).unwrap(), read);
    workspace(&["apply", "fix", "--to", source.to_str().unwrap()]).ended(0);
    assert_eq!(fs::read_to_string(source.join("sum.sh")).unwrap(), "echo $(( $1 + $2 ))\n");

    workspace(&["snapshot", "create", "fix", "fixed"]).ended(0);
    workspace(&["reset", "fix"]).ended(0);
    assert_eq!(workspace(&["diff", "fix"]).ended(0).stdout, "");
    test("fix").ended(1);
    workspace(&["fork", "fix", "--snapshot", "fixed", "--name", "again"]).ended(0);
    test("again").ended(0);
    workspace(&["delete", "again"]).ended(0);
    workspace(&["delete", "fix"]).ended(0);

    // Nothing is left: no process, no mount, no file of ours.
    while !process::users_of(&home.path().join("workspaces")).is_empty() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let names = |directory: &Path| {
        let entries =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = entries.collect();
        names.sort();
        names
    };
    assert_eq!(names(&home.path().join("workspaces")), [".names.lock"]);
    assert_eq!(names(&source), [".git", "sum.sh", "test.sh"]);
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(home.path().to_str().unwrap()), "{mounts}");
    drop(made);
}
