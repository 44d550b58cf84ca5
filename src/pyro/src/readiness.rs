//! Whether an environment is ready for daily work: what `pyro prepare` proved here, and whether
//! anything has changed since.
//!
//! A proof is one small file in the cache, which can always be made again, for each environment.

use crate::catalog::Environment;
use jiff::Timestamp;
use pyro_machine::firmware;
use pyro_oci::{Digest, Image};
use pyro_workspace::{ExecutionMode, Home, Verdict};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What was proved, and on what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Kind of machine.
    pub execution_mode: ExecutionMode,
    /// When.
    pub prepared_at: Timestamp,
    #[serde(flatten)]
    grounds: Grounds,
}

/// All that a proof stands on, as text: the same text, the same thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Grounds {
    /// Digest of the image.
    image: String,
    /// The program.
    pyro: String,
    /// Kernel of this host.
    host_kernel: String,
    /// Kernel of guests, if there are any.
    guest_kernel: Option<String>,
}

/// How far an environment is prepared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Nothing was proved of it.
    Cold {
        /// Whether its image is there.
        installed: bool,
    },
    /// What was proved may no longer hold.
    Stale {
        /// What has changed.
        changes: Vec<String>,
    },
    /// What was proved still holds.
    Warm(Proof),
}

impl Proof {
    /// That work on `image` was just tried on such machines.
    pub fn new(home: &Home, image: &Image, execution_mode: ExecutionMode) -> Self {
        let grounds = Grounds::now(home, image, execution_mode);
        Self { execution_mode, prepared_at: Timestamp::now(), grounds }
    }

    /// Keeps it.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub fn save(&self, home: &Home, environment: &Environment) -> io::Result<()> {
        let path = path(home, environment);
        let directory = path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(directory)?;
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.persist(path)?;
        Ok(())
    }

    /// Forgets what was proved.
    pub fn forget(home: &Home, environment: &Environment) {
        let _ = fs::remove_file(path(home, environment));
    }

    /// A file that cannot be read proves nothing.
    fn load(home: &Home, environment: &Environment) -> Option<Self> {
        serde_json::from_slice(&fs::read(path(home, environment)).ok()?).ok()
    }
}

impl Readiness {
    /// Of an environment, with its image if that is installed. Nothing is started for it.
    pub fn of(home: &Home, environment: &Environment, image: Option<&Image>) -> Self {
        let (Some(image), Some(proof)) = (image, Proof::load(home, environment)) else {
            return Self::Cold { installed: image.is_some() };
        };
        let now = Grounds::now(home, image, proof.execution_mode);
        let mut changes = proof.grounds.changes(&now);
        if proof.execution_mode == ExecutionMode::GuestVsock
            && let Some(verdict) = Verdict::load(home)
        {
            changes.push(format!("no microVM boots any more: {}", verdict.reason()));
        }
        if changes.is_empty() { Self::Warm(proof) } else { Self::Stale { changes } }
    }
}

impl Grounds {
    fn now(home: &Home, image: &Image, execution_mode: ExecutionMode) -> Self {
        let guest_kernel = match execution_mode {
            ExecutionMode::GuestVsock => firmware::find(home.path()).ok().map(|path| file(&path)),
            ExecutionMode::HostCompat => None,
        };
        Self {
            image: image.manifest.to_string(),
            pyro: format!("{} {}", env!("CARGO_PKG_VERSION"), file(Path::new("/proc/self/exe"))),
            host_kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            guest_kernel,
        }
    }

    fn changes(&self, now: &Self) -> Vec<String> {
        let guest_kernel = (self.guest_kernel.as_deref(), now.guest_kernel.as_deref());
        let pairs = [
            ("image", self.image.as_str(), now.image.as_str()),
            ("program pyro", &self.pyro, &now.pyro),
            ("host's kernel", &self.host_kernel, &now.host_kernel),
            ("guest's kernel", guest_kernel.0.unwrap_or("none"), guest_kernel.1.unwrap_or("none")),
        ];
        let changed = pairs.into_iter().filter(|(_, before, now)| before != now);
        changed.map(|(what, before, now)| format!("the {what} is {now}, was {before}")).collect()
    }
}

/// A file as far as a look at it tells: path without links, size, time.
fn file(path: &Path) -> String {
    use std::os::unix::fs::MetadataExt;
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let data = fs::metadata(&path).map(|data| (data.len(), data.mtime()));
    let (bytes, modified) = data.unwrap_or_default();
    let modified = Timestamp::from_second(modified).unwrap_or_default();
    format!("{} ({bytes} B of {modified})", path.display())
}

fn path(home: &Home, environment: &Environment) -> PathBuf {
    let name = Digest::of(environment.local().to_string().as_bytes()).hex();
    home.cache().join("prepared").join(format!("{name}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grounds(pyro: &str, guest_kernel: Option<&str>) -> Grounds {
        let guest_kernel = guest_kernel.map(str::to_owned);
        Grounds { image: "sha256:1".into(), pyro: pyro.into(), host_kernel: "6.1".into(), guest_kernel }
    }

    #[test]
    fn each_change_is_named_with_what_was() {
        let before = grounds("1", Some("a"));
        assert_eq!(before.changes(&before.clone()), Vec::<String>::new());
        let changes = before.changes(&grounds("2", None));
        assert_eq!(changes, ["the program pyro is 2, was 1", "the guest's kernel is none, was a"]);
    }
}
