//! What the end-to-end tests share: the program under test, a state directory, an image.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

pub mod agent;
pub mod cases;
pub mod crashes;
pub mod delta;
pub mod disks;
pub mod endurance;
pub mod files;
#[allow(dead_code, reason = "on guests, where each file costs more, a part of it is run")]
pub mod hostile;
pub mod machine;
pub mod prepare;
pub mod process;
pub mod repair;
pub mod smoke;
pub mod snapshots;
pub mod workspaces;

/// The environment that the tests run in: Debian's packages, as `images/build.sh` makes it.
pub const ENVIRONMENT: &str = "pyro.local/test/debian:12";

/// The program, with a state directory in which [`ENVIRONMENT`] is installed.
pub struct Pyro {
    home: PathBuf,
    flags: &'static [&'static str],
    /// What results must say of how they ran.
    pub execution_mode: &'static str,
}

/// A finished program, as text.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The one JSON object on stdout.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The same, after a check of the exit status.
    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }
}

impl std::fmt::Debug for Ran {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "status {}\n--- stdout\n{}--- stderr\n{}---", self.code, self.stdout, self.stderr)
    }
}

impl Pyro {
    /// Machines that `flags` ask for; results must say `execution_mode`.
    pub fn new(flags: &'static [&'static str], execution_mode: &'static str) -> Self {
        let pyro = Self { home: shared_home(), flags, execution_mode };
        pyro.install();
        pyro
    }

    /// The state directory, as the library sees it.
    pub fn home(&self) -> pyro_workspace::Home {
        pyro_workspace::Home::open(&self.home).expect("the home can be opened")
    }

    /// `pyro WORDS…`.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = command(&self.home);
        command.args(words);
        command
    }

    /// Runs `pyro WORDS…`.
    pub fn pyro(&self, words: &[&str]) -> Ran {
        Ran::of(&self.command(words).output().expect("pyro starts"))
    }

    /// `pyro run FLAGS… ENVIRONMENT -- WORDS…`.
    pub fn run_command(&self, flags: &[&str], words: &[&str]) -> Command {
        let mut command = self.command(&["run"]);
        command.args(self.flags).args(flags).args([ENVIRONMENT, "--"]).args(words);
        command
    }

    /// `pyro workspace create FLAGS… ENVIRONMENT`.
    pub fn create_command(&self, flags: &[&str]) -> Command {
        let mut command = self.command(&["workspace", "create"]);
        command.args(self.flags).args(flags).arg(ENVIRONMENT);
        command
    }

    /// Creates a workspace.
    pub fn create(&self, flags: &[&str]) -> Ran {
        Ran::of(&self.create_command(flags).output().expect("pyro starts"))
    }

    /// `pyro prepare --json FLAGS… ENVIRONMENT`.
    pub fn prepare(&self, flags: &[&str]) -> Ran {
        self.pyro(&[&["prepare", "--json"], self.flags, flags, &[ENVIRONMENT]].concat())
    }

    /// The same images under another state directory, where there is nothing else.
    pub fn apart(&self) -> (tempfile::TempDir, Self) {
        let directory = tempfile::tempdir().expect("a directory for state");
        for part in ["store", "cache", "VERSION"] {
            std::os::unix::fs::symlink(self.home.join(part), directory.path().join(part)).expect("a link");
        }
        let pyro = Self { home: directory.path().into(), ..*self };
        (directory, pyro)
    }

    /// Runs a command in a machine.
    pub fn run(&self, flags: &[&str], words: &[&str]) -> Ran {
        Ran::of(&self.run_command(flags, words).output().expect("pyro starts"))
    }

    /// Runs a shell script in a machine.
    pub fn sh(&self, script: &str) -> Ran {
        self.run(&[], &["sh", "-c", script])
    }

    /// Runs a command in a machine with something on its standard input.
    pub fn run_with_input(&self, flags: &[&str], words: &[&str], input: &[u8]) -> Ran {
        let mut child = self
            .run_command(flags, words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("pyro starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        let input = input.to_vec();
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().expect("pyro ends");
        writer.join().expect("the writer does not panic");
        Ran::of(&output)
    }

    fn install(&self) {
        let lock = fs::File::create(self.home.join("test.lock")).expect("the home is writable");
        lock.lock().expect("a lock");
        if self.pyro(&["env", "inspect", ENVIRONMENT]).code != 0 {
            let image =
                std::env::var("PYRO_TEST_IMAGE").expect("PYRO_TEST_IMAGE names an image; run `make test`");
            self.pyro(&["env", "import", &image, "-t", ENVIRONMENT]).ended(0);
        }
    }
}

/// `pyro` with a state directory and nothing of the caller's configuration.
pub fn command(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pyro"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PYRO_") && name != "PYRO_LIBKRUNFW" {
            command.env_remove(name);
        }
    }
    // Set where these tests are run by a chat host.
    command.env_remove("CLAUDE_PROJECT_DIR");
    command.env("PYRO_HOME", home).env("XDG_CONFIG_HOME", home.join("config"));
    command.current_dir(home).stdin(Stdio::null());
    command
}

/// One state directory for all tests of a run that one user runs: commands are meant to share it.
fn shared_home() -> PathBuf {
    // In the lab the target directory is read-only.
    let own = || std::env::temp_dir().join(format!("pyro-test-{}", rustix::process::geteuid()));
    let home = std::env::var_os("PYRO_TEST_HOME").map_or_else(own, PathBuf::from);
    fs::create_dir_all(&home).expect("a directory for state");
    home
}
