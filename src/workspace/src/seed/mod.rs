//! Where a workspace's files come from: one layer under `workspace/`, made of a git checkout, a plain
//! directory or an archive.
//!
//! A layer is remembered under a digest of what a look at the source shows (names, sizes, times, inodes,
//! HEAD, the index), so an unchanged source is not read again. The source is never written.
//!
//! Invariant: what is remembered was read whole, unchanged since it was looked at.

mod ahead;
mod archive;
mod cache;
mod checkout;
mod config;
mod directory;
mod dot_git;
mod emit;
mod git;
mod index;
mod owner;
mod stamp;
mod tree;
mod untracked;
mod url;
mod watched;

use crate::diff::DiffError;
use crate::home::Home;
use crate::trace;
use crate::until::Until;
use cache::{Cache, Kept, Key};
use checkout::{Checkout, View};
pub use git::GitError;
pub(crate) use git::forget_variables as forget_git_variables;
pub use owner::Owner;
use pyro_layer::{MergeError, TarError, WriteError};
use pyro_oci::{Digest, DiskError, Layer, LayerError};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
pub(crate) use url::without_credentials;

/// Where the files are in the layer, and so in the workspace.
const PREFIX: &[u8] = b"workspace";

/// How often a source that changes while it is read is tried.
const ATTEMPTS: u32 = 3;

/// A source of files.
#[derive(Debug)]
pub struct Seed {
    kind: Kind,
    origin: (OriginKind, String),
}

#[derive(Debug)]
enum Kind {
    Checkout(Box<Checkout>),
    Directory(PathBuf),
    Archive(PathBuf),
}

/// How the files of a source are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeedMode {
    /// Tracked files with their uncommitted changes, and untracked ones that are not ignored.
    Checkout,
    /// All of a directory.
    Directory,
    /// All of an archive.
    Archive,
}

/// Who named the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OriginKind {
    /// The user, for this workspace.
    SeedPath,
    /// The project that the server was started for.
    ProjectPath,
    /// A repository that was cloned for it.
    RepoUrl,
}

/// What a workspace was seeded with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedFacts {
    /// How files were chosen.
    pub mode: SeedMode,
    /// Who named the source.
    pub origin_kind: OriginKind,
    /// The source, as it was named.
    pub origin_ref: String,
    /// Files and symbolic links, without those of `.git`.
    pub entries: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// The layer.
    pub layer: Digest,
}

/// A file that is not in the seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Relative to the source, with odd bytes replaced.
    pub path: String,
    /// Why not.
    pub why: String,
}

/// A seed in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seeded {
    /// The layer.
    pub layer: Layer,
    /// What is in it.
    pub facts: SeedFacts,
    /// What is not, though it is in the source.
    pub skipped: Vec<Skipped>,
    /// Whether the layer was there already, so that nothing was read.
    pub reused: bool,
}

/// Why there is no seed. Nothing is left of the attempt.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// The source cannot be used.
    #[error("cannot seed from {}: {source}", path.display())]
    Source {
        /// The source, or a part of it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// git does not work on the checkout.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The archive is not a tar, or one with unsafe members.
    #[error("cannot seed from the archive {}: {source}", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        source: ArchiveError,
    },
    /// Somebody writes to the source.
    #[error("{0:?} changes while it is read")]
    Changing(String),
    /// The user had enough.
    #[error("interrupted")]
    Cancelled,
    /// Something in the cache cannot be used.
    #[error("the cache of seeds, {}: {source}", path.display())]
    Cache {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The layer cannot be written.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The image has no such user.
    #[error("nobody to whom the files can belong: {0}")]
    User(String),
    /// The image's disk cannot be made.
    #[error("the image's disk cannot be made: {0}")]
    Disk(#[from] DiskError),
    /// The image cannot be read.
    #[error("the image's users cannot be read: {0}")]
    Image(#[from] DiffError),
}

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It cannot be read.
    #[error(transparent)]
    Layer(LayerError),
    /// It is no tar, or not a safe one.
    #[error(transparent)]
    Tar(TarError),
    /// Its members contradict each other.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// A member that does not belong into a workspace.
    #[error("member {path:?} {why}")]
    Member {
        /// Its path.
        path: String,
        /// Why not.
        why: &'static str,
    },
}

impl From<LayerError> for ArchiveError {
    fn from(error: LayerError) -> Self {
        match error {
            // Which file it is, a user knows.
            LayerError::Tar(_, error) => Self::Tar(error),
            error => Self::Layer(error),
        }
    }
}

impl From<WriteError> for SeedError {
    fn from(error: WriteError) -> Self {
        Self::Layer(error.into())
    }
}

impl Seed {
    /// The source at a path. A directory inside a checkout gives what is below it, without a `.git`; see
    /// [`Seed::checkout`] for all of the checkout.
    ///
    /// # Errors
    /// When there is nothing of use, or git refuses the checkout.
    pub fn of(path: &Path) -> Result<Self, SeedError> {
        let failed = |source| SeedError::Source { path: path.to_owned(), source };
        let whole = path.canonicalize().map_err(failed)?;
        let found = fs::metadata(&whole).map_err(failed)?;
        let kind = if found.is_file() {
            Kind::Archive(whole)
        } else if !found.is_dir() {
            return Err(failed(io::Error::other("it is neither a directory nor an archive")));
        } else if let Some(checkout) = Checkout::around(&whole)?
            && (checkout.is_top() || checkout.knows_files()?)
        {
            Kind::Checkout(Box::new(checkout))
        } else {
            Kind::Directory(whole)
        };
        Ok(Self { kind, origin: (OriginKind::SeedPath, path.display().to_string()) })
    }

    /// The whole checkout that a directory lies in, if it lies in one.
    ///
    /// # Errors
    /// When git refuses it.
    pub fn checkout(path: &Path) -> Result<Option<Self>, SeedError> {
        let whole =
            path.canonicalize().map_err(|source| SeedError::Source { path: path.to_owned(), source })?;
        let Some(checkout) = Checkout::around(&whole)? else { return Ok(None) };
        let checkout = checkout.whole();
        let origin = (OriginKind::SeedPath, checkout.directory().display().to_string());
        Ok(Some(Self { kind: Kind::Checkout(Box::new(checkout)), origin }))
    }

    /// Says who named the source, and how.
    #[must_use]
    pub fn named_by(mut self, kind: OriginKind, reference: impl Into<String>) -> Self {
        self.origin = (kind, reference.into());
        self
    }

    /// Where the source is.
    #[must_use]
    pub fn path(&self) -> &Path {
        match &self.kind {
            Kind::Checkout(checkout) => checkout.directory(),
            Kind::Directory(path) | Kind::Archive(path) => path,
        }
    }

    /// How files are chosen.
    #[must_use]
    pub const fn mode(&self) -> SeedMode {
        match self.kind {
            Kind::Checkout(_) => SeedMode::Checkout,
            Kind::Directory(_) => SeedMode::Directory,
            Kind::Archive(_) => SeedMode::Archive,
        }
    }

    /// The layer, made if it is not there. The caller holds the store ([`pyro_oci::Store::hold`]).
    ///
    /// # Errors
    /// [`SeedError`].
    pub fn layer(&self, home: &Home, owner: Owner, until: Until<'_>) -> Result<Seeded, SeedError> {
        let mut attempt = 1;
        loop {
            match self.attempt(home, owner, until) {
                Err(SeedError::Changing(_)) if attempt < ATTEMPTS => attempt += 1,
                result => return result.map(|(kept, reused)| self.seeded(kept, reused)),
            }
        }
    }

    /// Whether the layer was there already comes with it.
    fn attempt(&self, home: &Home, owner: Owner, until: Until<'_>) -> Result<(Kept, bool), SeedError> {
        let (key, cache) = (Key::new(owner), Cache::open(home)?);
        let seed = match &self.kind {
            Kind::Checkout(checkout) => {
                let (view, key) = checkout.look(home, &cache, key)?;
                trace::reached("source looked at");
                cache.find_or_make(key, |scratch| {
                    let View { mut tree, repositories } = view;
                    tree.complete();
                    let history = || dot_git::all(&repositories, scratch);
                    emit::write(home.store(), &tree, owner, until, history)
                })
            }
            Kind::Directory(path) => {
                let (tree, key) = directory::look(path, home, key)?;
                cache.find_or_make(key, |_| emit::write(home.store(), &tree, owner, until, || Ok(Vec::new())))
            }
            Kind::Archive(path) => {
                let key = archive::look(path, key)?;
                cache.find_or_make(key, |_| archive::write(home.store(), path, owner, until))
            }
        };
        trace::reached("seed found");
        seed
    }

    fn seeded(&self, kept: Kept, reused: bool) -> Seeded {
        let (origin_kind, origin_ref) = self.origin.clone();
        let Kept { layer, entries, bytes, skipped } = kept;
        let layer_digest = layer.diff_id;
        let mode = self.mode();
        let facts = SeedFacts { mode, origin_kind, origin_ref, entries, bytes, layer: layer_digest };
        Seeded { layer, facts, skipped, reused }
    }
}

/// For messages: odd bytes replaced.
fn display(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
