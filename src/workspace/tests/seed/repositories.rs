//! The `.git` of a seed.

use super::support::{Bench, Checkout, git_in, run, same_state, state, text};
use std::fs;
use std::path::Path;
use std::process::Command;

/// git in an unpacked seed, as a user without any configuration runs it.
fn git(tree: &Path, arguments: &[&str]) -> String {
    text(git_in(tree, arguments))
}

#[test]
fn changes_are_what_they_were_and_work_goes_on() {
    let bench = Bench::new();
    let checkout = Checkout::new();
    checkout.write("a", "two\n").commit("two");
    checkout.write("a", "changed\n").write("staged", "staged\n").write("dir/b", "both\n");
    checkout.git(&["add", "staged", "dir/b"]);
    checkout.write("dir/b", "both again\n").write("new", "new\n");
    checkout.git(&["mv", "run", "ran"]);
    let tree = same_state(&bench, checkout.path());
    assert_eq!(git(&tree, &["rev-list", "--count", "HEAD"]), "1\n", "it is shallow");
    git(&tree, &["stash"]);
    assert_eq!(git(&tree, &["status", "--porcelain"]), "?? new\n");
    git(&tree, &["stash", "pop", "--index"]);
    assert_eq!(state(&tree), state(checkout.path()));
    git(&tree, &["add", "-A"]);
    git(&tree, &["commit", "-q", "-m", "in the workspace"]);
    assert_eq!(git(&tree, &["log", "--format=%an %s"]), "Somebody in the workspace\nSomebody two\n");
    git(&tree, &["checkout", "-q", "-b", "other"]);
    git(&tree, &["gc", "-q"]);
    git(&tree, &["fsck"]);
}

#[test]
fn a_checkout_without_commits_has_none_in_the_seed() {
    let bench = Bench::new();
    let checkout = Checkout::empty(&[]);
    let status = |path: &Path| git(path, &["status", "--porcelain", "--branch"]);
    let tree = bench.tree(checkout.path());
    assert_eq!(status(&tree), "## No commits yet on main\n");
    checkout.write("a", "a\n").write("b", "b\n").git(&["add", "a"]);
    let tree = bench.tree(checkout.path());
    assert_eq!(status(&tree), "## No commits yet on main\nA  a\n?? b\n");
    git(&tree, &["commit", "-q", "-m", "first"]);
}

#[test]
fn heads_and_indexes_of_every_kind() {
    let bench = Bench::new();
    // Detached.
    let checkout = Checkout::new();
    checkout.git(&["checkout", "-q", "--detach"]);
    same_state(&bench, checkout.path());
    // A branch with a name of several parts, sent elsewhere.
    checkout.git(&["checkout", "-q", "-b", "team/x/y"]);
    checkout.git(&["pack-refs", "--all"]);
    same_state(&bench, checkout.path());
    // Not merged.
    checkout.write("a", "ours\n").commit("ours");
    checkout.git(&["checkout", "-q", "main"]);
    checkout.write("a", "theirs\n").commit("theirs");
    let merge = Command::new("git")
        .arg("-C")
        .arg(checkout.path())
        .args(["merge", "-q", "team/x/y"])
        .output()
        .unwrap();
    assert!(!merge.status.success());
    let tree = bench.tree(checkout.path());
    assert_eq!(git(&tree, &["status", "--porcelain"]), "UU a\n");
    assert_eq!(git(&tree, &["ls-files", "-u"]), checkout.git(&["ls-files", "-u"]));
    assert_eq!(git(&tree, &["status"]), checkout.git(&["status"]));
    fs::write(tree.join("a"), "both\n").unwrap();
    git(&tree, &["commit", "-q", "--all", "--no-edit"]);
    assert_eq!(git(&tree, &["log", "-1", "--format=%s"]), "Merge branch 'team/x/y'\n");
    assert_eq!(git(&tree, &["rev-list", "--parents", "-1", "HEAD"]).split(' ').count(), 3);
    let again = bench.tree(checkout.path());
    git(&again, &["merge", "--abort"]);
    assert_eq!(git(&again, &["status", "--porcelain"]), "");
    checkout.git(&["merge", "--abort"]);
    // Split, with an untracked cache, intended additions and unwatched files.
    let checkout = Checkout::new();
    checkout.git(&["update-index", "--split-index", "--untracked-cache"]);
    checkout.write("intended", "x\n").git(&["add", "-N", "intended"]);
    checkout.git(&["update-index", "--assume-unchanged", "a"]);
    checkout.write("a", "not looked at\n");
    let tree = same_state(&bench, checkout.path());
    assert_eq!(git(&tree, &["ls-files", "-v"]), "h a\nH dir/b\nH intended\nH run\n");
    assert!(
        !fs::read_dir(tree.join(".git")).unwrap().any(|it| it
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with("shared"))
    );
    // Of files in another format of objects.
    let checkout = Checkout::with(&["--object-format=sha256"]);
    checkout.write("a", "changed\n").write("staged", "x\n").git(&["add", "staged"]);
    same_state(&bench, checkout.path());
}

#[test]
fn a_worktree_gets_a_repository_of_its_own() {
    let bench = Bench::new();
    let checkout = Checkout::new();
    let other = tempfile::tempdir().unwrap();
    let path = other.path().join("tree");
    checkout.git(&["worktree", "add", "-q", "-b", "side", path.to_str().unwrap()]);
    fs::write(path.join("a"), "changed\n").unwrap();
    fs::write(path.join("staged"), "staged\n").unwrap();
    git_in(&path, &["add", "staged"]);
    let tree = same_state(&bench, &path);
    assert!(tree.join(".git").is_dir());
    git(&tree, &["commit", "-q", "-a", "-m", "x"]);
}

#[test]
fn a_sparse_checkout_stays_sparse() {
    let bench = Bench::new();
    for index in ["--no-sparse-index", "--sparse-index"] {
        let checkout = Checkout::new();
        checkout.write("big/one", "1\n").write("big/two", "2\n").commit("big");
        checkout.git(&["sparse-checkout", "set", "--cone", index, "dir"]);
        checkout.write("dir/b", "changed\n");
        let tree = same_state(&bench, checkout.path());
        assert!(!tree.join("big").exists(), "{index}");
        git(&tree, &["sparse-checkout", "disable"]);
        assert!(tree.join("big/one").exists(), "{index}");
    }
}

#[test]
fn a_partial_clone_is_not_completed() {
    let bench = Bench::new();
    let origin = Checkout::new();
    origin.write("big/one", "1\n").commit("big");
    origin.git(&["config", "uploadpack.allowFilter", "true"]);
    let directory = tempfile::tempdir().unwrap();
    let url = format!("file://{}", origin.path().display());
    git_in(directory.path(), &["clone", "-q", "--filter=blob:none", "--sparse", &url, "clone"]);
    let clone = directory.path().join("clone");
    let missing = || git(&clone, &["rev-list", "--objects", "--missing=print", "HEAD"]).matches('?').count();
    assert!(missing() > 0);
    let before = missing();
    let tree = bench.tree(&clone);
    assert_eq!(missing(), before, "nothing was fetched");
    assert_eq!(git(&tree, &["status", "--porcelain"]), "");
}

#[test]
fn pointers_of_large_files_stay_as_they_are_and_no_filter_runs() {
    let bench = Bench::new();
    let checkout = Checkout::new();
    let ran = checkout.path().join("ran");
    checkout.write(".gitattributes", "*.bin filter=lfs\n");
    checkout
        .write("x.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
        .commit("pointer");
    let program = format!("touch {}; cat", ran.display());
    for key in ["clean", "smudge", "process"] {
        checkout.git(&["config", &format!("filter.lfs.{key}"), &program]);
    }
    checkout.git(&["config", "filter.lfs.required", "true"]);
    checkout.git(&["config", "core.fsmonitor", &program]);
    checkout.git(&["config", "core.hooksPath", checkout.path().join("hooks").to_str().unwrap()]);
    for hook in ["post-index-change", "fsmonitor-watchman"] {
        checkout.write(&format!("hooks/{hook}"), &format!("#!/bin/sh\ntouch {}\n", ran.display()));
        run(Command::new("chmod").arg("+x").arg(checkout.path().join(format!("hooks/{hook}"))));
    }
    // Its time is another one now, so that git has to read it.
    checkout.write("x.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n");
    let tree = bench.tree(checkout.path());
    assert!(!ran.exists());
    assert!(fs::read_to_string(tree.join("x.bin")).unwrap().starts_with("version"));
    assert_eq!(git(&tree, &["status", "--porcelain"]), "?? hooks/\n");
}

#[test]
fn the_checkouts_own_repository_is_not_written() {
    // On another file system than the state directory, which a rename does not reach.
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    let bench = Bench::new();
    let checkout = Checkout::new();
    checkout.write("staged", "staged\n").git(&["add", "staged"]);
    let copy = elsewhere.path().join("a \"b\": c\\");
    run(Command::new("cp").arg("-a").arg(checkout.path()).arg(&copy));
    let times = || text(run(Command::new("find").arg(&copy).args(["-printf", "%P %T@ %C@\n"])).stdout);
    let before = times();
    bench.seed(&copy);
    assert!(times() == before, "{}", times());
    same_state(&bench, &copy);
}

#[test]
fn a_branch_that_follows_another_says_nothing_untrue() {
    let bench = Bench::new();
    let origin = Checkout::new();
    let clone = origin.path().with_extension("clone");
    run(Command::new("git").args(["clone", "-q"]).args([origin.path(), &clone]));
    let tree = bench.tree(&clone);
    assert_eq!(git(&tree, &["status"]), "On branch main\nnothing to commit, working tree clean\n");
    fs::remove_dir_all(clone).unwrap();
}

#[test]
fn nothing_secret_is_in_the_configuration() {
    let bench = Bench::new();
    let checkout = Checkout::new();
    checkout.git(&["remote", "add", "origin", "https://me:s3cret@example.org/x.git?private_token=s3cret"]);
    checkout.git(&["config", "http.extraHeader", "Authorization: s3cret"]);
    checkout.git(&["config", "url.https://s3cret@example.org/.insteadOf", "gh:"]);
    checkout.git(&["config", "branch.main.remote", "origin"]);
    checkout.git(&["config", "branch.main.merge", "refs/heads/main"]);
    checkout.write(".git/hooks/pre-commit", "#!/bin/sh\nexit 1\n").write(".git/FETCH_HEAD", "s3cret\n");
    let seeded = bench.seed(checkout.path());
    let tree = bench.unpack(&seeded);
    assert_eq!(git(&tree, &["remote", "get-url", "origin"]), "https://example.org/x.git\n");
    assert_eq!(git(&tree, &["rev-parse", "--abbrev-ref", "HEAD"]), "main\n");
    assert!(!tree.join(".git/hooks").exists());
    let layer = fs::read(bench.home.store().blob(&seeded.layer.diff_id)).unwrap();
    assert!(!layer.windows(6).any(|at| at == b"s3cret"));
}

#[test]
fn the_first_status_reads_no_file() {
    let bench = Bench::new();
    let checkout = Checkout::new();
    for number in 0..50 {
        checkout.write(&format!("many/{number}"), &format!("{number}\n"));
    }
    checkout.commit("many");
    // All files are as old as the index, which says nothing for them; but in the seed it is newer.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let tree = bench.tree(checkout.path());
    let trace = bench.home.cache().join("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", "trace=open,openat", "-o"]).arg(&trace);
    command.args(["git", "-C"]).arg(&tree).args(["status", "--porcelain"]);
    assert_eq!(text(run(&mut command).stdout), "");
    let trace = fs::read_to_string(trace).unwrap();
    let files = trace.lines().filter(|line| !line.contains("O_DIRECTORY"));
    let opened: Vec<&str> = files.filter(|line| line.contains("\"many/") || line.contains("\"a\"")).collect();
    assert!(trace.contains(".git/index"), "{trace}");
    assert_eq!(opened, Vec::<&str>::new());
}
