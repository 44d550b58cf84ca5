//! What the files of a workspace must do, whatever kind of machine it has.

use super::workspaces::Made;
use super::{Pyro, Ran};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A checkout with one of each, and what is ignored.
fn checkout() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("checkout");
    fs::create_dir_all(path.join("src")).unwrap();
    for (name, content) in [
        ("src/sum.py", "def sum(a, b):\n    return a - b\n"),
        ("src/test.sh", "python3 -c 'x'\n"),
        ("README", "words\n"),
        (".gitignore", "*.log\n"),
        ("junk.log", "junk\n"),
        ("no newline", "at the end"),
    ] {
        fs::write(path.join(name), content).unwrap();
    }
    fs::write(path.join("binary"), [0, 1, 2, 0xff]).unwrap();
    fs::set_permissions(path.join("src/test.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("src/sum.py", path.join("link")).unwrap();
    git(&path, &["init", "-q", "."]);
    git(&path, &["add", "-A"]);
    git(&path, &["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "first"]);
    fs::write(path.join("untracked"), "not added\n").unwrap();
    (directory, path)
}

fn git(directory: &Path, words: &[&str]) -> Ran {
    let output = Command::new("git").arg("-C").arg(directory).args(words).output().expect("git starts");
    Ran::of(&output).ended(0)
}

/// Every file below a directory but those of `.git`: its path, kind, whether it is executable, content.
fn tree(directory: &Path) -> Vec<(String, char, bool, Vec<u8>)> {
    let entries = walkdir::WalkDir::new(directory).min_depth(1).sort_by_file_name();
    let entries = entries.into_iter().filter_entry(|entry| entry.file_name() != ".git").map(Result::unwrap);
    let describe = |entry: walkdir::DirEntry| {
        let path = entry.path().strip_prefix(directory).unwrap().to_str().unwrap().to_owned();
        let kind = entry.file_type();
        if kind.is_symlink() {
            let target = fs::read_link(entry.path()).unwrap();
            return Some((path, 'l', false, target.to_str().unwrap().into()));
        }
        let executable = entry.metadata().unwrap().permissions().mode() & 0o100 != 0;
        kind.is_file().then(|| (path, '-', executable, fs::read(entry.path()).unwrap()))
    };
    entries.filter_map(describe).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn seeded<'a>(pyro: &'a Pyro, source: &Path) -> Made<'a> {
    Made::new(pyro, &["--seed-path", text(source)])
}

/// Runs a verb with something on its standard input.
fn with_input(made: &Made<'_>, verb: &str, words: &[&str], input: &[u8]) -> Ran {
    let words: Vec<&str> = words.iter().map(|word| if *word == "ID" { &made.id } else { *word }).collect();
    let mut command = made.pyro.command(&["workspace", verb]);
    let mut child = command
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    Ran::of(&child.wait_with_output().unwrap())
}

/// `pyro workspace VERB SUBVERB ID WORDS…`.
fn sub(made: &Made<'_>, verb: &str, subverb: &str, words: &[&str]) -> Ran {
    made.pyro.pyro(&[&["workspace", verb, subverb, &made.id], words].concat())
}

pub fn a_seed_is_what_git_knows_and_says_so(pyro: &Pyro) {
    let (_directory, source) = checkout();
    // What was written this moment could be written again unseen: it is not remembered.
    std::thread::sleep(std::time::Duration::from_millis(100));
    let made = seeded(pyro, &source);
    let seed = &made.status()["workspace_seed"];
    assert_eq!(seed["mode"], "checkout");
    assert_eq!(seed["origin_kind"], "seed_path");
    assert_eq!(seed["origin_ref"], text(&source));
    assert_eq!(seed["entries"], 8);
    assert!(seed["layer"].as_str().unwrap().starts_with("sha256:"), "{seed}");
    let ran = made.sh("git status --short && git log --format=%s && ls -A").ended(0);
    let expected =
        "?? untracked\nfirst\n.git\n.gitignore\nREADME\nbinary\nlink\nno newline\nsrc\nuntracked\n";
    assert_eq!(ran.stdout, expected);
    // The same again reads nothing, and is the same layer.
    let again = pyro.create(&["--json", "--seed-path", text(&source)]).ended(0).json();
    assert_eq!(again["workspace_seed"]["layer"], seed["layer"]);
    pyro.pyro(&["workspace", "delete", again["id"].as_str().unwrap()]).ended(0);
    assert!(made.run("diff", &[]).ended(0).stdout.is_empty());
}

pub fn a_directory_is_seeded_whole_and_a_missing_one_not_at_all(pyro: &Pyro) {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), "content\n").unwrap();
    let pipe = directory.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
    let created = pyro.create(&["--json", "--seed-path", text(directory.path())]).ended(0).json();
    assert_eq!(created["workspace_seed"]["mode"], "directory");
    assert_eq!(created["skipped"][0]["path"], "pipe", "{created}");
    let id = created["id"].as_str().unwrap();
    let ran = pyro.pyro(&["workspace", "file", "read", id, "file", "--content-only"]).ended(0);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("content\n", ""));
    pyro.pyro(&["workspace", "delete", id]).ended(0);
    let ran = pyro.create(&["--name", "seedless", "--seed-path", "/no/such/directory"]).ended(1);
    assert!(ran.stderr.contains("/no/such/directory"), "{ran:?}");
    pyro.pyro(&["workspace", "status", "seedless"]).ended(1);
}

pub fn a_workspace_without_a_seed_is_empty_and_there(pyro: &Pyro) {
    let made = Made::new(pyro, &[]);
    let status = made.status();
    assert_eq!(
        (&status["workspace_seed"]["mode"], &status["workspace_seed"]["entries"]),
        (&json!("empty"), &json!(0))
    );
    assert_eq!(sub(&made, "file", "list", &["--json"]).ended(0).json()["entries"], json!([]));
    let diff = made.run("diff", &["--json"]).ended(0).json();
    assert_eq!((&diff["changes"], &diff["statistics"]["files"]), (&json!([]), &json!(0)));
    assert_eq!(diff["execution_mode"], pyro.execution_mode);
    // However it went away.
    made.sh("cd / && rmdir workspace").ended(0);
    made.run("stop", &[]).ended(0);
    made.run("start", &[]).ended(0);
    sub(&made, "file", "list", &[]).ended(0);
}

pub fn a_diff_makes_the_same_tree_of_the_checkout(pyro: &Pyro) {
    let (_directory, source) = checkout();
    let made = seeded(pyro, &source);
    let script = "sed -i s/-/+/ src/sum.py; rm README; mv binary moved; chmod 755 untracked; ln -sfn src link; \
        printf 'a\\r\\nb' > 'odd name\t'; : > empty; mkdir -p new/deep; echo x > new/deep/file; \
        rm 'no newline'; mkdir 'no newline'; echo y > 'no newline/file'; touch src/test.sh; git add -A; git commit -qm x || true";
    made.sh(script).ended(0);
    let patch = made.command("diff", &[]).output().unwrap();
    assert!(patch.status.success());
    let stat = made.run("diff", &["--stat"]).ended(0).stdout;
    assert!(stat.contains(" src/sum.py ") && !stat.contains("test.sh"), "{stat}");
    let json = made.run("diff", &["--json"]).ended(0).json();
    let status = |path: &str| {
        let changes = json["changes"].as_array().unwrap();
        changes
            .iter()
            .find(|change| change["path"] == path)
            .map_or(Value::Null, |change| change["status"].clone())
    };
    assert_eq!(status("src/sum.py"), "modified");
    assert_eq!(status("README"), "deleted");
    assert_eq!(status("untracked"), "mode_changed");
    assert_eq!(status("src/test.sh"), Value::Null);

    let (_other, target) = checkout();
    let before = tree(&target);
    let ran = made.run("apply", &["--to", text(&target), "--check"]).ended(0);
    assert!(ran.stdout.contains("src/sum.py"), "{ran:?}");
    assert_eq!(tree(&target), before);
    made.run("apply", &["--to", text(&target)]).ended(0);
    // What git makes of the patch is what is in the workspace.
    let exported = source.with_file_name("exported");
    made.run("export", &["--output", text(&exported), "."]).ended(0);
    // git takes the ignored file for none of its business, and so does pyro.
    let known = |directory: &Path| -> Vec<_> {
        tree(directory).into_iter().filter(|(path, ..)| path != "junk.log").collect()
    };
    assert_eq!(known(&target), tree(&exported));
    let file = source.with_file_name("patch");
    fs::write(&file, &patch.stdout).unwrap();
    git(&source, &["apply", text(&file)]);
    assert_eq!(known(&source), tree(&exported));
    // It does not fit twice, and then nothing changes.
    let after = tree(&target);
    let ran = made.run("apply", &["--to", text(&target)]).ended(1);
    assert!(ran.stderr.contains("was it applied before?"), "{ran:?}");
    assert_eq!(tree(&target), after);
}

pub fn files_are_listed_read_and_written(pyro: &Pyro) {
    let (_directory, source) = checkout();
    let made = seeded(pyro, &source);
    let names = |words: &[&str]| -> Vec<String> {
        let list = sub(&made, "file", "list", &[&["--json"], words].concat()).ended(0).json();
        let entries = list["entries"].as_array().unwrap().iter();
        entries
            .map(|entry| entry["path"].as_str().unwrap().to_owned())
            .filter(|path| !path.starts_with(".git"))
            .collect()
    };
    assert_eq!(names(&[]), ["README", "binary", "link", "no newline", "src", "untracked"]);
    assert_eq!(names(&["/workspace/src"]), ["src/sum.py", "src/test.sh"]);
    assert!(names(&["--recursive"]).contains(&"src/sum.py".to_owned()));
    assert_eq!(names(&["src/test.sh"]), ["src/test.sh"]);

    let read = |words: &[&str]| sub(&made, "file", "read", words);
    assert_eq!(read(&["src/sum.py"]).ended(0).stdout, "def sum(a, b):\n    return a - b\n");
    assert_eq!(read(&["link"]).ended(0).stdout, "def sum(a, b):\n    return a - b\n");
    let ran = read(&["README", "--max-bytes", "2", "--content-only"]).ended(0);
    assert_eq!(ran.stdout, "wo");
    assert!(ran.stderr.contains("2 of 6 bytes"), "{ran:?}");
    let json = read(&["binary", "--json"]).ended(0).json();
    assert_eq!((&json["is_text"], &json["size"]), (&json!(false), &json!(4)));
    read(&["README", "--max-bytes", "1048577"]).ended(2);
    for (path, code) in [("../etc/passwd", 2), ("/etc/passwd", 2), ("missing", 1), ("src", 1)] {
        let ran = read(&[path]).ended(code);
        assert!(ran.stderr.contains("hint: "), "{ran:?}");
    }
    made.sh("ln -s /etc/passwd out; ln -s ../etc outer").ended(0);
    for path in ["out", "outer/passwd"] {
        assert_eq!(read(&[path]).ended(1).stdout, "");
    }

    sub(&made, "file", "write", &["new/deep/file", "--text", "-- text\n"]).ended(0);
    assert_eq!(made.sh("cat new/deep/file; stat -c %a new/deep/file").ended(0).stdout, "-- text\n644\n");
    let big = vec![b'x'; 3_000_000];
    with_input(&made, "file", &["write", "ID", "src/test.sh", "--text-file", "-"], &big).ended(0);
    assert_eq!(made.sh("wc -c < src/test.sh; stat -c %a src/test.sh").ended(0).stdout, "3000000\n755\n");
    let json = read(&["src/test.sh", "--json"]).ended(0).json();
    assert_eq!((&json["bytes"], &json["truncated"]), (&json!(65536), &json!(true)));
    assert_eq!(sub(&made, "file", "write", &["outer/new", "--text", "x"]).code, 1);
    let ran = sub(&made, "file", "write", &["link", "--text", "x"]).ended(1);
    assert!(ran.stderr.contains("link is a symbolic link to src/sum.py: name that file"), "{ran:?}");
    made.run("stop", &[]).ended(0);
    let ran = read(&["README"]).ended(1);
    assert!(ran.stderr.contains(&format!("hint: pyro workspace start {}", made.id)), "{ran:?}");
}

pub fn patches_are_applied_whole_or_not_at_all(pyro: &Pyro) {
    let (_directory, source) = checkout();
    let made = seeded(pyro, &source);
    let good = "--- a/src/sum.py\n+++ b/src/sum.py\n@@ -1,2 +1,2 @@\n def sum(a, b):\n-    return a - b\n+    return a + b\n";
    let bad = "--- a/README\n+++ b/README\n@@ -1 +1 @@\n-other words\n+more words\n";
    let apply = |words: &[&str]| sub(&made, "patch", "apply", words);
    let ran = apply(&["--patch", &[good, bad].concat(), "--json"]).ended(1);
    let error = &ran.json()["error"];
    assert_eq!(error["details"][0]["path"], "README", "{error}");
    assert_eq!(error["details"][0]["reason"]["nearest"], Value::Null, "{error}");
    assert!(made.run("diff", &[]).ended(0).stdout.is_empty());
    apply(&["--patch", good, "--check"]).ended(0);
    assert!(made.run("diff", &[]).ended(0).stdout.is_empty());
    assert_eq!(apply(&["--patch", good]).ended(0).stdout, "modified  src/sum.py (+1 -1)\n");
    assert_eq!(
        made.run("diff", &[]).ended(0).stdout,
        format!("diff --git a/src/sum.py b/src/sum.py\n{good}")
    );
    // Of git, with all that it can say; from standard input.
    let more = "diff --git a/README b/doc/README\nsimilarity index 100%\nrename from README\nrename to doc/README\n\
        diff --git a/binary b/binary\nold mode 100644\nnew mode 100755\n\
        diff --git a/untracked b/untracked\ndeleted file mode 100644\n--- a/untracked\n+++ /dev/null\n@@ -1 +0,0 @@\n-not added\n\
        diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+doc\n\\ No newline at end of file\n";
    with_input(&made, "patch", &["apply", "ID", "--patch-file", "-"], more.as_bytes()).ended(0);
    let ran = made.sh("cat l/README; test -x binary; test ! -e untracked; test ! -e README").ended(0);
    assert_eq!(ran.stdout, "words\n");
    for (patch, code) in [
        ("--- a/../x\n+++ b/../x\n@@ -0,0 +1 @@\n+x\n", "bad_patch"),
        ("nonsense", "bad_patch"),
        ("--- a/none\n+++ b/none\n@@ -1 +1 @@\n-a\n+b\n", "patch_does_not_fit"),
        // Through a link that leads elsewhere.
        ("--- a/l/../x\n+++ b/l/../x\n@@ -0,0 +1 @@\n+x\n", "bad_patch"),
    ] {
        assert_eq!(apply(&["--patch", patch, "--json"]).ended(1).json()["error"]["code"], code, "{patch}");
    }
}

pub fn exports_are_whole_and_stay_inside(pyro: &Pyro) {
    let (directory, source) = checkout();
    let made = seeded(pyro, &source);
    let script = "mkdir -p d/e; echo a > d/a; chmod 4755 d/a; ln -s ../a d/e/in; ln -s ../../src d/e/out; ln -s /etc d/etc; \
        ln -s e/../../.. d/sly; mkfifo d/pipe; mkdir d/closed; echo b > d/closed/b; chmod 500 d/closed; \
        truncate -s 64M d/sparse; printf '\\n' >> d/sparse; touch -d @1000000000 d/a; ln d/a d/hard";
    made.sh(script).ended(0);
    let out = directory.path().join("out");
    let export = |path: &str, output: &Path, words: &[&str]| {
        made.run("export", &[&[path, "--output", text(output)], words].concat())
    };
    let json = export("d", &out, &["--json"]).ended(0).json();
    let skipped: Vec<&str> =
        json["skipped"].as_array().unwrap().iter().map(|it| it["path"].as_str().unwrap()).collect();
    assert_eq!(skipped, ["e/out", "etc", "pipe", "sly"], "{json}");
    assert_eq!((&json["entries"], &json["execution_mode"]), (&json!(5), &json!(pyro.execution_mode)));
    let file = fs::metadata(out.join("a")).unwrap();
    assert_eq!(file.permissions().mode() & 0o7777, 0o755);
    assert_eq!(
        file.modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(),
        1_000_000_000
    );
    assert_eq!(fs::read_link(out.join("e/in")).unwrap(), Path::new("../a"));
    assert_eq!(fs::read(out.join("closed/b")).unwrap(), b"b\n");
    let sparse = fs::metadata(out.join("sparse")).unwrap();
    assert_eq!(sparse.len(), (64 << 20) + 1);
    assert!(std::os::unix::fs::MetadataExt::blocks(&sparse) < 2048, "zeros take room on the host");
    // Not again, and not over anything.
    let ran = export("d", &out, &[]).ended(1);
    assert!(ran.stderr.contains("exists already"), "{ran:?}");
    symlink("nowhere", directory.path().join("dangling")).unwrap();
    export("README", &directory.path().join("dangling"), &[]).ended(1);
    export("README", &directory.path().join("no/such/directory"), &[]).ended(1);
    export("missing", &directory.path().join("none"), &[]).ended(1);
    export("d/etc", &directory.path().join("none"), &[]).ended(1);
    // A file, a link, a tar, a patch.
    export("README", &directory.path().join("readme"), &[]).ended(0);
    assert_eq!(fs::read(directory.path().join("readme")).unwrap(), b"words\n");
    export("link", &directory.path().join("a-link"), &[]).ended(0);
    assert_eq!(fs::read_link(directory.path().join("a-link")).unwrap(), Path::new("src/sum.py"));
    let tar = directory.path().join("src.tar");
    export("src", &tar, &["--format", "tar"]).ended(0);
    let mut archive = tar::Archive::new(fs::File::open(&tar).unwrap());
    let members: Vec<PathBuf> =
        archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned()).collect();
    assert_eq!(members, ["./", "sum.py", "test.sh"].map(PathBuf::from));
    let patch = directory.path().join("d.patch");
    made.sh("echo more >> README; rm -r d/e d/sparse d/closed d/pipe").ended(0);
    export("README", &patch, &["--format", "patch"]).ended(0);
    let patch = fs::read_to_string(&patch).unwrap();
    assert!(patch.starts_with("diff --git a/README b/README\n") && !patch.contains("d/a"), "{patch}");
    let mut left: Vec<String> = fs::read_dir(directory.path())
        .unwrap()
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["a-link", "checkout", "d.patch", "dangling", "out", "readme", "src.tar"]);
}

pub fn an_interrupted_export_leaves_nothing(pyro: &Pyro) {
    let made = Made::new(pyro, &[]);
    made.sh("mkdir d; echo a > d/a; truncate -s 60G d/endless").ended(0);
    let directory = tempfile::tempdir().unwrap();
    for format in ["files", "tar"] {
        let output = directory.path().join("out");
        let words = ["d", "--output", text(&output), "--format", format];
        let child = made.command("export", &words).stderr(Stdio::piped()).spawn().unwrap();
        // When something is there already.
        while fs::read_dir(directory.path()).unwrap().next().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(50));
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        Ran::of(&child.wait_with_output().unwrap()).ended(130);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "{format}");
    }
    sub(&made, "file", "list", &["d"]).ended(0);
}

pub fn a_push_is_whole_or_not_at_all(pyro: &Pyro) {
    let (_directory, source) = checkout();
    let made = seeded(pyro, &source);
    let push = |words: &[&str]| sub(&made, "sync", "push", words);
    made.sh("echo own > own; echo theirs > README").ended(0);
    fs::write(source.join("README"), "new words\n").unwrap();
    fs::write(source.join("added"), "added\n").unwrap();
    let json = push(&[text(&source), "--json"]).ended(0).json();
    assert_eq!((&json["pushed"]["mode"], &json["pushed"]["entries"]), (&json!("checkout"), &json!(9)));
    let ran =
        made.sh("cat README added own; git log --format=%s; test -x src/test.sh; readlink link").ended(0);
    assert_eq!(ran.stdout, "new words\nadded\nown\nfirst\nsrc/sum.py\n");

    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(4);
    header.set_mode(0o644);
    tar.append_data(&mut header, "in/file", &b"tar\n"[..]).unwrap();
    let mut link = tar::Header::new_ustar();
    link.set_entry_type(tar::EntryType::Link);
    link.set_size(0);
    tar.append_link(&mut link, "in/same", "in/file").unwrap();
    let archive = source.with_file_name("files.tar");
    fs::write(&archive, tar.into_inner().unwrap()).unwrap();
    push(&[text(&archive), "--dest", "/workspace/from/tar"]).ended(0);
    assert_eq!(made.sh("cat from/tar/in/file from/tar/in/same").ended(0).stdout, "tar\ntar\n");

    // Of a plain directory, too, the repository stays behind.
    let plain = source.with_file_name("plain");
    fs::create_dir_all(plain.join(".git")).unwrap();
    fs::write(plain.join(".git/config"), "[core]\n\tbare = true\n").unwrap();
    fs::write(plain.join("pushed"), "x").unwrap();
    push(&[text(&plain)]).ended(0);
    made.sh("git rev-parse --is-bare-repository | grep -q false && test -f pushed && rm pushed").ended(0);

    // A file is where a directory should be: nothing of it is sent.
    made.sh("rm -r from/tar/in; echo in the way > from/tar/in; echo kept > README").ended(0);
    fs::create_dir(source.join("zzz")).unwrap();
    fs::write(source.join("zzz/file"), "x").unwrap();
    made.sh("echo in the way > zzz").ended(0);
    push(&[text(&source)]).ended(1);
    assert_eq!(made.sh("cat README zzz").ended(0).stdout, "kept\nin the way\n");
    push(&[text(&source), "--dest", "/elsewhere"]).ended(2);
    push(&["/no/such/source"]).ended(1);
}

pub fn a_diff_is_against_the_baseline_or_a_snapshot(pyro: &Pyro) {
    let (_directory, source) = checkout();
    let made = seeded(pyro, &source);
    made.sh("echo one > one; rm README").ended(0);
    sub(&made, "snapshot", "create", &["first"]).ended(0);
    made.sh("echo two > two; echo more >> one; rm binary").ended(0);
    let changes = |words: &[&str]| -> Vec<(String, String)> {
        let json = made.run("diff", &[&["--json"], words].concat()).ended(0).json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let changes = json["changes"].as_array().unwrap().iter();
        changes.map(|change| (text(&change["path"]), text(&change["status"]))).collect()
    };
    let all = [("README", "deleted"), ("binary", "deleted"), ("one", "added"), ("two", "added")];
    let since = [("binary", "deleted"), ("one", "modified"), ("two", "added")];
    let pairs = |list: &[(&str, &str)]| -> Vec<(String, String)> {
        list.iter().map(|(path, status)| ((*path).to_owned(), (*status).to_owned())).collect()
    };
    assert_eq!(changes(&[]), pairs(&all));
    assert_eq!(changes(&["--snapshot", "first"]), pairs(&since));
    let ran = made.run("diff", &["--snapshot", "none"]).ended(1);
    assert!(ran.stderr.contains("pyro workspace snapshot list"), "{ran:?}");
    made.run("reset", &["--snapshot", "first"]).ended(0);
    assert_eq!(changes(&["--snapshot", "first"]), []);
    assert_eq!(changes(&[]), pairs(&[("README", "deleted"), ("one", "added")]));
    made.run("reset", &[]).ended(0);
    assert_eq!(changes(&[]), []);
    assert_eq!(changes(&["--snapshot", "first"]), pairs(&[("README", "added"), ("one", "deleted")]));
}
