//! Defaults from files: the user's `config.toml` and the project's `.pyro.toml`.
//!
//! A project file comes with a repository, which may be anybody's: it can set an environment and
//! sizes, nothing that says where state is, whom to trust, or what may be left unconfined.

use pyro_oci::RegistryConfig;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Name of the project's file.
pub const PROJECT_FILE: &str = ".pyro.toml";

/// Most virtual processors of a machine: what libkrun's interrupts and ours have room for.
pub const VCPUS_MAX: u64 = 16;
/// Least memory of a machine, MiB: the kernel and the agent take half of it.
pub const MEM_MIB_MIN: u64 = 128;
/// Most memory of a machine, MiB: a terabyte, more than which is a slip of the keyboard.
pub const MEM_MIB_MAX: u64 = 1 << 20;
/// Longest timeout and time to live: a week.
pub const SECONDS_MAX: u64 = 604_800;

/// Defaults for flags that were not typed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Defaults {
    /// Environment, where a command can do without one.
    pub environment: Option<String>,
    /// Virtual processors of a machine.
    #[serde(deserialize_with = "within::<_, _, 1, VCPUS_MAX>")]
    pub vcpu_count: Option<u8>,
    /// Memory of a machine, MiB.
    #[serde(deserialize_with = "within::<_, _, MEM_MIB_MIN, MEM_MIB_MAX>")]
    pub mem_mib: Option<u32>,
    /// Seconds for a command.
    #[serde(deserialize_with = "within::<_, _, 1, SECONDS_MAX>")]
    pub timeout_seconds: Option<u64>,
    /// Seconds without activity after which a workspace goes.
    #[serde(deserialize_with = "within::<_, _, 1, SECONDS_MAX>")]
    pub ttl_seconds: Option<u64>,
}

/// The user's file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct UserFile {
    home: Option<PathBuf>,
    defaults: Defaults,
    registry: RegistryConfig,
}

/// The project's file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ProjectFile {
    defaults: Defaults,
}

/// What both files say, the project's defaults before the user's.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// State directory.
    pub home: Option<PathBuf>,
    /// Defaults for flags.
    pub defaults: Defaults,
    /// Mirrors, plain-HTTP registries and limits.
    pub registry: RegistryConfig,
}

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what such a file may hold; the source names line and field.
    #[error("{}: {source}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
}

impl Config {
    /// Reads both files; one that is not there says nothing.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(user: Option<&Path>, project: Option<&Path>) -> Result<Self, ConfigError> {
        let user: UserFile = user.map(read).transpose()?.flatten().unwrap_or_default();
        let project: ProjectFile = project.map(read).transpose()?.flatten().unwrap_or_default();
        let Defaults { environment, vcpu_count, mem_mib, timeout_seconds, ttl_seconds } = project.defaults;
        let defaults = Defaults {
            environment: environment.or(user.defaults.environment),
            vcpu_count: vcpu_count.or(user.defaults.vcpu_count),
            mem_mib: mem_mib.or(user.defaults.mem_mib),
            timeout_seconds: timeout_seconds.or(user.defaults.timeout_seconds),
            ttl_seconds: ttl_seconds.or(user.defaults.ttl_seconds),
        };
        Ok(Self { home: user.home, defaults, registry: user.registry })
    }
}

fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Option<T>, ConfigError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ConfigError::Io { path: path.into(), source }),
    };
    toml::from_str(&text)
        .map(Some)
        .map_err(|source| ConfigError::Malformed { path: path.into(), source: Box::new(source) })
}

/// A number of a configuration file that the flag would take, too.
///
/// # Errors
/// One that is out of range, or no number.
pub fn within<'de, D, T, const MIN: u64, const MAX: u64>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64, Error: std::fmt::Display>,
{
    let value = u64::deserialize(deserializer)?;
    if !(MIN..=MAX).contains(&value) {
        return Err(D::Error::custom(format_args!("{value} is not in {MIN}..={MAX}")));
    }
    T::try_from(value).map(Some).map_err(D::Error::custom)
}

/// The nearest project file at or above `start`.
pub fn project_file(start: &Path) -> Option<PathBuf> {
    start.ancestors().map(|directory| directory.join(PROJECT_FILE)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(user: &str, project: &str) -> Result<Config, ConfigError> {
        let directory = tempfile::tempdir().unwrap();
        let (user_path, project_path) = (directory.path().join("u"), directory.path().join("p"));
        fs::write(&user_path, user).unwrap();
        fs::write(&project_path, project).unwrap();
        Config::load(Some(&user_path), Some(&project_path))
    }

    #[test]
    fn the_project_comes_before_the_user() {
        let config = load("[defaults]\nmem_mib = 200\nvcpu_count = 2", "[defaults]\nmem_mib = 300").unwrap();
        assert_eq!((config.defaults.mem_mib, config.defaults.vcpu_count), (Some(300), Some(2)));
    }

    #[test]
    fn a_wrong_field_is_named_with_its_line() {
        let error = load("[defaults]\nmem_mb = 1", "").unwrap_err().to_string();
        assert!(error.contains("mem_mb") && error.contains("line 2"), "{error}");
    }

    #[test]
    fn a_project_cannot_say_where_state_is_or_whom_to_trust() {
        assert!(load("home = '/x'", "").is_ok());
        assert!(load("", "home = '/x'").is_err());
        assert!(load("", "[registry]\n").is_err());
    }

    #[test]
    fn missing_files_say_nothing() {
        let config = Config::load(Some(Path::new("/nonexistent/pyro")), None).unwrap();
        assert_eq!(config.defaults, Defaults::default());
    }
}
