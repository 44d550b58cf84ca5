//! What is known of sources that were looked at before: layers that were made of them, in
//! `cache/seed/KEY.json`, and what git said of them, in `cache/seed/PLACE.said`.

use super::stamp::{self, Stamp};
use super::{Owner, SeedError, Skipped};
use crate::home::Home;
use pyro_layer::Time;
use pyro_oci::{Layer, Store};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Part of every key: change it with every change of what a seed looks like.
const FORMAT: &[u8] = b"pyro seed 2";

/// Starts the names of files and directories on their way.
const SCRATCH: &str = "tmp-";

/// Ends the names of what git said.
const SAID: &str = "said";

/// How many of those stay: the oldest are of checkouts that nobody seeds from any more.
const SAID_MAX: usize = 64;

/// Bytes of a digest.
const DIGEST: usize = 32;

/// A digest of everything that a seed is made of, as far as a look shows it.
#[derive(Clone)]
pub(super) struct Key {
    hasher: Sha256,
    started: Time,
    /// Whether a change could go unnoticed.
    fresh: bool,
}

impl Key {
    pub fn new(owner: Owner) -> Self {
        let mut key = Self { hasher: Sha256::new(), started: stamp::now(), fresh: false };
        key.add(FORMAT);
        key.add(&owner.uid.to_le_bytes());
        key.add(&owner.gid.to_le_bytes());
        key
    }

    pub fn add(&mut self, bytes: &[u8]) {
        self.hasher.update((bytes.len() as u64).to_le_bytes());
        self.hasher.update(bytes);
    }

    pub fn digest(&self) -> [u8; DIGEST] {
        self.hasher.clone().finalize().into()
    }

    fn name(&self, extension: &str) -> String {
        format!("{}.{extension}", hex::encode(self.digest()))
    }

    pub fn add_file(&mut self, path: &[u8], stamp: &Stamp) {
        self.add(path);
        stamp.add_to(&mut self.hasher);
        self.fresh |= stamp.is_fresh(self.started);
    }
}

/// What is known of a layer that was made of a source.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    pub layer: Layer,
    pub entries: u64,
    pub bytes: u64,
    pub skipped: Vec<Skipped>,
}

/// A layer that was made just now.
pub(super) struct Made {
    pub kept: Kept,
    /// Whether it holds just what was looked at before.
    pub exact: bool,
}

pub(super) struct Cache<'a> {
    directory: PathBuf,
    store: &'a Store,
}

impl<'a> Cache<'a> {
    pub fn open(home: &'a Home) -> Result<Self, SeedError> {
        let directory = home.cache().join("seed");
        fs::create_dir_all(&directory).map_err(failed(&directory))?;
        Ok(Self { directory, store: home.store() })
    }

    /// The layer of this key, and whether it was there. One is made at a time, in a directory for
    /// files on their way.
    pub fn find_or_make(
        &self,
        key: Key,
        make: impl FnOnce(&Path) -> Result<Made, SeedError>,
    ) -> Result<(Kept, bool), SeedError> {
        let path = self.directory.join(key.name("json"));
        if let Some(kept) = self.load(&path) {
            return Ok((kept, true));
        }
        let lock = self.directory.join("lock");
        let _lock = File::create(&lock).and_then(|file| file.lock().map(|()| file)).map_err(failed(&lock))?;
        // Another process may have made it while this one waited.
        if let Some(kept) = self.load(&path) {
            return Ok((kept, true));
        }
        self.sweep().map_err(failed(&self.directory))?;
        let scratch = tempfile::Builder::new().prefix(SCRATCH).tempdir_in(&self.directory);
        let scratch: TempDir = scratch.map_err(failed(&self.directory))?;
        let Made { kept, exact } = make(scratch.path())?;
        if exact && !key.fresh {
            let fresh = scratch.path().join("kept");
            let text = serde_json::to_vec(&kept).expect("it has only plain fields");
            // It can be lost, and is checked when it is read: no need to wait for the disk.
            fs::write(&fresh, text).and_then(|()| fs::rename(&fresh, &path)).map_err(failed(&path))?;
        }
        Ok((kept, false))
    }

    /// What was said of `place`, and the digest of what it depended on.
    pub fn said(&self, place: &Key) -> Option<([u8; DIGEST], Vec<u8>)> {
        let mut said = fs::read(self.directory.join(place.name(SAID))).ok()?;
        let state = *said.first_chunk()?;
        said.drain(..DIGEST);
        Some((state, said))
    }

    /// Keeps what is said of `place` as long as `state` is what it depends on.
    pub fn say(&self, place: &Key, state: &Key, parts: &[&[u8]]) {
        let path = self.directory.join(place.name(SAID));
        let keep = || {
            let mut fresh = tempfile::Builder::new().prefix(SCRATCH).tempfile_in(&self.directory)?;
            fresh.write_all(&state.digest())?;
            parts.iter().try_for_each(|part| fresh.write_all(part))?;
            fresh.persist(&path).map(drop).map_err(io::Error::from)
        };
        if !state.fresh
            && let Err(error) = keep()
        {
            tracing::debug!(%error, "what git said is asked again next time");
        }
    }

    fn load(&self, path: &Path) -> Option<Kept> {
        let kept: Kept = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        self.is_there(&kept).then_some(kept)
    }

    fn is_there(&self, kept: &Kept) -> bool {
        fs::metadata(self.store.blob(&kept.layer.diff_id)).is_ok_and(|blob| blob.len() == kept.layer.size)
    }

    /// Removes what a crash left, and what leads to layers that are gone. Only under the lock; what git said is
    /// kept without it, so a file may go while this looks.
    fn sweep(&self) -> io::Result<()> {
        let mut said = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let path = entry.path();
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            if name.starts_with(SCRATCH.as_bytes()) {
                let is_directory = entry.file_type()?.is_dir();
                if_there(if is_directory { fs::remove_dir_all(&path) } else { fs::remove_file(&path) })?;
            } else if name.ends_with(SAID.as_bytes()) {
                let modified = entry.metadata().and_then(|data| data.modified());
                if_there(modified.map(|modified| said.push((modified, path))))?;
            } else if name.ends_with(b".json") && self.load(&path).is_none() {
                fs::remove_file(&path)?;
            }
        }
        said.sort_unstable();
        let surplus = said.len().saturating_sub(SAID_MAX);
        said[..surplus].iter().try_for_each(|(_, path)| if_there(fs::remove_file(path)))
    }
}

/// What is gone already is no failure.
fn if_there(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

pub(super) fn failed(path: &Path) -> impl FnOnce(io::Error) -> SeedError + '_ {
    move |source| SeedError::Cache { path: path.to_owned(), source }
}
