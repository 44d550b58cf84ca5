//! Repositories that are cloned for workspaces, each state of one in a directory of the cache.
//!
//! ```text
//! cache/repos/<digest of address and name>/
//!   update.lock      held while the server is asked and a clone is made
//!   use.lock         shared by those who read a clone; what is old goes when nobody does
//!   current          the commit that the name meant when the server was last asked
//!   <commit>/        a clean, shallow clone, never changed
//!   new-…/           one that is on its way; whoever has the lock next removes it
//! ```
//!
//! Invariants: a directory that has the name of a commit holds all of it. No address in it, in messages or
//! in records lets anybody in; a login that came with an address is given to git alone.

mod address;
mod idle;
mod run;

pub use idle::{IdleClone, idle_clones};

use crate::home::Home;
use crate::lock;
use crate::seed::without_credentials;
use crate::until::Until;
use address::{Address, State, is_commit};
use run::{Git, pause};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How long a server has to say what it has.
const ASK_LIMIT: Duration = Duration::from_secs(20);

/// How long a clone may take.
const CLONE_LIMIT: Duration = Duration::from_secs(300);

/// How long a step takes that is only about files here.
const LOCAL_LIMIT: Duration = Duration::from_secs(60);

/// How often a lock is tried that another server holds while it clones.
const EVERY: Duration = Duration::from_millis(50);

/// The file that is locked by whoever changes something; its time is that of the last question.
const UPDATE: &str = "update.lock";

/// What names of clones that are on their way begin with.
const NEW: &str = "new-";

/// A state of a repository somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    address: Address,
    state: State,
}

/// A clone, which stays as long as this does.
#[derive(Debug)]
pub struct Cloned {
    /// The checkout. Nobody may write there.
    pub path: PathBuf,
    /// Its commit.
    pub commit: String,
    /// Why the server was not asked whether there is something newer.
    pub stale: Option<String>,
    _used: File,
}

/// Why there is no clone. Nothing is left of the attempt.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// It is no address.
    #[error("{shown} {why}")]
    Address {
        /// What can be shown of it.
        shown: String,
        /// Why not.
        why: &'static str,
    },
    /// It is no name of a branch, a tag or a commit.
    #[error("{0:?} is no name of a branch or tag, and no commit")]
    Name(String),
    /// There is no git.
    #[error("git cannot be run: {0}")]
    Start(io::Error),
    /// git, or the server, refuses.
    #[error("git gets nothing from {address}: {words}")]
    Refused {
        /// The repository.
        address: String,
        /// Its answer.
        words: String,
    },
    /// The repository has no such state.
    #[error("{address} has no branch or tag {name}")]
    Missing {
        /// The repository.
        address: String,
        /// What was asked for.
        name: String,
    },
    /// It has taken too long.
    #[error("{address} does not answer within {} seconds", limit.as_secs())]
    Slow {
        /// The repository.
        address: String,
        /// How long was waited.
        limit: Duration,
    },
    /// Somebody has had enough, or has no more time.
    #[error("the clone was interrupted")]
    Cancelled,
    /// The cache cannot be used.
    #[error("the cache of repositories, {}: {source}", path.display())]
    Cache {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl RepositoryError {
    fn address(shown: &str, why: &'static str) -> Self {
        Self::Address { shown: shown.into(), why }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            State::Head => write!(out, "{}", self.address.shown),
            state => write!(out, "{} at {state}", self.address.shown),
        }
    }
}

impl Repository {
    /// The repository at an address, in the state that a branch, a tag or a commit names.
    ///
    /// # Errors
    /// When one of them is none, or the address would run a program.
    pub fn parse(address: &str, name: Option<&str>) -> Result<Self, RepositoryError> {
        Ok(Self { address: Address::parse(address)?, state: State::parse(name)? })
    }

    /// Whether an address holds a login: then it must not be written down as it is. A user's name alone may be
    /// a token.
    #[must_use]
    pub fn holds_login(address: &str) -> bool {
        without_credentials(address).as_deref() != Some(address)
    }

    /// Its address, without what would let others in.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address.shown
    }

    /// A clean clone of the state as the server has it now. Where it cannot be asked, what was cloned before
    /// will do.
    ///
    /// # Errors
    /// [`RepositoryError`].
    pub fn fetch(&self, home: &Home, until: Until<'_>) -> Result<Cloned, RepositoryError> {
        let place = Place::of(self, home);
        let update = place.update(until)?;
        // From here its idleness counts.
        update.set_modified(SystemTime::now()).map_err(failed(&place.directory))?;
        place.sweep()?;
        let git = Git { address: &self.address, directory: &place.directory, until };
        let (commit, stale) = match self.resolve(&git) {
            Ok(commit) => (commit, None),
            Err(error @ (RepositoryError::Refused { .. } | RepositoryError::Slow { .. })) => {
                match place.current() {
                    Some(commit) => (commit, Some(error.to_string())),
                    None => return Err(error),
                }
            }
            Err(error) => return Err(error),
        };
        let commit = if place.tree(&commit).is_dir() { commit } else { self.clone_into(&place, &git)? };
        if stale.is_none() {
            place.set_current(&commit)?;
            place.forget_all_but(&commit)?;
        }
        let used = place.used()?;
        used.lock_shared().map_err(failed(&place.directory))?;
        Ok(Cloned { path: place.tree(&commit), commit, stale, _used: used })
    }

    /// The commit that the state is, by the server's word.
    fn resolve(&self, git: &Git<'_>) -> Result<String, RepositoryError> {
        let wanted = match &self.state {
            State::Commit(commit) => return Ok(commit.clone()),
            State::Head => vec!["HEAD".to_owned()],
            State::Name(name) if name.starts_with("refs/") => vec![format!("{name}^{{}}"), name.clone()],
            State::Name(name) => vec![
                format!("refs/heads/{name}"),
                // The commit that an annotated tag is about.
                format!("refs/tags/{name}^{{}}"),
                format!("refs/tags/{name}"),
            ],
        };
        let mut words = vec!["ls-remote", "--", &self.address.shown];
        words.extend(wanted.iter().map(String::as_str));
        let answer = git.read(&words, ASK_LIMIT)?;
        let answer = String::from_utf8_lossy(&answer);
        let commit = |name: &String| {
            let mut lines = answer.lines().filter_map(|line| line.split_once('\t'));
            lines.find(|(_, found)| found == name).map(|(commit, _)| commit.to_owned())
        };
        // It becomes the name of a directory.
        wanted.iter().find_map(commit).filter(|it| is_commit(it)).ok_or_else(|| RepositoryError::Missing {
            address: self.address.shown.clone(),
            name: self.state.to_string(),
        })
    }

    /// Clones it, under the name of the commit that came.
    fn clone_into(&self, place: &Place, git: &Git<'_>) -> Result<String, RepositoryError> {
        let fresh = tempfile::Builder::new().prefix(NEW).tempdir_in(&place.directory);
        let fresh = fresh.map_err(failed(&place.directory))?;
        let path = fresh.path().join("clone");
        let inside = Git { directory: &path, ..*git };
        let target = path.to_string_lossy().into_owned();
        let address = self.address.shown.as_str();
        // Progress makes git notice that nobody listens any more.
        match &self.state {
            State::Name(name) if !name.starts_with("refs/") => {
                let words = ["clone", "--progress", "--depth=1", "--single-branch", "--no-tags", "--branch"];
                git.read(&[&words[..], &[name, "--", address, &target]].concat(), CLONE_LIMIT)?;
            }
            State::Head => {
                let words = ["clone", "--progress", "--depth=1", "--single-branch", "--no-tags"];
                git.read(&[&words[..], &["--", address, &target]].concat(), CLONE_LIMIT)?;
            }
            State::Name(name) | State::Commit(name) => {
                git.read(&["init", "--quiet", "--", &target], LOCAL_LIMIT)?;
                inside.read(&["remote", "add", "--", "origin", address], LOCAL_LIMIT)?;
                let words = ["fetch", "--progress", "--depth=1", "--no-tags", "origin", name];
                inside.read(&words, CLONE_LIMIT)?;
                inside.read(&["checkout", "--quiet", "--detach", "FETCH_HEAD"], CLONE_LIMIT)?;
            }
        }
        let commit = inside.read(&["rev-parse", "HEAD"], LOCAL_LIMIT)?;
        let commit = String::from_utf8_lossy(&commit).trim().to_owned();
        let tree = place.tree(&commit);
        if !tree.is_dir() {
            fs::rename(&path, &tree).map_err(failed(&tree))?;
        }
        Ok(commit)
    }
}

/// The directory of all clones.
fn clones(home: &Home) -> PathBuf {
    home.cache().join("repos")
}

/// The directory of a repository.
struct Place {
    directory: PathBuf,
}

impl Place {
    fn of(repository: &Repository, home: &Home) -> Self {
        let named = format!("{}\n{}", repository.address.shown, repository.state);
        let name = hex::encode(&Sha256::digest(named)[..16]);
        Self { directory: clones(home).join(name) }
    }

    fn tree(&self, commit: &str) -> PathBuf {
        self.directory.join(commit)
    }

    fn open(&self, name: &str) -> Result<File, RepositoryError> {
        let path = self.directory.join(name);
        File::options().create(true).append(true).open(&path).map_err(failed(&path))
    }

    fn used(&self) -> Result<File, RepositoryError> {
        self.open("use.lock")
    }

    /// The right to change something here, waited for.
    fn update(&self, until: Until<'_>) -> Result<File, RepositoryError> {
        let (directory, path) = (&self.directory, self.directory.join(UPDATE));
        loop {
            DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed(directory))?;
            match lock::attempt_or_make(&path) {
                Ok(Some(lock)) => return Ok(lock),
                Ok(None) => {}
                // The directory was idle for long and has just gone.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(&path)(error)),
            }
            if !pause(until, EVERY).map_err(failed(&self.directory))? {
                return Err(RepositoryError::Cancelled);
            }
        }
    }

    fn current(&self) -> Option<String> {
        let commit = fs::read_to_string(self.directory.join("current")).ok()?;
        (is_commit(&commit) && self.tree(&commit).is_dir()).then_some(commit)
    }

    fn set_current(&self, commit: &str) -> Result<(), RepositoryError> {
        if self.current().as_deref() == Some(commit) {
            return Ok(());
        }
        let (fresh, path) = (self.directory.join("new-current"), self.directory.join("current"));
        fs::write(&fresh, commit).and_then(|()| fs::rename(&fresh, &path)).map_err(failed(&path))
    }

    /// Removes what was on its way when somebody was killed. Only with the right to change something.
    fn sweep(&self) -> Result<(), RepositoryError> {
        self.remove(|name| name.starts_with(NEW))
    }

    /// Removes other commits, if nobody reads one.
    fn forget_all_but(&self, commit: &str) -> Result<(), RepositoryError> {
        let used = self.used()?;
        match used.try_lock() {
            Ok(()) => self.remove(|name| name != commit && is_commit(name)),
            Err(TryLockError::WouldBlock) => Ok(()),
            Err(TryLockError::Error(error)) => Err(failed(&self.directory)(error)),
        }
    }

    fn remove(&self, goes: impl Fn(&str) -> bool) -> Result<(), RepositoryError> {
        let failed = |source| failed(&self.directory)(source);
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if goes(&entry.file_name().to_string_lossy()) {
                let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
                let path = entry.path();
                if is_directory { fs::remove_dir_all(path) } else { fs::remove_file(path) }
                    .map_err(failed)?;
            }
        }
        Ok(())
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> RepositoryError + '_ {
    move |source| RepositoryError::Cache { path: path.to_owned(), source }
}
