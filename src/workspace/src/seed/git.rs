//! Running git on a checkout that may not be friendly: it reads, and starts nothing.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

/// Variables that would lead git elsewhere, or make it write; whoever started us may have them set.
const CLEARED: &[&str] = &[
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_ASKPASS",
    "GIT_ATTR_SOURCE",
    "GIT_CEILING_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DEFAULT_HASH",
    "GIT_DEFAULT_REF_FORMAT",
    "GIT_DIR",
    "GIT_DISCOVERY_ACROSS_FILESYSTEM",
    "GIT_EXTERNAL_DIFF",
    "GIT_GLOB_PATHSPECS",
    "GIT_GRAFT_FILE",
    "GIT_ICASE_PATHSPECS",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INDEX_VERSION",
    "GIT_LITERAL_PATHSPECS",
    "GIT_NAMESPACE",
    "GIT_NOGLOB_PATHSPECS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_QUARANTINE_PATH",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_TEMPLATE_DIR",
    "GIT_TRACE",
    "GIT_TRACE2",
    "GIT_TRACE2_EVENT",
    "GIT_TRACE2_PERF",
    "GIT_TRACE_SETUP",
    "GIT_WORK_TREE",
];

/// What makes git do no more than it is asked to.
const SET: &[(&str, &str)] = &[
    // Nothing over the network, also not for objects that a partial clone lacks.
    ("GIT_ALLOW_PROTOCOL", ""),
    ("GIT_NO_LAZY_FETCH", "1"),
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    ("GIT_OPTIONAL_LOCKS", "0"),
    ("GIT_PAGER", "cat"),
    ("GIT_TERMINAL_PROMPT", "0"),
    // Its messages are looked at.
    ("LC_ALL", "C"),
];

/// Settings that keep programs named in a configuration from being started, the index plain, and git from
/// waiting for the disk: what it writes is ours, and is copied.
const SETTINGS: &[(&str, &str)] = &[
    ("core.fsync", "none"),
    ("core.fsmonitor", "false"),
    ("core.hooksPath", "/dev/null"),
    ("core.untrackedCache", "false"),
    ("core.splitIndex", "false"),
    ("index.sparse", "false"),
    ("pack.writeReverseIndex", "false"),
    ("protocol.allow", "never"),
];

/// git does not work on a checkout.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is a checkout, but no git.
    #[error("{} is a git checkout, but git cannot be started: {source}", path.display())]
    Start {
        /// The checkout.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// git does not trust the checkout.
    #[error("git refuses the checkout {}, because it belongs to another user", .0.display())]
    Owner(PathBuf),
    /// It says something else.
    #[error("git {command} fails in {}: {words}", path.display())]
    Failed {
        /// The checkout.
        path: PathBuf,
        /// What it was asked.
        command: String,
        /// Its answer.
        words: String,
    },
}

/// Keeps variables from a command that would lead git elsewhere.
pub(crate) fn forget_variables(command: &mut Command) {
    for name in CLEARED {
        command.env_remove(name);
    }
}

/// git, in a directory.
#[derive(Clone, Debug)]
pub(super) struct Git {
    directory: PathBuf,
    settings: Vec<(OsString, OsString)>,
    variables: Vec<(&'static str, OsString)>,
}

impl Git {
    pub fn in_directory(directory: &Path) -> Self {
        let settings = SETTINGS.iter().map(|(key, value)| (key.into(), value.into()));
        Self { directory: directory.to_owned(), settings: settings.collect(), variables: Vec::new() }
    }

    /// The same with one more setting.
    pub fn setting(mut self, key: &[u8], value: &str) -> Self {
        self.settings.push((OsStr::from_bytes(key).into(), value.into()));
        self
    }

    /// The same with another index.
    pub fn index(mut self, path: &Path) -> Self {
        self.variables.push(("GIT_INDEX_FILE", path.into()));
        self
    }

    /// The same, writing objects to another directory: it has them in its own one first, whatever they become.
    pub fn objects(mut self, own: &Path, elsewhere: &Path) -> Self {
        // As git quotes: colons separate several of them.
        let mut quoted = vec![b'"'];
        for byte in own.as_os_str().as_bytes() {
            if matches!(byte, b'"' | b'\\') {
                quoted.push(b'\\');
            }
            quoted.push(*byte);
        }
        quoted.push(b'"');
        self.variables.push(("GIT_OBJECT_DIRECTORY", elsewhere.into()));
        self.variables.push(("GIT_ALTERNATE_OBJECT_DIRECTORIES", OsString::from_vec(quoted)));
        self
    }

    fn command(&self, arguments: &[&OsStr]) -> Command {
        let mut command = Command::new("git");
        command.current_dir(&self.directory).args(arguments);
        forget_variables(&mut command);
        command.envs(SET.iter().copied());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.env("GIT_CONFIG_COUNT", self.settings.len().to_string());
        for (number, (key, value)) in self.settings.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{number}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{number}"), value);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it to its end, whatever that is.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<Output, GitError> {
        let arguments: Vec<&OsStr> = arguments.iter().map(AsRef::as_ref).collect();
        self.command(&arguments).output().map_err(|source| self.start_error(source))
    }

    /// Runs it, and gives what it prints.
    pub fn read<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<Vec<u8>, GitError> {
        let output = self.run(arguments)?;
        if output.status.success() { Ok(output.stdout) } else { Err(self.refusal(arguments, &output)) }
    }

    /// The same for one that wants `input`.
    pub fn feed<S: AsRef<OsStr>>(&self, arguments: &[S], input: &[u8]) -> Result<Vec<u8>, GitError> {
        let words: Vec<&OsStr> = arguments.iter().map(AsRef::as_ref).collect();
        let mut command = self.command(&words);
        let mut child = command.stdin(Stdio::piped()).spawn().map_err(|source| self.start_error(source))?;
        let mut stdin = child.stdin.take().expect("it is a pipe");
        let output = thread::scope(|scope| {
            // If it hangs up, its own words say why.
            scope.spawn(move || stdin.write_all(input));
            child.wait_with_output()
        });
        let output = output.map_err(|source| self.start_error(source))?;
        if output.status.success() { Ok(output.stdout) } else { Err(self.refusal(arguments, &output)) }
    }

    fn start_error(&self, source: io::Error) -> GitError {
        GitError::Start { path: self.directory.clone(), source }
    }

    /// What a failure means.
    pub fn refusal<S: AsRef<OsStr>>(&self, arguments: &[S], output: &Output) -> GitError {
        let words = String::from_utf8_lossy(&output.stderr);
        if words.contains("dubious ownership") || words.contains("unsafe repository") {
            return GitError::Owner(self.directory.clone());
        }
        let words = words.lines().next().unwrap_or("it says nothing").to_owned();
        let words = words.trim_start_matches("fatal: ").to_owned();
        let command = arguments.first().map(|word| word.as_ref().to_string_lossy().into_owned());
        GitError::Failed { path: self.directory.clone(), command: command.unwrap_or_default(), words }
    }
}
