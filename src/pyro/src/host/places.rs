//! Where hosts keep things, as this process's environment says.

use super::Host;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The directories and variables that hosts go by.
#[derive(Clone, Debug)]
pub struct Places {
    /// The user's home.
    pub home: PathBuf,
    /// The current directory.
    pub here: PathBuf,
    /// Where programs are looked for.
    pub path: OsString,
    /// `CLAUDE_CONFIG_DIR`.
    pub claude: Option<PathBuf>,
    /// `CODEX_HOME`, or the default.
    pub codex: PathBuf,
    /// OpenCode's directory below `XDG_CONFIG_HOME`, or the default.
    pub opencode: PathBuf,
    /// `OPENCODE_CONFIG`: one more file.
    pub opencode_file: Option<PathBuf>,
}

impl Places {
    /// Those of this process; none without a home or a current directory.
    pub fn of_process() -> Option<Self> {
        let home = env::home_dir().filter(|home| home.is_absolute())?;
        let here = env::current_dir().ok()?;
        let path = env::var_os("PATH").unwrap_or_default();
        let set =
            |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(|value| here.join(value));
        let config = set("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
        Some(Self {
            claude: set("CLAUDE_CONFIG_DIR"),
            codex: set("CODEX_HOME").unwrap_or_else(|| home.join(".codex")),
            opencode: config.join("opencode"),
            opencode_file: set("OPENCODE_CONFIG"),
            home,
            path,
            here,
        })
    }

    /// The host's program, if it is installed.
    pub fn program(&self, host: Host) -> Option<PathBuf> {
        env::split_paths(&self.path).map(|directory| directory.join(host.program())).find(|path| runs(path))
    }

    /// The checkout that the current directory is in, else that directory itself.
    pub fn project(&self) -> &Path {
        self.here.ancestors().find(|directory| directory.join(".git").exists()).unwrap_or(&self.here)
    }

    /// From the current directory up to the checkout's root.
    pub fn upwards(&self) -> impl Iterator<Item = &Path> {
        let project = self.project();
        self.here.ancestors().take_while(move |directory| directory.starts_with(project))
    }
}

#[cfg(test)]
impl Places {
    /// A home, and a directory inside of a project, below `root`.
    pub fn under(root: &Path) -> Self {
        Self {
            home: root.join("home"),
            here: root.join("project/inner"),
            path: OsString::new(),
            claude: None,
            codex: root.join("home/.codex"),
            opencode: root.join("home/.config/opencode"),
            opencode_file: None,
        }
    }
}

/// Whether there is a program that we may run.
pub fn runs(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}
