//! Bad input, as a user meets it: words and an exit status, the same as an object under `--json`, and a
//! state directory in which nothing has changed. What the libraries refuse, and why, is tested there.

mod archives;
mod arguments;
mod documents;
mod recipes;
mod settings;
mod state;

use crate::images::layout::{Layout, Packing};
use crate::images::tarball::Tarball;
use crate::support::{Ran, command, process::sha256};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use walkdir::WalkDir;

/// An image that is installed in every state directory here.
const GOOD: &str = "pyro.local/good:1";

/// A command with bad input, and what must come of it.
struct Row<'a> {
    what: &'a str,
    words: &'a [&'a str],
    status: i32,
    /// Word for programs.
    code: &'a str,
    /// Parts of the message: what failed, and why.
    message: &'a [&'a str],
    /// Part of the next step.
    hint: &'a str,
}

/// A state directory with an image, and a current directory for bad files.
struct Bench {
    directory: TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { directory: tempfile::tempdir().unwrap() };
        for part in ["home", "files", "config/pyro"] {
            fs::create_dir_all(bench.directory.path().join(part)).unwrap();
        }
        let layers = [Tarball::new().directory("etc/").file("etc/motd", b"good\n").bytes()];
        let (layout, _) = Layout::of(&layers, Packing::Plain);
        let installed = bench.pyro(&["env", "import", layout.path().to_str().unwrap(), "-t", GOOD]);
        installed.ended(0);
        bench
    }

    fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    /// A file in the current directory of the commands.
    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join("files").join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.file(name), bytes).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = command(&self.home());
        command.current_dir(self.directory.path().join("files"));
        command.env("XDG_CONFIG_HOME", self.directory.path().join("config")).args(words);
        command
    }

    fn pyro(&self, words: &[&str]) -> Ran {
        Ran::of(&self.command(words).output().unwrap())
    }

    /// Refused, and nothing is changed.
    #[track_caller]
    fn refuses(&self, row: &Row<'_>) {
        self.check(row, Self::listing);
    }

    /// Refused; what came whole may stay until the next prune, and nothing else.
    #[track_caller]
    fn refuses_in_part(&self, row: &Row<'_>) {
        self.check(row, |bench| {
            bench.pyro(&["env", "prune"]).ended(0);
            bench.listing()
        });
    }

    #[track_caller]
    fn check(&self, row: &Row<'_>, listing: impl Fn(&Self) -> Vec<String>) {
        let Row { what, words, status, code, message, hint } = *row;
        let before = self.listing();
        let people = self.pyro(words);
        assert_eq!(listing(self), before, "{what}: {people:?}");
        let programs = self.pyro(&[&["--json"], words].concat());
        assert_eq!(listing(self), before, "{what}: {programs:?}");
        for ran in [&people, &programs] {
            assert_eq!(ran.code, status, "{what}: {ran:?}");
            let all = format!("{}{}", ran.stdout, ran.stderr);
            for bad in ["panicked", "RUST_BACKTRACE", "stack backtrace"] {
                assert!(!all.contains(bad), "{what}: {ran:?}");
            }
            // A hostile name must not steer the terminal.
            assert!(!all.contains(|it: char| it.is_control() && it != '\n'), "{what}: {ran:?}");
        }
        assert_eq!(people.stdout, "", "{what}: {people:?}");
        assert_eq!(programs.stderr, "", "{what}: {programs:?}");
        let json = programs.json();
        let object = json.as_object().unwrap();
        assert_eq!(object.keys().collect::<Vec<_>>(), ["error"], "{what}");
        let field =
            |name: &str| json["error"][name].as_str().unwrap_or_else(|| panic!("{what}: no {name}: {json}"));
        assert_eq!(field("code"), code, "{what}: {json}");
        for part in message {
            assert!(field("message").contains(part), "{what}: expected {part:?}: {json}");
            assert!(people.stderr.contains(part), "{what}: expected {part:?}: {people:?}");
        }
        assert!(people.stderr.contains("error: "), "{what}: {people:?}");
        assert!(field("hint").contains(hint), "{what}: expected {hint:?}: {json}");
        // Usage errors are clap's to people, with a next step of its own words.
        let next = if code == "usage" && status == 2 { "--help" } else { hint };
        assert!(people.stderr.contains(next) || people.stderr.contains(hint), "{what}: {people:?}");
    }

    /// Everything in the state directory: names, kinds, modes, contents; but no locks.
    fn listing(&self) -> Vec<String> {
        listing(&self.home())
    }
}

fn listing(root: &Path) -> Vec<String> {
    let entries = WalkDir::new(root).sort_by_file_name().into_iter().map(Result::unwrap);
    let entries = entries.filter(|entry| !entry.file_name().to_string_lossy().ends_with("lock"));
    let line = |entry: walkdir::DirEntry| {
        let data = entry.metadata().unwrap();
        let content = if data.is_file() { sha256(&fs::read(entry.path()).unwrap()) } else { String::new() };
        format!("{} {:o} {content}", entry.path().display(), data.permissions().mode())
    };
    entries.map(line).collect()
}
