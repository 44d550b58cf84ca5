//! What every command starts from: the state directory, the configuration, signals.

use super::output::Output;
use super::signals::{Armed, Signals};
use crate::config::{Config, project_file};
use crate::error::UserError;
use crate::exit::Exit;
use crate::explain::{open_home, project_error};
use crate::project::{self, Surroundings};
use crate::recipe::{PROJECT_DIRECTORY, Places};
use pyro_workspace::{Cancel, Home, Until};
use std::env;
use std::path::{Path, PathBuf};

/// The surroundings of one command.
pub struct Context {
    /// Where results go.
    pub out: Output,
    /// Defaults from files.
    pub config: Config,
    /// What signals do.
    pub signals: Signals,
    home: PathBuf,
}

impl Context {
    /// Reads the configuration; `home` is what `--home` or `PYRO_HOME` said.
    ///
    /// # Errors
    /// A broken configuration file, or no place for state.
    pub fn new(out: Output, home: Option<PathBuf>) -> Result<Self, UserError> {
        let user = directory("XDG_CONFIG_HOME", ".config").map(|base| base.join("pyro/config.toml"));
        let project = env::current_dir().ok().and_then(|here| project_file(&here));
        let config = Config::load(user.as_deref(), project.as_deref())
            .map_err(|error| UserError::new("config", error).hint("mend or remove that file"))?;
        let home = home
            .or_else(|| config.home.clone())
            .or_else(|| directory("XDG_DATA_HOME", ".local/share").map(|base| base.join("pyro")))
            .ok_or_else(|| {
                UserError::new("home", "no place for state: neither HOME nor XDG_DATA_HOME is set")
                    .hint("set PYRO_HOME or type --home DIR")
            })?;
        let signals = Signals::install()
            .map_err(|error| UserError::new("signals", format_args!("cannot handle signals: {error}")))?;
        Ok(Self { out, config, signals, home })
    }

    /// Opens the state directory, making it if it is not there.
    ///
    /// # Errors
    /// When it cannot be made or used.
    pub fn home(&self) -> Result<Home, UserError> {
        open_home(&self.home)
    }

    /// While the first value lives, a terminating signal cancels instead of ending the process.
    ///
    /// # Errors
    /// When descriptors have run out.
    pub fn until_signal(&self, cancel: &Cancel) -> Result<Armed, UserError> {
        Ok(self.signals.arm(cancel)?)
    }

    /// Does something that a terminating signal ends.
    ///
    /// # Errors
    /// What `work` says, unless that is the consequence of a signal.
    pub fn interruptible<T>(
        &self,
        work: impl FnOnce(Until<'_>) -> Result<T, UserError>,
    ) -> Result<T, UserError> {
        let cancel = Cancel::new()?;
        let armed = self.until_signal(&cancel)?;
        let done = work(Until { deadline: None, cancel: &cancel });
        drop(armed);
        done.map_err(|error| self.interrupted(error))
    }

    /// The same error, unless it is the consequence of a signal.
    pub fn interrupted(&self, error: UserError) -> UserError {
        match self.signals.caught() {
            Some(signal) => UserError::new("interrupted", "interrupted").exit(Exit::Interrupted(signal)),
            None => error,
        }
    }

    /// Where recipes of modes are: the user's, and those of the project that `project_path` names, or that
    /// the current directory is in.
    ///
    /// # Errors
    /// When what is named is not there.
    pub fn recipes(&self, project_path: Option<&Path>) -> Result<Places, UserError> {
        let project = project::directory(project_path, &Surroundings::look())
            .map_err(|error| project_error(&error))?
            .map(|top| top.join(PROJECT_DIRECTORY));
        Ok(Places { project, ..self.own_recipes() })
    }

    /// Where recipes of modes are, without those of a project.
    pub fn own_recipes(&self) -> Places {
        let user = directory("XDG_CONFIG_HOME", ".config").map(|base| base.join("pyro/recipes"));
        Places { user, project: None }
    }

    /// Path of the state directory, which may not be there yet.
    pub fn home_path(&self) -> &Path {
        &self.home
    }
}

/// An XDG base directory: the variable if it holds an absolute path, else `rest` in the home.
fn directory(variable: &str, rest: &str) -> Option<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    let set = env::var_os(variable).map(PathBuf::from).filter(absolute);
    set.or_else(|| env::home_dir().filter(absolute).map(|home| home.join(rest)))
}
