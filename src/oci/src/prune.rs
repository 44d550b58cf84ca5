//! Removing what nothing refers to.
//!
//! Mark, then sweep, under the exclusive lock: pulls, imports and starting machines hold it shared, so
//! that nothing is removed between being found and being noted.

use crate::{
    Digest, FileError, Store, StoreError,
    disk::chain,
    files::Lock,
    manifest::{self, Document},
    store::Name,
    unpack::overlay_key,
};
use serde::Serialize;
use std::{
    collections::HashSet,
    fs,
    io::ErrorKind,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// What to remove besides what nothing refers to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prune {
    /// Images that nobody uses, too.
    pub all: bool,
    /// Only tell.
    pub dry_run: bool,
}

/// What was removed, or would be.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Pruned {
    /// Disk space in all.
    pub bytes: u64,
    /// Each thing.
    pub items: Vec<PrunedItem>,
}

/// One thing that was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PrunedItem {
    /// What it was.
    pub kind: PrunedKind,
    /// Its name or digest.
    pub name: String,
    /// Disk space that it took.
    pub bytes: u64,
}

/// Kinds of things that are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PrunedKind {
    /// The name of an image; its layers count for themselves.
    Image,
    /// A layer, manifest or config.
    Blob,
    /// A download that broke off.
    Partial,
    /// Something that can be made again.
    Cache,
    /// What a crash left.
    Rest,
}

/// The store, with nobody else using its blobs. Who prunes finds out what is in use while holding this.
#[derive(Debug)]
pub struct Sweep<'a> {
    store: &'a Store,
    also: Vec<PathBuf>,
    _lock: Lock,
}

/// What stays.
#[derive(Default)]
struct Marked {
    blobs: HashSet<String>,
    chains: HashSet<String>,
}

impl Store {
    /// Waits until nobody holds the store, and keeps others from it; `waiting` is called first if
    /// somebody does. A process that holds it itself would wait forever.
    ///
    /// # Errors
    /// When the lock file cannot be used.
    pub fn sweep(&self, waiting: impl FnOnce()) -> Result<Sweep<'_>, StoreError> {
        Ok(Sweep { store: self, also: Vec::new(), _lock: Lock::exclusive(&self.gc_lock(), waiting)? })
    }
}

impl Sweep<'_> {
    /// With these, which can be made again and which nobody uses: they are on the same file system.
    #[must_use]
    pub fn also(mut self, paths: impl IntoIterator<Item = PathBuf>) -> Self {
        self.also.extend(paths);
        self
    }

    /// Removes what no image and nothing `in_use` refers to: partial downloads, blobs, cached tables,
    /// disks and trees. In use are manifests, with all that they lead to, and single layers.
    ///
    /// # Errors
    /// When the store cannot be read or written. What was removed until then is gone.
    pub fn prune(self, what: Prune, in_use: &[Digest]) -> Result<Pruned, StoreError> {
        let mut pruned = Pruned::default();
        let in_use: HashSet<Digest> = in_use.iter().copied().collect();
        let unused = |name: &Name| what.all && !in_use.contains(&name.digest);
        let names = self.store.names()?;
        for name in names.manifests.iter().filter(|name| unused(name)) {
            let name = name.reference().map_or_else(|| name.digest.to_string(), |it| it.to_string());
            pruned.items.push(PrunedItem { kind: PrunedKind::Image, name, bytes: 0 });
        }
        if what.all && !what.dry_run {
            self.store.edit(|names| names.manifests.retain(|name| !unused(name)))?;
        }
        let mut marked = Marked::default();
        for name in names.manifests.iter().filter(|name| !unused(name)) {
            self.mark(name.digest, &mut marked);
            for source in name.source().into_iter().flat_map(|it| [Some(it.manifest), it.index]).flatten() {
                marked.blobs.insert(source.hex());
            }
        }
        for digest in in_use {
            self.mark(digest, &mut marked);
        }
        let mut doomed = self.doomed(&marked)?;
        doomed.extend(self.also.iter().map(|path| (PrunedKind::Cache, path.clone())));
        doomed.sort();
        let bin = tempfile::tempdir_in(self.store.trash());
        let bin = bin.map_err(FileError::at("write to", &self.store.trash()))?;
        for (number, (kind, path)) in doomed.iter().filter(|(_, path)| path != bin.path()).enumerate() {
            let bytes = disk_usage(path);
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !what.dry_run {
                match fs::rename(path, bin.path().join(number.to_string())) {
                    Err(error) if error.kind() != ErrorKind::NotFound => {
                        return Err(FileError::at("remove", path)(error).into());
                    }
                    _ => {}
                }
            }
            pruned.bytes += bytes;
            pruned.items.push(PrunedItem { kind: *kind, name, bytes });
        }
        // Deleting big trees takes time: others need not wait for it.
        drop(self);
        let path = bin.keep();
        fs::remove_dir_all(&path).map_err(FileError::at("remove", &path))?;
        Ok(pruned)
    }

    /// Keeps a blob and, if it is a manifest, all that it leads to. A damaged one leads nowhere.
    fn mark(&self, digest: Digest, marked: &mut Marked) {
        marked.blobs.insert(digest.hex());
        let small = fs::metadata(self.store.blob(&digest)).is_ok_and(|it| it.len() <= manifest::DOCUMENT_MAX);
        let bytes = if small { fs::read(self.store.blob(&digest)).unwrap_or_default() } else { Vec::new() };
        let Ok(Document::Manifest(manifest)) = manifest::parse(&bytes) else { return };
        marked.blobs.insert(manifest.config.digest.hex());
        marked.blobs.extend(manifest.layers.iter().map(|layer| layer.digest.hex()));
        let diff_ids: Vec<Digest> = manifest.layers.iter().map(|layer| layer.digest).collect();
        marked.chains.insert(chain(&diff_ids));
    }

    /// Names of the trees that single layers may have.
    fn layer_trees(&self, marked: &Marked) -> HashSet<String> {
        let digests = marked.blobs.iter().filter_map(|hex| format!("sha256:{hex}").parse().ok());
        digests.map(|digest: Digest| overlay_key(&digest)).collect()
    }

    /// Names of the disks above images of which all layers stay.
    fn deltas(&self, marked: &Marked) -> Result<HashSet<String>, FileError> {
        let directory = self.store.deltas();
        let entries = fs::read_dir(&directory).map_err(FileError::at("list", &directory))?;
        let mut stay = HashSet::new();
        for path in entries.flatten().map(|entry| entry.path()) {
            let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
            let Some(disk) = self.store.made(&path.with_extension("vmdk"))? else { continue };
            let parts = disk.parts.iter().filter_map(|part| part.file_stem()?.to_str());
            if parts.into_iter().all(|part| part == stem || marked.blobs.contains(part)) {
                stay.insert(stem.to_owned());
            }
        }
        Ok(stay)
    }

    fn doomed(&self, marked: &Marked) -> Result<Vec<(PrunedKind, PathBuf)>, FileError> {
        let store = self.store;
        let trees = self.layer_trees(marked);
        let deltas = self.deltas(marked)?;
        let is_digest = |stem: &str| stem.len() == 64 && stem.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mut doomed = Vec::new();
        let mut look = |directory: PathBuf, kind, goes: &dyn Fn(&str) -> bool| {
            for entry in fs::read_dir(&directory).map_err(FileError::at("list", &directory))? {
                let entry = entry.map_err(FileError::at("list", &directory))?;
                let name = entry.file_name();
                let name = name.to_string_lossy();
                if goes(name.split('.').next().unwrap_or_default()) {
                    doomed.push((kind, entry.path()));
                }
            }
            Ok(())
        };
        look(store.blobs(), PrunedKind::Blob, &|stem| is_digest(stem) && !marked.blobs.contains(stem))?;
        look(store.ingest(), PrunedKind::Partial, &|_| true)?;
        look(store.tocs(), PrunedKind::Cache, &|stem| !marked.blobs.contains(stem))?;
        look(store.bases(), PrunedKind::Cache, &|stem| !marked.chains.contains(stem))?;
        look(store.deltas(), PrunedKind::Cache, &|stem| !deltas.contains(stem))?;
        let is_tree = |stem: &str| marked.chains.contains(stem) || trees.contains(stem);
        look(store.trees(), PrunedKind::Cache, &|stem| !is_tree(stem))?;
        look(store.trash(), PrunedKind::Rest, &|_| true)?;
        Ok(doomed)
    }
}

/// Disk space of a file or of a whole directory; files with several names count once.
fn disk_usage(path: &Path) -> u64 {
    let mut seen = HashSet::new();
    let entries = walkdir::WalkDir::new(path).into_iter().flatten();
    let used = entries.filter_map(|entry| entry.metadata().ok());
    used.filter(|it| it.nlink() < 2 || it.is_dir() || seen.insert(it.ino())).map(|it| it.blocks() * 512).sum()
}
