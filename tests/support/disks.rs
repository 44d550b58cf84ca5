//! What must be seen of stopped workspaces, whatever kind of machine they have.

use super::{Pyro, Ran, workspaces::Made};
use serde_json::Value;

/// `pyro workspace disk VERB ID WORDS…`.
fn disk(made: &Made<'_>, verb: &str, words: &[&str]) -> Ran {
    let mut all = vec!["workspace", "disk", verb, made.id.as_str()];
    all.extend(words);
    made.pyro.pyro(&all)
}

fn paths(listed: &Value) -> Vec<&str> {
    listed["entries"].as_array().unwrap().iter().map(|it| it["path"].as_str().unwrap()).collect()
}

pub fn a_stopped_disk_is_listed_and_read(pyro: &Pyro) {
    let made = Made::new(pyro, &[]);
    // `/run` is in memory, whatever is written there.
    made.sh(
        "cd /workspace; echo kept > file; mkdir -p d/e; ln -s ../file d/link; head -c 100000 /dev/zero > big; chmod 600 big
         echo left > /tmp/left; mkdir -p /run/pyro-secrets; echo secret > /run/pyro-secrets/token
         rm /etc/group; rm -r /usr/share/doc; echo mine > /etc/passwd; ln -s /run/pyro-secrets/token s",
    )
    .ended(0);
    let ran = disk(&made, "list", &[]).ended(1);
    assert!(ran.stderr.contains(&format!("hint: pyro workspace stop {}", made.id)), "{ran:?}");
    made.run("stop", &[]).ended(0);

    let listed = disk(&made, "list", &["/workspace", "--recursive", "--json"]).ended(0).json();
    assert_eq!(listed["execution_mode"], pyro.execution_mode);
    let below = ["big", "d", "d/e", "d/link", "file", "s"];
    assert_eq!(paths(&listed), below.map(|name| format!("/workspace/{name}")));
    let big = &listed["entries"][0];
    assert_eq!((&big["type"], &big["size"], &big["mode"]), (&"file".into(), &100_000.into(), &"0600".into()));
    assert_eq!(listed["entries"][3]["target"], "../file");
    let ran = disk(&made, "list", &["/workspace"]).ended(0);
    assert_eq!(ran.stdout.lines().count(), 4, "{ran:?}");
    // The image's files, without what was removed.
    let listed = disk(&made, "list", &["/etc", "--json"]).ended(0).json();
    assert!(paths(&listed).contains(&"/etc/passwd") && !paths(&listed).contains(&"/etc/group"), "{listed}");
    disk(&made, "list", &["/usr/share/doc"]).ended(1);
    assert_eq!(disk(&made, "list", &["/tmp"]).ended(0).stdout.lines().count(), 1);
    let all = disk(&made, "list", &["/", "--recursive"]).ended(0).stdout;
    assert!(all.contains(" /usr/bin/git\n") && !all.contains("pyro-secrets\n"), "{}", all.len());

    assert_eq!(disk(&made, "read", &["/workspace/d/link", "--content-only"]).ended(0).stdout, "kept\n");
    assert_eq!(disk(&made, "read", &["/etc/passwd"]).ended(0).stdout, "mine\n");
    assert_eq!(disk(&made, "read", &["/tmp/left"]).ended(0).stdout, "left\n");
    let read = disk(&made, "read", &["/workspace/big", "--max-bytes", "10", "--json"]).ended(0).json();
    assert_eq!((&read["size"], &read["truncated"]), (&100_000.into(), &true.into()));
    assert_eq!(read["content"], "\0".repeat(10));
    for hidden in ["/run/pyro-secrets/token", "/workspace/s", "/etc/group", "/workspace/../etc/passwd"] {
        let ran = disk(&made, "read", &[hidden]);
        assert!(ran.code != 0 && !ran.stdout.contains("secret"), "{hidden}: {ran:?}");
    }
    // Looked at, and as it was.
    assert_eq!(made.status()["state"], "stopped");
    made.run("start", &[]).ended(0);
    assert_eq!(
        made.sh("cat file; touch /workspace/new; ls /workspace").ended(0).stdout,
        "kept\nbig\nd\nfile\nnew\ns\n"
    );
}

pub fn looking_changes_nothing(pyro: &Pyro) {
    // Small: all of it is read.
    let made = Made::new(pyro, &["--disk-mib", "128"]);
    made.sh("echo kept > file").ended(0);
    made.run("stop", &[]).ended(0);
    let look = || {
        disk(&made, "list", &["/", "--recursive"]).ended(0);
        disk(&made, "read", &["/workspace/file"]).ended(0);
    };
    // The first look may finish what the journal of the disk says.
    look();
    let generation = pyro.home().workspaces().join(&made.id).join("gen/0");
    let before = state(&generation);
    look();
    assert_eq!(state(&generation), before);
    assert!(std::fs::read_dir(generation.join("../../run")).unwrap().next().is_none());
}

/// Every file of a generation: its path, metadata and content.
fn state(generation: &std::path::Path) -> Vec<String> {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let entries = walkdir::WalkDir::new(generation).sort_by_file_name().into_iter().map(Result::unwrap);
    let describe = |entry: walkdir::DirEntry| {
        let meta = entry.metadata().unwrap();
        let content = if meta.is_file() {
            let output = std::process::Command::new("sha256sum").arg(entry.path()).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        } else {
            meta.file_type().is_char_device().to_string()
        };
        let mtime = (meta.mtime(), meta.mtime_nsec());
        // A disk may be opened for writing and not be written to.
        format!("{:?} {:o} {} {mtime:?} {content}", entry.path(), meta.mode(), meta.size())
    };
    entries.map(describe).collect()
}

pub fn a_machine_for_looking_runs_nothing(pyro: &Pyro) {
    use pyro_workspace::disk::Disk;
    use pyro_workspace::{Bytes, Cancel, Edits, Exec, Session, Until};
    let made = Made::new(pyro, &[]);
    made.run("stop", &[]).ended(0);
    let home = pyro.home();
    let directory = pyro_workspace::find(&home, &made.id).unwrap();
    let cancel = Cancel::new().unwrap();
    let until = Until { deadline: None, cancel: &cancel };
    let disk = Disk::open(&home, &directory, until).unwrap();
    let exec = Exec { argv: vec![Bytes::from("true")], ..Exec::default() };
    let session = Session::start(&directory.run_dir(), "agent.sock", exec).unwrap();
    let error = session.wait(until, |_, _| Ok(())).unwrap_err();
    assert!(error.to_string().contains("to look at"), "{error}");
    let edits = Edits { beneath: Bytes::from("/workspace"), user: String::new() };
    let error = disk.agent().edit(&edits, until).and_then(|editing| editing.commit()).unwrap_err();
    assert!(error.to_string().contains("to look at"), "{error}");
    // Nobody else works with it meanwhile.
    assert_eq!(made.status()["state"], "stopped");
    drop(disk);
    made.run("start", &[]).ended(0);
}

/// Only where a machine has a disk of its own.
#[allow(dead_code, reason = "namespaces have a directory")]
pub fn a_disk_is_exported_as_it_is(pyro: &Pyro) {
    use std::os::unix::fs::MetadataExt;
    // All of it is read.
    let made = Made::new(pyro, &["--disk-mib", "128"]);
    made.sh("echo kept > file").ended(0);
    made.run("stop", &[]).ended(0);
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("disk.ext4");
    let words = ["--output", output.to_str().unwrap()];
    let ran = disk(&made, "export", &words).ended(0);
    assert!(ran.stderr.contains("as the guest wrote it"), "{ran:?}");
    let (source, copy) = (pyro.home().workspaces().join(&made.id).join("gen/0/upper.img"), &output);
    let same = std::process::Command::new("cmp").args([&source, copy]).status().unwrap();
    assert!(same.success());
    // With its holes.
    assert!(output.metadata().unwrap().blocks() * 512 < 16 << 20);
    let ran = disk(&made, "export", &words).ended(1);
    assert!(ran.stderr.contains("exists already"), "{ran:?}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

/// Only where a machine has none.
#[allow(dead_code, reason = "microVMs have a disk")]
pub fn a_directory_is_no_disk(pyro: &Pyro) {
    let made = Made::new(pyro, &[]);
    made.run("stop", &[]).ended(0);
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("disk.ext4");
    let ran = disk(&made, "export", &["--output", output.to_str().unwrap(), "--format", "ext4"]).ended(1);
    assert!(ran.stderr.contains("--format tar"), "{ran:?}");
    assert!(!output.exists());
}

pub fn a_stopped_tree_is_exported(pyro: &Pyro) {
    let made = Made::new(pyro, &[]);
    made.sh("cd /workspace; echo kept > file; ln file other; ln -s file link; chmod 750 file; echo no > /run/pyro-x; rm /etc/group; rm -r /usr/share/doc; echo t > /tmp/t")
        .ended(0);
    made.run("stop", &[]).ended(0);
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for format in ["tar", "oci"] {
        let output = path(format);
        let words = ["--format", format, "--output", output.to_str().unwrap()];
        let exported = disk(&made, "export", &[&words[..], &["--json"]].concat()).ended(0).json();
        assert_eq!(exported["bytes"], output.metadata().unwrap().len());
        let ran = disk(&made, "export", &words).ended(1);
        assert!(ran.stderr.contains("exists already"), "{ran:?}");
    }
    let mut archive = tar::Archive::new(std::fs::File::open(path("tar")).unwrap());
    let mut found = std::collections::BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = String::new();
        if entry.size() < 100 {
            let _binary = std::io::Read::read_to_string(&mut entry, &mut content);
        }
        let name = entry.path().unwrap().to_string_lossy().trim_end_matches('/').to_owned();
        found.insert(name, (entry.header().entry_type(), entry.header().mode().unwrap(), content));
    }
    assert_eq!(found["workspace/file"], (tar::EntryType::Regular, 0o750, "kept\n".into()));
    assert_eq!(found["workspace/other"].0, tar::EntryType::Link);
    assert_eq!(found["workspace/link"].0, tar::EntryType::Symlink);
    assert!(found.contains_key("usr/bin/git"));
    for gone in ["etc/group", "usr/share/doc", "run/pyro-x", "tmp/t"] {
        assert!(!found.contains_key(gone), "{gone}");
    }
    assert!(found.keys().all(|name| !name.contains(".wh.")));
    // Another store takes it, and a machine of it is the same.
    let name = format!("pyro.local/{}:exported", made.id.replace('_', "-"));
    pyro.pyro(&["env", "import", path("oci").to_str().unwrap(), "-t", &name]).ended(0);
    let mut command = pyro.command(&["run"]);
    command.args(pyro.flags).args([&name, "--", "sh", "-c", "cat /workspace/link; ls /etc/group"]);
    let ran = Ran::of(&command.output().unwrap());
    assert_eq!(ran.stdout, "kept\n", "{ran:?}");
    pyro.pyro(&["env", "rm", &name]).ended(0);
    let listed = made.run("summary", &["--json"]).ended(0).json();
    let formats: Vec<&str> =
        listed["exports"].as_array().unwrap().iter().map(|it| it["format"].as_str().unwrap()).collect();
    assert_eq!(formats, ["tar", "oci"]);
}

pub fn a_summary_tells_what_was_observed(pyro: &Pyro) {
    let made = Made::new(pyro, &[]);
    let summary = || made.run("summary", &["--json"]).ended(0).json();
    let fresh = summary();
    assert_eq!((&fresh["outcome"], &fresh["commands"]["count"]), (&"nothing_run".into(), &0.into()));
    assert_eq!(fresh["changes"]["files"], 0, "{fresh}");
    made.sh("printf 'a\\nb\\n' > /workspace/text; exit 3").ended(3);
    made.run("snapshot", &[]).ended(2);
    pyro.pyro(&["workspace", "snapshot", "create", &made.id, "one"]).ended(0);
    let failed = summary();
    assert_eq!(failed["outcome"], "last_failed");
    assert_eq!(failed["commands"]["failed"], 1);
    assert_eq!(failed["commands"]["last"][0]["exit_code"], 3);
    assert_eq!(failed["changes"]["paths"][0]["path"], "text");
    assert_eq!(failed["changes"]["insertions"], 2);
    assert_eq!(failed["snapshots"][0]["name"], "one");
    made.sh("true").ended(0);
    assert_eq!(summary()["outcome"], "last_succeeded");
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("out");
    made.run("export", &["text", "--output", file.to_str().unwrap()]).ended(0);
    let exports = &summary()["exports"];
    assert_eq!((&exports[0]["format"], &exports[0]["bytes"]), (&"files".into(), &4.into()), "{exports}");
    assert!(exports[0]["source"].as_str().unwrap().ends_with("text"), "{exports}");
    let text = made.run("summary", &[]).ended(0).stdout;
    assert!(text.contains("A text") && text.contains("#1 exit 3"), "{text}");
    made.run("stop", &[]).ended(0);
    let stopped = summary();
    assert!(stopped["changes"].is_null());
    assert!(stopped["changes_unknown"].as_str().unwrap().contains("stopped"), "{stopped}");
    made.run("reset", &[]).ended(0);
    let reset = summary();
    assert_eq!((&reset["commands"]["count"], &reset["changes"]["files"]), (&0.into(), &0.into()));
    assert_eq!(reset["snapshots"][0]["name"], "one");
}
