//! Plain directories.

use super::support::{Bench, git_in, listing, run, text};
use pyro_workspace::SeedMode;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

#[test]
fn all_of_a_directory_is_there() {
    let bench = Bench::new();
    let source = tempfile::tempdir().unwrap();
    let path = source.path();
    fs::create_dir_all(path.join("deep/er")).unwrap();
    fs::create_dir(path.join("empty")).unwrap();
    fs::write(path.join(".gitignore"), "*\n").unwrap();
    fs::write(path.join("deep/er/file"), "x\n").unwrap();
    fs::write(path.join("deep-er"), "y\n").unwrap();
    symlink("/etc/passwd", path.join("link")).unwrap();
    run(Command::new("mkfifo").arg(path.join("pipe")));
    let time = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::open(path.join("empty")).unwrap().set_modified(time).unwrap();
    let seeded = bench.seed(path);
    assert_eq!((seeded.facts.mode, seeded.facts.entries, seeded.facts.bytes), (SeedMode::Directory, 4, 6));
    assert_eq!(seeded.skipped.len(), 1);
    assert_eq!(seeded.skipped[0].path, "pipe");
    let tree = bench.unpack(&seeded);
    assert_eq!(
        listing(&tree),
        [
            ".gitignore 644 *",
            "deep-er 644 y",
            "deep/ 755",
            "deep/er/ 755",
            "deep/er/file 644 x",
            "empty/ 755",
            "link -> /etc/passwd"
        ]
    );
    assert_eq!(fs::metadata(tree.join("empty")).unwrap().modified().unwrap(), time);
}

#[test]
fn the_state_directory_is_no_part_of_a_seed() {
    let bench = Bench::new();
    let around = bench.home.path().parent().unwrap();
    fs::write(around.join("file"), "x\n").unwrap();
    let seeded = bench.seed(around);
    assert_eq!(listing(&bench.unpack(&seeded)), ["file 644 x"]);
    assert_eq!(seeded.skipped[0].why, "it is pyro's own");
}

#[test]
fn what_is_nothing_is_refused() {
    let bench = Bench::new();
    let directory = tempfile::tempdir().unwrap();
    let gone = directory.path().join("gone");
    assert_eq!(
        bench.refusal(&gone),
        format!("cannot seed from {}: No such file or directory (os error 2)", gone.display())
    );
    let pipe = directory.path().join("pipe");
    run(Command::new("mkfifo").arg(&pipe));
    assert!(bench.refusal(&pipe).ends_with("it is neither a directory nor an archive"));
}

#[test]
fn repositories_in_a_directory_come_without_logins() {
    let bench = Bench::new();
    let parent = tempfile::tempdir().unwrap();
    let secret = "https://me:s3cret@example.org/x.git";
    let git = |words: &[&str]| run(Command::new("git").arg("-C").arg(parent.path()).args(words));
    git(&["init", "-q", "one"]);
    git(&["-C", "one", "remote", "add", "origin", secret]);
    git(&["init", "-q", "--bare", "bare"]);
    git(&["-C", "bare", "config", "http.extraHeader", "s3cret"]);
    fs::write(parent.path().join("config"), "of something else\n").unwrap();
    let seeded = bench.seed(parent.path());
    let skipped: Vec<&str> = seeded.skipped.iter().map(|it| &*it.path).collect();
    assert_eq!((seeded.facts.mode, &skipped[..]), (SeedMode::Directory, &["bare/config"][..]));
    let layer = fs::read(bench.home.store().blob(&seeded.layer.diff_id)).unwrap();
    assert!(!layer.windows(6).any(|at| at == b"s3cret"));
    let tree = bench.unpack(&seeded);
    let url = text(git_in(&tree.join("one"), &["remote", "get-url", "origin"]));
    assert_eq!(url, "https://example.org/x.git\n");
    assert_eq!(text(git_in(&tree.join("bare"), &["rev-parse", "--is-bare-repository"])), "true\n");
    assert!(tree.join("config").exists());
    // A change of it is noticed, as that of any file.
    git(&["-C", "one", "config", "user.name", "Somebody"]);
    assert!(!bench.seed(parent.path()).reused);
}
