//! Where libkrunfw is: the shared library that holds the guest kernel.
//!
//! It is loaded by `pyro-machine` before that confines itself, and only its kernel is used. Its file is
//! mapped and not copied, so that a start does not wait for 20 MiB of which a guest touches a part.

use std::env;
use std::path::{Path, PathBuf};

/// The library's name, with the only major version that libkrun 1.x speaks to.
const NAME: &str = "libkrunfw.so.5";

/// Where systems keep libraries, in the order in which they are tried.
const SYSTEM: [&str; 6] =
    ["/usr/local/lib64", "/usr/local/lib", "/usr/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib", "/lib64"];

/// How a user gets it.
pub const HOW_TO_GET: &str =
    "install libkrunfw 5 (github.com/containers/libkrunfw), or set PYRO_LIBKRUNFW to its libkrunfw.so.5";

/// Why there is no guest kernel.
#[derive(Debug, thiserror::Error)]
pub enum FirmwareError {
    /// It is in none of the places.
    #[error("{NAME} is neither in {} nor among the system's libraries", .0.display())]
    Missing(PathBuf),
    /// `PYRO_LIBKRUNFW` names something else.
    #[error("PYRO_LIBKRUNFW names {}, which is no file", .0.display())]
    NoFile(PathBuf),
}

/// Finds libkrunfw: what `PYRO_LIBKRUNFW` names, else in `lib/` of the state directory `home`, else
/// among the system's libraries.
///
/// # Errors
/// [`FirmwareError`].
pub fn find(home: &Path) -> Result<PathBuf, FirmwareError> {
    match env::var_os("PYRO_LIBKRUNFW").filter(|path| !path.is_empty()) {
        Some(path) => named(path.into()),
        None => installed(home, &SYSTEM),
    }
}

fn named(path: PathBuf) -> Result<PathBuf, FirmwareError> {
    if path.is_file() {
        Ok(std::path::absolute(&path).unwrap_or(path))
    } else {
        Err(FirmwareError::NoFile(path))
    }
}

fn installed(home: &Path, system: &[&str]) -> Result<PathBuf, FirmwareError> {
    let own = home.join("lib");
    std::iter::once(own.as_path())
        .chain(system.iter().map(Path::new))
        .map(|directory| directory.join(NAME))
        .find(|path| path.is_file())
        .ok_or(FirmwareError::Missing(own))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_state_directory_comes_before_the_system() {
        let root = tempfile::tempdir().unwrap();
        let (home, system) = (root.path().join("home"), root.path().join("usr"));
        fs::create_dir_all(home.join("lib")).unwrap();
        fs::create_dir_all(&system).unwrap();
        let system = [system.to_str().unwrap()];
        assert!(matches!(installed(&home, &system), Err(FirmwareError::Missing(_))));
        fs::write(root.path().join("usr").join(NAME), "").unwrap();
        assert_eq!(installed(&home, &system).unwrap(), root.path().join("usr").join(NAME));
        fs::write(home.join("lib").join(NAME), "").unwrap();
        assert_eq!(installed(&home, &system).unwrap(), home.join("lib").join(NAME));
    }

    #[test]
    fn a_named_file_must_be_there() {
        let missing = named("/nowhere/libkrunfw.so.5".into()).unwrap_err();
        assert_eq!(missing.to_string(), "PYRO_LIBKRUNFW names /nowhere/libkrunfw.so.5, which is no file");
    }
}
