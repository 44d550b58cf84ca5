//! What the tests share: sources, and seeds of them that are unpacked again.

use pyro_workspace::{Cancel, Home, Owner, Seed, SeedError, Seeded, Until};
use rustix::process::{getegid, geteuid};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// Nobody gives up.
pub fn never(cancel: &Cancel) -> Until<'_> {
    Until { deadline: None, cancel }
}

/// Runs a program that must succeed.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} ({error}): run `make setup`"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// git as a user runs it, with nothing configured.
pub fn git_in(directory: &Path, arguments: &[&str]) -> Vec<u8> {
    let mut command = Command::new("git");
    command.arg("-C").arg(directory).args(arguments);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    command.env("GIT_ALLOW_PROTOCOL", "file");
    run(&mut command).stdout
}

pub fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A checkout with one commit in which `a`, `dir/b` and an executable `run` are tracked.
pub struct Checkout {
    directory: TempDir,
}

impl Checkout {
    /// One without commits.
    pub fn empty(options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        git_in(directory.path(), &[&["init", "-q", "-b", "main"], options].concat());
        let checkout = Self { directory };
        checkout.git(&["config", "user.name", "Somebody"]);
        checkout.git(&["config", "user.email", "somebody@example.org"]);
        checkout
    }

    pub fn new() -> Self {
        Self::with(&[])
    }

    pub fn with(options: &[&str]) -> Self {
        let checkout = Self::empty(options);
        checkout.write("a", "first\n").write("dir/b", "second\n").write("run", "#!/bin/sh\n");
        fs::set_permissions(checkout.path().join("run"), Permissions::from_mode(0o755)).unwrap();
        checkout.commit("one");
        checkout
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        text(git_in(self.path(), arguments))
    }

    pub fn write(&self, path: &str, text: &str) -> &Self {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub fn commit(&self, message: &str) -> &Self {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self
    }
}

/// A state directory, and what was seeded and unpacked with it.
pub struct Bench {
    directory: TempDir,
    pub home: Home,
}

impl Bench {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::open(&directory.path().join("home")).unwrap();
        Self { directory, home }
    }

    pub fn try_seed(&self, path: &Path) -> Result<Seeded, SeedError> {
        let owner = Owner { uid: geteuid().as_raw(), gid: getegid().as_raw() };
        Seed::of(path)?.layer(&self.home, owner, never(&Cancel::new().unwrap()))
    }

    pub fn seed(&self, path: &Path) -> Seeded {
        self.try_seed(path).unwrap()
    }

    /// The error of a seed, in words.
    pub fn refusal(&self, path: &Path) -> String {
        self.try_seed(path).map(|seeded| seeded.facts).unwrap_err().to_string()
    }

    /// Unpacks the layer with GNU tar.
    pub fn unpack(&self, seeded: &Seeded) -> PathBuf {
        let to = self
            .directory
            .path()
            .join(format!("unpacked-{}", seeded.layer.diff_id.to_string().split_at(20).0));
        fs::create_dir_all(&to).unwrap();
        let blob = self.home.store().blob(&seeded.layer.diff_id);
        run(Command::new("tar").arg("-xpf").arg(blob).arg("-C").arg(&to));
        to.join("workspace")
    }

    /// Seeds and unpacks.
    pub fn tree(&self, path: &Path) -> PathBuf {
        self.unpack(&self.seed(path))
    }
}

/// All files below, without what is below a `.git`: path, mode, and content or target.
pub fn listing(directory: &Path) -> Vec<String> {
    fn add(lines: &mut Vec<String>, directory: &Path, below: &str) {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let name = format!("{below}{}", entry.file_name().to_string_lossy());
            let found = entry.path().symlink_metadata().unwrap();
            let mode = found.mode() & 0o7777;
            if found.is_dir() {
                lines.push(format!("{name}/ {mode:o}"));
                if entry.file_name() != ".git" {
                    add(lines, &entry.path(), &format!("{name}/"));
                }
            } else if found.is_symlink() {
                lines.push(format!("{name} -> {}", fs::read_link(entry.path()).unwrap().display()));
            } else {
                let content = fs::read(entry.path()).unwrap();
                lines.push(format!("{name} {mode:o} {}", String::from_utf8_lossy(&content).trim_end()));
            }
        }
    }
    let mut lines = Vec::new();
    add(&mut lines, directory, "");
    lines.sort();
    lines
}

/// What git says of a checkout, in every way that a user would ask.
pub fn state(directory: &Path) -> Vec<String> {
    let ask = |words: &[&str]| text(git_in(directory, words));
    vec![
        ask(&["status", "--porcelain", "--untracked-files=all"]),
        ask(&["diff"]),
        ask(&["diff", "--cached"]),
        ask(&["ls-files", "-s", "-t"]),
        ask(&["rev-parse", "--abbrev-ref", "HEAD"]),
        ask(&["log", "-1", "--format=%H %an %s"]),
    ]
}

/// Seeds a checkout, and checks that git says the same of the result; gives where it is.
pub fn same_state(bench: &Bench, directory: &Path) -> PathBuf {
    let tree = bench.tree(directory);
    assert_eq!(state(&tree), state(directory));
    git_in(&tree, &["fsck", "--no-dangling"]);
    tree
}
