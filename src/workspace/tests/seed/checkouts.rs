//! Which files of a checkout are in its seed.

use super::child;
use super::support::{Bench, Checkout, git_in, listing, never, run, same_state};
use pyro_workspace::{Cancel, Seed, SeedMode};
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::process::Command;

#[test]
fn a_directory_in_place_of_a_file_is_taken() {
    let bench = Bench::new();
    let checkout = Checkout::new();
    fs::remove_file(checkout.path().join("a")).unwrap();
    checkout.write("a/__init__.py", "code\n").write("a/more/deep", "code\n");
    // Also the next time, when what git said is remembered.
    for _ in 0..2 {
        let tree = same_state(&bench, checkout.path());
        assert_eq!(fs::read_to_string(tree.join("a/__init__.py")).unwrap(), "code\n");
        checkout.write("a/another", "code\n");
    }
}

#[test]
fn tracked_and_new_files_are_there_and_ignored_ones_are_not() {
    let bench = Bench::new();
    let checkout = Checkout::new();
    checkout
        .write(".gitignore", "*.o\n/build/\n")
        .write("dir/.gitignore", "!kept.o\nlocal\n")
        .commit("ignore");
    checkout.write("a", "changed\n").write("new", "new\n").write("dir/kept.o", "kept\n");
    checkout.write("junk.o", "x").write("dir/local", "x").write("build/out", "x").write("mine.swp", "x");
    // What a user's own configuration ignores.
    let excludes = tempfile::NamedTempFile::new().unwrap();
    fs::write(excludes.path(), "*.swp\n").unwrap();
    checkout.git(&["config", "core.excludesFile", excludes.path().to_str().unwrap()]);
    checkout.write(".git/info/exclude", "excluded\n").write("excluded", "x");
    fs::remove_file(checkout.path().join("dir/b")).unwrap();
    let seeded = bench.seed(checkout.path());
    assert_eq!((seeded.facts.mode, seeded.facts.entries), (SeedMode::Checkout, 6));
    assert_eq!(seeded.facts.bytes, 11 + 15 + 8 + 4 + 10 + 5);
    assert_eq!(seeded.skipped, []);
    assert_eq!(
        listing(&bench.unpack(&seeded)),
        [
            ".git/ 755",
            ".gitignore 644 *.o\n/build/",
            "a 644 changed",
            "dir/ 755",
            "dir/.gitignore 644 !kept.o\nlocal",
            "dir/kept.o 644 kept",
            "new 644 new",
            "run 755 #!/bin/sh"
        ]
    );
    assert!(!same_state(&bench, checkout.path()).join("excluded").exists());
}

#[test]
fn links_bits_times_and_odd_names_are_kept() {
    let bench = Bench::new();
    let checkout = Checkout::new();
    symlink("../outside", checkout.path().join("link")).unwrap();
    symlink("dir", checkout.path().join("to-dir")).unwrap();
    let odd = checkout.path().join(OsStr::from_bytes(b"odd \xff\n\"name\"\t100644 abc 0"));
    fs::write(&odd, "odd\n").unwrap();
    checkout.write(&format!("{}/deep", "long-name-".repeat(20)), "deep\n").write(" ", "space\n");
    checkout.commit("odd");
    fs::set_permissions(checkout.path().join("run"), Permissions::from_mode(0o6711)).unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 123_456_789);
    fs::File::open(&odd).unwrap().set_modified(time).unwrap();
    let tree = same_state(&bench, checkout.path());
    assert_eq!(fs::read_link(tree.join("link")).unwrap().to_str(), Some("../outside"));
    assert_eq!(fs::read_link(tree.join("to-dir")).unwrap().to_str(), Some("dir"));
    let copy = fs::metadata(tree.join(odd.file_name().unwrap())).unwrap();
    assert_eq!(copy.modified().unwrap(), time);
    assert_eq!(fs::metadata(tree.join("run")).unwrap().mode() & 0o7777, 0o755);
}

#[test]
fn a_link_in_place_of_a_directory_leads_nowhere() {
    let bench = Bench::new();
    let checkout = Checkout::new();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("b"), "secret\n").unwrap();
    fs::remove_dir_all(checkout.path().join("dir")).unwrap();
    symlink(outside.path(), checkout.path().join("dir")).unwrap();
    let tree = same_state(&bench, checkout.path());
    assert!(tree.join("dir").is_symlink());
    let blob = bench.home.store().blob(&bench.seed(checkout.path()).layer.diff_id);
    assert!(!fs::read(blob).unwrap().windows(7).any(|at| at == b"secret\n"));
}

#[test]
fn submodules_and_repositories_inside_are_whole() {
    let bench = Bench::new();
    let (inner, checkout) = (Checkout::new(), Checkout::new());
    let innermost = Checkout::new();
    inner.git(&[
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        innermost.path().to_str().unwrap(),
        "sub",
    ]);
    inner.commit("sub");
    let from = inner.path().to_str().unwrap();
    checkout.git(&["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", from, "mod"]);
    checkout.git(&["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", from, "bare"]);
    checkout.git(&[
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "update",
        "--init",
        "--recursive",
        "mod",
    ]);
    checkout.commit("mod");
    checkout.git(&["submodule", "--quiet", "deinit", "-f", "bare"]);
    checkout.write("mod/a", "changed\n").write("mod/sub/new", "new\n");
    git_in(checkout.path(), &["init", "-q", "other"]);
    checkout.write("other/file", "x\n");
    let tree = same_state(&bench, checkout.path());
    for inside in ["mod", "mod/sub"] {
        super::support::same_state(&bench, &checkout.path().join(inside));
        assert_eq!(
            super::support::state(&tree.join(inside)),
            super::support::state(&checkout.path().join(inside))
        );
    }
    assert_eq!(git_in(&tree.join("other"), &["status", "--porcelain"]), b"?? file\n");
    assert_eq!(fs::read_dir(tree.join("bare")).unwrap().count(), 0);
    assert!(tree.join("mod/sub/.git").is_dir());
}

#[test]
fn a_directory_inside_gives_its_files_alone() {
    let bench = Bench::new();
    let checkout = Checkout::new();
    checkout.write(".gitignore", "junk\n").write("dir/junk", "x").write("dir/new", "new\n");
    let seeded = bench.seed(&checkout.path().join("dir"));
    assert_eq!(seeded.facts.mode, SeedMode::Checkout);
    assert_eq!(listing(&bench.unpack(&seeded)), ["b 644 second", "new 644 new"]);
    // To git this one is junk: all of it was asked for.
    checkout.write("junk/x", "x\n");
    let seeded = bench.seed(&checkout.path().join("junk"));
    assert_eq!((seeded.facts.mode, seeded.facts.entries), (SeedMode::Directory, 1));
    let whole = Seed::checkout(&checkout.path().join("dir")).unwrap().unwrap();
    let whole = whole.layer(&bench.home, Default::default(), never(&Cancel::new().unwrap())).unwrap();
    assert_eq!(whole.facts.origin_ref, checkout.path().canonicalize().unwrap().to_str().unwrap());
    assert_eq!(whole.facts.entries, 5);
}

#[test]
fn what_cannot_be_in_a_layer_is_named() {
    let bench = Bench::new();
    let checkout = Checkout::new();
    checkout.write(".wh.a", "x\n").write(".wh.dir/x", "x\n");
    fs::remove_file(checkout.path().join("a")).unwrap();
    run(Command::new("mkfifo").arg(checkout.path().join("a")));
    let skipped = bench.seed(checkout.path()).skipped;
    let names: Vec<&str> = skipped.iter().map(|it| &*it.path).collect();
    assert_eq!(names, ["a", ".wh.a", ".wh.dir/x"]);
    assert_eq!(skipped[0].why, "it is neither file, link nor directory");
}

#[test]
fn unreadable_files_are_named_and_the_rest_is_there() {
    let checkout = Checkout::new();
    checkout.write("closed/inside", "x\n").write("secret", "x\n").commit("more");
    for (path, mode) in [("closed", 0o000), ("secret", 0o000)] {
        fs::set_permissions(checkout.path().join(path), Permissions::from_mode(mode)).unwrap();
    }
    let told = child::seed_as_nobody(checkout.path());
    fs::set_permissions(checkout.path().join("closed"), Permissions::from_mode(0o755)).unwrap();
    assert_eq!(told, "3 entries, skipped closed/inside: permission denied, secret: permission denied");
}

#[test]
fn a_checkout_of_somebody_else_is_refused_with_words() {
    let checkout = Checkout::new();
    let told = child::seed_as_stranger(checkout.path());
    let path = checkout.path().canonicalize().unwrap();
    let expected = format!("git refuses the checkout {}, because it belongs to another user", path.display());
    assert_eq!(told, expected);
}
