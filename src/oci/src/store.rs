//! The local store: a valid OCI image layout whose layers are plain tars.
//!
//! ```text
//! HOME/VERSION                    {"layout":1}
//! HOME/gc.lock                    shared: whoever uses blobs by digest; exclusive: prune
//! HOME/store/oci-layout, index.json, index.lock
//! HOME/store/blobs/sha256/<hex>   configs, manifests, layer tars (the name is the diff_id)
//! HOME/store/ingest/              downloads in progress: <hex>.part, and <hex>.lock while one runs
//! HOME/cache/toc/<hex>.{toc,aux}  tables of contents per layer          } all of cache/
//! HOME/cache/base/<hex>.{erofs,vmdk}  indexes and disks per chain       } can be
//! HOME/cache/delta/<hex>.{erofs,vmdk} the same of layers above an image } rebuilt
//! HOME/cache/tree/<hex>/          extracted trees, per chain and layer  }
//! HOME/trash/                     what is being deleted
//! ```
//!
//! Invariant: a name in `index.json` is written last, after everything that it leads to is verified,
//! whole and durable. A crash leaves unreferenced files at worst; [`Store::prune`] removes them.

use crate::{
    Digest, FileError, Image, ImageSummary, Layer, LayerError, ManifestError, Reference, Source,
    files::{self, Lock, TEMP_PREFIX, make_directory},
    ingest,
    manifest::{self, Blob, Document, OCI_MANIFEST},
};
use pyro_layer::{LayerWriter, Toc};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// The version of the directory that this program reads and writes.
const LAYOUT: u64 = 1;

/// Annotation of an image's name, as the OCI image layout wants it.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Annotations that lead from an image to the documents it was made from.
const SOURCE_MANIFEST: &str = "io.pyro.source.manifest";
const SOURCE_INDEX: &str = "io.pyro.source.index";

/// The images of one state directory. Cheap to open; holds no lock.
#[derive(Clone, Debug)]
pub struct Store {
    home: PathBuf,
}

/// The store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file could not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// A later version of this program made the directory.
    #[error("{} has layout {found}; this program knows up to {LAYOUT}", .home.display())]
    Newer {
        /// The state directory.
        home: PathBuf,
        /// Its version.
        found: u64,
    },
    /// A document of the store is not what it should be.
    #[error("{} is damaged: {why}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A document refers to a blob that is not there.
    #[error("{reference} is incomplete: blob {digest} is missing")]
    Missing {
        /// The image.
        reference: Box<Reference>,
        /// The blob.
        digest: Digest,
    },
    /// No such image.
    #[error("{0} is not in the store")]
    NotFound(Box<Reference>),
}

/// A promise that no blob is removed until it is dropped.
#[derive(Debug)]
pub struct InUse {
    _lock: Lock,
}

/// `index.json`, with what other tools may have put there kept.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Names {
    schema_version: u32,
    #[serde(default)]
    pub manifests: Vec<Name>,
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}

/// An entry of `index.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Name {
    media_type: String,
    pub digest: Digest,
    size: u64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}

/// The documents from which an image is made, as they came.
#[derive(Debug)]
pub(crate) struct Origin {
    pub manifest: Vec<u8>,
    pub index: Option<Vec<u8>>,
}

impl Name {
    pub fn reference(&self) -> Option<Reference> {
        self.annotations.get(REF_NAME)?.parse().ok()
    }

    pub fn source(&self) -> Option<Source> {
        let manifest = self.annotations.get(SOURCE_MANIFEST)?.parse().ok()?;
        Some(Source {
            manifest,
            index: self.annotations.get(SOURCE_INDEX).and_then(|text| text.parse().ok()),
        })
    }

    /// Whether the name is the one asked for, or pins the same content of the same repository.
    fn is(&self, wanted: &Reference) -> bool {
        let Some(ours) = self.reference() else { return false };
        let Some(pinned) = wanted.digest() else { return ours == *wanted };
        let source = self.source();
        let digests = [Some(self.digest), source.map(|it| it.manifest), source.and_then(|it| it.index)];
        ours.registry() == wanted.registry()
            && ours.repository() == wanted.repository()
            && digests.contains(&Some(pinned))
    }
}

impl Store {
    /// Opens the store of a state directory, which is made if it is missing.
    ///
    /// # Errors
    /// [`StoreError::Newer`] when a later version made it; nothing is changed then.
    pub fn open(home: &Path) -> Result<Self, StoreError> {
        let store = Self { home: home.to_owned() };
        if !store.is_there()? {
            make_directory(&store.home)?;
            files::publish(format!("{{\"layout\":{LAYOUT}}}\n").as_bytes(), &store.version())?;
        }
        for directory in [
            store.blobs(),
            store.ingest(),
            store.tocs(),
            store.bases(),
            store.deltas(),
            store.trees(),
            store.trash(),
        ] {
            make_directory(&directory)?;
        }
        let layout = store.layout().join("oci-layout");
        if !layout.exists() {
            files::publish(br#"{"imageLayoutVersion":"1.0.0"}"#, &layout)?;
        }
        let index = store.index();
        if !index.exists() {
            files::publish(br#"{"schemaVersion":2,"manifests":[]}"#, &index)?;
        }
        store.reap()?;
        Ok(store)
    }

    /// Whether it is there, and of a layout that this version knows.
    ///
    /// # Errors
    /// [`StoreError::Newer`] when a later version made it.
    pub fn is_there(&self) -> Result<bool, StoreError> {
        #[derive(Deserialize)]
        struct Version {
            layout: u64,
        }
        let path = self.version();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(FileError::at("read", &path)(error).into()),
        };
        let version: Version = serde_json::from_slice(&text).map_err(|error| damaged(&path, error))?;
        if version.layout > LAYOUT {
            return Err(StoreError::Newer { home: self.home.clone(), found: version.layout });
        }
        Ok(true)
    }

    fn version(&self) -> PathBuf {
        self.home.join("VERSION")
    }

    /// Removes temporary files of processes that are gone.
    fn reap(&self) -> Result<(), StoreError> {
        for directory in [self.ingest(), self.blobs(), self.tocs(), self.bases(), self.deltas()] {
            let entries = fs::read_dir(&directory).map_err(FileError::at("list", &directory))?;
            for entry in entries.flatten() {
                if !entry.file_name().as_encoded_bytes().starts_with(TEMP_PREFIX.as_bytes()) {
                    continue;
                }
                // Whoever still writes to it holds its lock; gone meanwhile is fine too.
                if File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
                    let _gone = fs::remove_file(entry.path());
                }
            }
        }
        Ok(())
    }

    /// Keeps every blob in place until the guard is dropped. Who notes a digest for later use (a
    /// workspace's record) holds this from before the look-up until after the note is written.
    /// Holders do not wait for each other, so one process may hold it several times.
    ///
    /// # Errors
    /// When the lock file cannot be used.
    pub fn hold(&self) -> Result<InUse, StoreError> {
        Ok(InUse { _lock: Lock::shared(&self.gc_lock())? })
    }

    /// All images, by name.
    ///
    /// # Errors
    /// When the index of the store is unreadable. A damaged image is left out.
    pub fn list(&self) -> Result<Vec<ImageSummary>, StoreError> {
        let names = self.names()?;
        let images = names.manifests.iter().filter_map(|name| match self.load(name, name.reference()?) {
            Ok(image) => Some(image),
            Err(error) => {
                tracing::warn!(%error, "image left out of the list");
                None
            }
        });
        let mut images: Vec<Image> = images.collect();
        images.sort_by(|a, b| a.reference.cmp(&b.reference));
        let mut users: HashMap<Digest, Vec<Digest>> = HashMap::new();
        for (image, layer) in
            images.iter().flat_map(|image| image.layers.iter().map(move |layer| (image, layer)))
        {
            let users = users.entry(layer.diff_id).or_default();
            if !users.contains(&image.config_digest) {
                users.push(image.config_digest);
            }
        }
        let summary = |image: Image| {
            let (mut unique_disk, mut shared_disk) = (0, 0);
            for (number, layer) in image.layers.iter().enumerate() {
                if image.layers[..number].contains(layer) {
                    continue;
                }
                let disk = fs::metadata(self.blob(&layer.diff_id)).map_or(0, |file| file.blocks() * 512);
                *(if users[&layer.diff_id].len() > 1 { &mut shared_disk } else { &mut unique_disk }) += disk;
            }
            ImageSummary {
                size: image.size(),
                layers: image.layers.len(),
                reference: image.reference,
                manifest: image.manifest,
                config_digest: image.config_digest,
                created: image.created,
                unique_disk,
                shared_disk,
            }
        };
        Ok(images.into_iter().map(summary).collect())
    }

    /// The image of this name, complete.
    ///
    /// # Errors
    /// When the name is there but what it leads to is missing or damaged.
    pub fn find(&self, reference: &Reference) -> Result<Option<Image>, StoreError> {
        let names = self.names()?;
        let name = names.manifests.iter().find(|name| name.is(reference));
        name.map(|name| self.load(name, reference.clone())).transpose()
    }

    /// Removes a name, and tells whether it was there. The space comes free with [`Store::prune`].
    ///
    /// # Errors
    /// When the index of the store cannot be read or written.
    pub fn remove(&self, reference: &Reference) -> Result<bool, StoreError> {
        self.edit(|names| {
            let before = names.manifests.len();
            names.manifests.retain(|name| !name.is(reference));
            names.manifests.len() < before
        })
    }

    /// Gives an image of the store another name, which may have been another image's before.
    ///
    /// # Errors
    /// When the image is gone, or the index of the store cannot be read or written.
    pub fn tag(&self, image: &Image, reference: &Reference) -> Result<Image, StoreError> {
        let _hold = self.hold()?;
        let path = self.blob(&image.manifest);
        let size =
            fs::metadata(&path).map_err(|_| StoreError::NotFound(image.reference.clone().into()))?.len();
        self.name(reference, Blob { digest: image.manifest, size }, image.source)?;
        Ok(Image { reference: reference.clone(), ..image.clone() })
    }

    /// Makes a complete image of layers that are in the store already: its config, manifest and name.
    /// The caller holds the store ([`Store::hold`]).
    ///
    /// # Errors
    /// When the config is malformed, does not list these layers, or cannot be written.
    pub fn assemble(
        &self,
        reference: &Reference,
        config: &[u8],
        layers: &[Layer],
    ) -> Result<Image, StoreError> {
        self.compose(reference, config, layers, None)
    }

    /// The same without a name: [`Store::prune`] removes it unless somebody notes its digests. The caller
    /// holds the store.
    ///
    /// # Errors
    /// As [`Store::assemble`]; `reference` is what they call it.
    pub fn assemble_unnamed(
        &self,
        reference: &Reference,
        config: &[u8],
        layers: &[Layer],
    ) -> Result<Image, StoreError> {
        Ok(self.build(reference, config, layers)?.0)
    }

    /// Makes a layer of what `fill` writes, which appears whole or not at all. One of the same content
    /// that is there already is as good. The caller holds the store ([`Store::hold`]).
    ///
    /// # Errors
    /// What `fill` says, or [`LayerError`].
    pub fn write_layer<E: From<LayerError>>(
        &self,
        fill: impl FnOnce(&mut LayerWriter<'_>) -> Result<(), E>,
    ) -> Result<Layer, E> {
        let (layer, _toc) = ingest::ingest_written(self, fill)?;
        files::sync_directory(&self.blobs()).map_err(LayerError::from)?;
        Ok(layer)
    }

    pub(crate) fn compose(
        &self,
        reference: &Reference,
        config: &[u8],
        layers: &[Layer],
        origin: Option<Origin>,
    ) -> Result<Image, StoreError> {
        let (image, manifest) = self.build(reference, config, layers)?;
        let source = match origin {
            Some(Origin { manifest, index }) => {
                let index = index.map(|index| self.put(&index)).transpose()?;
                Some(Source { manifest: self.put(&manifest)?, index })
            }
            None => None,
        };
        files::sync_directory(&self.blobs())?;
        self.name(reference, manifest, source)?;
        Ok(Image { source, ..image })
    }

    /// Writes the documents of an image whose layers are there.
    fn build(
        &self,
        reference: &Reference,
        config: &[u8],
        layers: &[Layer],
    ) -> Result<(Image, Blob), StoreError> {
        let config_digest = self.put(config)?;
        let parsed =
            manifest::parse_config(config).map_err(|error| damaged(&self.blob(&config_digest), error))?;
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| layer.diff_id).collect();
        if diff_ids != parsed.diff_ids {
            return Err(damaged(&self.blob(&config_digest), "it lists other layers than the image has"));
        }
        let bytes = manifest::local(Blob { digest: config_digest, size: config.len() as u64 }, layers);
        let digest = self.put(&bytes)?;
        let image = Image {
            reference: reference.clone(),
            manifest: digest,
            config_digest,
            layers: layers.to_vec(),
            config: parsed.run,
            platform: parsed.platform,
            created: parsed.created,
            source: None,
        };
        Ok((image, Blob { digest, size: bytes.len() as u64 }))
    }

    /// Stores a small document under its digest.
    pub(crate) fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        let path = self.blob(&digest);
        // A damaged one is replaced: this is how a pull repairs it.
        if fs::read(&path).is_ok_and(|old| old != bytes) {
            self.discard(&path)?;
        }
        files::publish(bytes, &path)?;
        Ok(digest)
    }

    /// Moves something out of sight and deletes it; who has it open keeps it.
    pub(crate) fn discard(&self, path: &Path) -> Result<(), FileError> {
        make_directory(&self.trash())?;
        let bin = tempfile::tempdir_in(self.trash()).map_err(FileError::at("write to", &self.trash()))?;
        match fs::rename(path, bin.path().join("x")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(FileError::at("remove", path)),
        }
    }

    fn name(&self, reference: &Reference, manifest: Blob, source: Option<Source>) -> Result<(), StoreError> {
        let mut annotations = BTreeMap::from([(REF_NAME.to_owned(), reference.to_string())]);
        if let Some(source) = source {
            annotations.insert(SOURCE_MANIFEST.to_owned(), source.manifest.to_string());
            annotations.extend(source.index.map(|index| (SOURCE_INDEX.to_owned(), index.to_string())));
        }
        let media_type = OCI_MANIFEST.to_owned();
        let rest = BTreeMap::new();
        let entry = Name { media_type, digest: manifest.digest, size: manifest.size, annotations, rest };
        self.edit(|names| {
            names.manifests.retain(|name| name.reference().as_ref() != Some(reference));
            names.manifests.push(entry);
        })
    }

    pub(crate) fn edit<T>(&self, change: impl FnOnce(&mut Names) -> T) -> Result<T, StoreError> {
        let _lock = Lock::exclusive(&self.layout().join("index.lock"), || {})?;
        let mut names = self.names()?;
        let result = change(&mut names);
        let bytes = serde_json::to_vec_pretty(&names).expect("plain JSON values serialize");
        files::replace(&bytes, &self.index())?;
        files::sync_directory(&self.layout())?;
        Ok(result)
    }

    pub(crate) fn names(&self) -> Result<Names, StoreError> {
        let path = self.index();
        let bytes = fs::read(&path).map_err(FileError::at("read", &path))?;
        serde_json::from_slice(&bytes).map_err(|error| damaged(&path, error))
    }

    pub(crate) fn load(&self, name: &Name, reference: Reference) -> Result<Image, StoreError> {
        Ok(Image { source: name.source(), ..self.read(&name.digest, reference)? })
    }

    /// The image with this manifest, complete, whatever `reference` is the name of now. Which documents
    /// it was made from is not known then.
    ///
    /// # Errors
    /// When something of it is missing or damaged.
    pub fn image(&self, manifest: &Digest, reference: Reference) -> Result<Image, StoreError> {
        self.read(manifest, reference)
    }

    fn read(&self, manifest_digest: &Digest, reference: Reference) -> Result<Image, StoreError> {
        let bytes = self.document(&reference, manifest_digest)?;
        let unfit = |digest: Digest| move |error: ManifestError| damaged(&self.blob(&digest), error);
        let Document::Manifest(manifest) = manifest::parse(&bytes).map_err(unfit(*manifest_digest))? else {
            return Err(damaged(&self.blob(manifest_digest), "it is an index"));
        };
        let config = self.document(&reference, &manifest.config.digest)?;
        let config = manifest::parse_config(&config).map_err(unfit(manifest.config.digest))?;
        let layers = manifest.layers.iter().map(|layer| Layer { diff_id: layer.digest, size: layer.size });
        let layers: Vec<Layer> = layers.collect();
        if layers.iter().map(|layer| layer.diff_id).ne(config.diff_ids.iter().copied()) {
            return Err(damaged(
                &self.blob(manifest_digest),
                "its layers are not the plain tars of its config",
            ));
        }
        for layer in &layers {
            let path = self.blob(&layer.diff_id);
            match fs::metadata(&path) {
                Ok(file) if file.len() == layer.size => {}
                Ok(_) => return Err(damaged(&path, "it has another size than the manifest says")),
                Err(_) => {
                    return Err(StoreError::Missing { reference: reference.into(), digest: layer.diff_id });
                }
            }
        }
        Ok(Image {
            reference,
            manifest: *manifest_digest,
            config_digest: manifest.config.digest,
            layers,
            config: config.run,
            platform: config.platform,
            created: config.created,
            source: None,
        })
    }

    /// Reads a small blob and checks its digest.
    pub(crate) fn document(&self, reference: &Reference, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let path = self.blob(digest);
        // Most are smaller: then one read gets all of it, and another one says that there is no more.
        let mut bytes = Vec::with_capacity(8 << 10);
        let read =
            File::open(&path).and_then(|file| file.take(manifest::DOCUMENT_MAX + 1).read_to_end(&mut bytes));
        match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(StoreError::Missing { reference: reference.clone().into(), digest: *digest })
            }
            Err(error) => Err(FileError::at("read", &path)(error).into()),
            Ok(_) if Digest::of(&bytes) != *digest => {
                Err(damaged(&path, "its content does not match its name"))
            }
            Ok(_) => Ok(bytes),
        }
    }

    /// The table of contents of a layer of the store; made again from the tar if the cache has lost it.
    /// The caller holds the store.
    ///
    /// # Errors
    /// [`LayerError`] when there is no such layer, or it cannot be read.
    pub fn toc(&self, diff_id: &Digest) -> Result<Toc, LayerError> {
        let path = self.blob(diff_id);
        let size = fs::metadata(&path).map_err(FileError::at("find the layer", &path))?.len();
        ingest::toc(self, &Layer { diff_id: *diff_id, size })
    }

    /// The OCI image layout itself, for tools that read one.
    pub fn layout(&self) -> PathBuf {
        self.home.join("store")
    }

    /// The file of a blob, whether it is there or not.
    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.layout().join("blobs/sha256")
    }

    pub(crate) fn ingest(&self) -> PathBuf {
        self.layout().join("ingest")
    }

    pub(crate) fn tocs(&self) -> PathBuf {
        self.home.join("cache/toc")
    }

    pub(crate) fn bases(&self) -> PathBuf {
        self.home.join("cache/base")
    }

    pub(crate) fn deltas(&self) -> PathBuf {
        self.home.join("cache/delta")
    }

    pub(crate) fn trees(&self) -> PathBuf {
        self.home.join("cache/tree")
    }

    pub(crate) fn trash(&self) -> PathBuf {
        self.home.join("trash")
    }

    pub(crate) fn gc_lock(&self) -> PathBuf {
        self.home.join("gc.lock")
    }

    fn index(&self) -> PathBuf {
        self.layout().join("index.json")
    }
}

pub(crate) fn damaged(path: &Path, why: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged { path: path.to_owned(), why: why.to_string() }
}
