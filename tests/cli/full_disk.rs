//! A disk that is full: what was begun is undone, the error says so and what to do, and when there is
//! room again the same command works.

use crate::images::layout::{Layout, Packing};
use crate::images::tarball::{Tarball, noise};
use crate::support::{Ran, command};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Bytes of what is written: more than is ever left.
const LENGTH: usize = 1 << 20;

/// A small file system, with a state directory in it.
struct Disk {
    directory: TempDir,
}

impl Disk {
    /// None where none can be mounted.
    #[expect(clippy::print_stderr, reason = "what cannot be tested here is said aloud")]
    fn mounted() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let options = ["-t", "tmpfs", "-o", "size=96m,mode=700", "small"];
        let mounted = Command::new("mount").args(options).arg(directory.path()).status();
        if !mounted.is_ok_and(|status| status.success()) {
            eprintln!("NOT TESTED: a full disk, since no small file system can be mounted here; root can");
            return None;
        }
        Some(Self { directory })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = command(&self.path("home"));
        command.args(words).env("TMPDIR", self.path("tmp"));
        command
    }

    fn pyro(&self, words: &[&str]) -> Ran {
        Ran::of(&self.command(words).output().unwrap())
    }

    /// Leaves room for `left` bytes.
    fn fill(&self, left: usize) {
        let mut filler = File::create(self.path("filler")).unwrap();
        let kept = File::create(self.path("kept")).unwrap();
        // Not sparse: this room is given back below.
        (&kept).write_all(&vec![1; left]).unwrap();
        let block = [1; 4096];
        while filler.write_all(&block).is_ok() {}
        fs::remove_file(self.path("kept")).unwrap();
    }

    fn free(&self) {
        fs::remove_file(self.path("filler")).unwrap();
    }

    /// What there is of workspaces, snapshots and images, and every file but logs and history.
    fn state(&self) -> (Value, Value, BTreeSet<PathBuf>) {
        let mut list = self.pyro(&["workspace", "list", "--json"]).ended(0).json();
        for workspace in list["workspaces"].as_array_mut().unwrap() {
            let kept = ["id", "name", "state", "environment", "reason"].map(|key| workspace[key].clone());
            *workspace = Value::from(kept.to_vec());
        }
        // Whatever was used last.
        list["workspaces"].as_array_mut().unwrap().sort_by_key(Value::to_string);
        let snapshots = self.pyro(&["workspace", "snapshot", "list", "w", "--json"]).ended(0).json();
        let passing = ["commands", "logs", "run", "locks", "commit.lock"];
        let files = walkdir::WalkDir::new(self.directory.path()).into_iter();
        let files = files.filter_entry(|entry| !passing.iter().any(|name| entry.file_name() == *name));
        let files = files.map(|entry| entry.unwrap().into_path());
        (list["workspaces"].take(), snapshots["snapshots"].clone(), files.collect())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.pyro(&["workspace", "delete", "w"]);
        let _ = Command::new("umount").arg("-l").arg(self.directory.path()).status();
    }
}

/// An image of one program.
fn image(extra: &[u8]) -> Layout {
    let busybox = fs::read("/bin/busybox").expect("busybox-static; run `make setup`, it installs it");
    let tar = Tarball::new()
        .directory("bin/")
        .entry("bin/sh", tar::EntryType::Regular, 0o755, &busybox, |_| {})
        .directory("etc/")
        .file("etc/extra", extra);
    Layout::of(&[tar.bytes()], Packing::Plain).0
}

/// Files to be brought in, different each time.
fn source(directory: &Path, number: usize) -> String {
    let path = directory.join(number.to_string());
    fs::create_dir(&path).unwrap();
    fs::write(path.join("seeded"), noise(LENGTH + number)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_full_disk_leaves_the_old_state_and_says_so() {
    let Some(disk) = Disk::mounted() else { return };
    ["home", "tmp", "to"].iter().for_each(|name| fs::create_dir(disk.path(name)).unwrap());
    let (layout, other) = (image(b""), image(&noise(LENGTH)));
    let reference = "pyro.local/test/small:1";
    disk.pyro(&["env", "import", layout.path().to_str().unwrap(), "-t", reference]).ended(0);
    let create = ["workspace", "create", "--allow-host-compat", reference];
    disk.pyro(&[&create[..], &["--name", "w"]].concat()).ended(0);
    let outside = tempfile::tempdir().unwrap();
    // The cache of seeds is there.
    disk.pyro(&[&create[..], &["--name", "first", "--seed-path", &source(outside.path(), 0)]].concat())
        .ended(0);
    disk.pyro(&["workspace", "delete", "first"]).ended(0);
    let mut number = 0;
    for left in [0, 40 << 10] {
        // A patch of this does not stay in memory.
        let script =
            "rm -f /workspace/*; head -c 9000000 /dev/urandom > /workspace/big; echo 1 > /workspace/small";
        disk.pyro(&["workspace", "exec", "w", "--", "/bin/sh", "-c", script]).ended(0);
        number += 1;
        let [made, forked, snapshot, image] =
            ["made-{}", "forked-{}", "s-{}", "c-{}:1"].map(|name| name.replace("{}", &number.to_string()));
        let [files, tar, patch, to] = ["f", "t", "p", "to"].map(|name| disk.text(name));
        let seed = source(outside.path(), number);
        let push = source(outside.path(), number + 100);
        let imported = other.path().to_owned();
        let imported = imported.to_str().unwrap();
        let steps: &[&[&str]] = &[
            &[&create[..], &["--name", &made, "--seed-path", &seed]].concat(),
            &["workspace", "snapshot", "create", "w", &snapshot],
            &["workspace", "commit", "w", "-t", &image],
            &["workspace", "export", "w", ".", "--output", &files],
            &["workspace", "export", "w", ".", "--output", &tar, "--format", "tar"],
            &["workspace", "export", "w", ".", "--output", &patch, "--format", "patch"],
            &["workspace", "apply", "w", "--to", &to],
            &["workspace", "diff", "w"],
            &["workspace", "sync", "push", "w", &push],
            &["workspace", "fork", "w", "--name", &forked],
            &["env", "import", imported, "-t", "pyro.local/test/other:1"],
        ];
        for words in steps {
            // Something that no layer has yet.
            let script = "head -c 1000000 /dev/urandom > /workspace/more";
            disk.pyro(&["workspace", "exec", "w", "--", "/bin/sh", "-c", script]).ended(0);
            let before = disk.state();
            disk.fill(left);
            let ran = disk.pyro(words).ended(1);
            // In either of the two words: the kernel's, and ours.
            let said = ran.stderr.contains("No space left on device") || ran.stderr.contains("disk is full");
            assert!(said && ran.stderr.contains("hint: the disk"), "{left}: {words:?}: {ran:?}");
            disk.free();
            let after = disk.state();
            assert_eq!((&after.0, &after.1), (&before.0, &before.1), "{left}: {words:?}: {ran:?}");
            let new: Vec<_> = after.2.difference(&before.2).collect();
            assert!(new.is_empty(), "{left}: {words:?} left {new:?}: {ran:?}");
            disk.pyro(words).ended(0);
            for place in [&files, &tar, &patch] {
                let _ = fs::remove_dir_all(place).or_else(|_| fs::remove_file(place));
            }
            if words[1] == "apply" {
                fs::remove_dir_all(&to).and_then(|()| fs::create_dir(&to)).unwrap();
            }
        }
        output_goes_on(&disk, left);
        disk.fill(left);
        // What ends a machine or starts it again needs none.
        for verb in ["stop", "start", "reset", "stop", "start"] {
            let ran = disk.pyro(&["workspace", verb, "w"]).ended(0);
            assert_eq!(ran.stderr.lines().count(), 1, "{left}: {verb}: {ran:?}");
        }
        // Nor does what frees room.
        disk.pyro(&["workspace", "delete", &made]).ended(0);
        disk.pyro(&["workspace", "delete", &forked]).ended(0);
        disk.free();
        disk.pyro(&["workspace", "reset", "w"]).ended(0);
        disk.pyro(&["workspace", "snapshot", "delete", "w", &snapshot]).ended(0);
        for image in [&*image, "pyro.local/test/other:1"] {
            disk.pyro(&["env", "rm", image]).ended(0);
        }
        // Or the same layer would be there the next time.
        disk.pyro(&["env", "prune"]).ended(0);
    }
}

/// A command whose output cannot be kept runs and is heard; one that cannot be noted does not run.
fn output_goes_on(disk: &Disk, left: usize) {
    disk.fill(left);
    let script = "head -c 1000000 /dev/zero";
    let ran = disk.pyro(&["workspace", "exec", "w", "--", "/bin/sh", "-c", script]);
    disk.free();
    if left == 0 {
        assert!(ran.stderr.contains("hint: the disk"), "{ran:?}");
        assert_eq!(ran.code, 125);
    } else {
        assert_eq!((ran.code, ran.stdout.len()), (0, 1_000_000));
    }
    let ran = disk.pyro(&["workspace", "exec", "w", "--", "/bin/sh", "-c", "echo again"]).ended(0);
    assert_eq!(ran.stdout, "again\n");
}
