//! Images from files: OCI archives and directories, `docker save` archives, plain root file systems.

#[cfg(test)]
mod tests;

use crate::{
    Digest, DiskError, Event, FileError, Image, Layer, LayerError, ManifestError, Progress, Reference,
    ReferenceError, Store, StoreError,
    archive::{Holder, Section},
    compression::{Compression, sniff},
    ingest::{self, Expected},
    manifest::{self, Blob, DOCUMENT_MAX, Document},
    parallel,
    store::Origin,
};
use oci_spec::image::Descriptor;
use serde::Deserialize;
use std::{
    fs::File,
    io::{self, Read, Seek as _},
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

/// Layers that are read at once. More only fight for the disk.
const CONCURRENCY: usize = 4;

/// The search path of a root file system that came without any configuration: Debian's.
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a file could not be imported. The store is as it was, except for layers that came whole.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file could not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not an image in any form that is known.
    #[error("{} is not an image: {why}", .path.display())]
    NotAnImage {
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// It holds several images.
    #[error("{} holds several images ({names}); name the one to import", .path.display())]
    Ambiguous {
        /// The file or directory.
        path: PathBuf,
        /// Their names.
        names: String,
    },
    /// The image is not one that can run here, or its documents are malformed.
    #[error("{}: {source}", .path.display())]
    Manifest {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong.
        source: ManifestError,
    },
    /// A document has other content than was promised.
    #[error("the {what} has wrong content: its digest should be {expected} but is {found}")]
    Digest {
        /// Which one.
        what: &'static str,
        /// What was promised.
        expected: Digest,
        /// What is there.
        found: Digest,
    },
    /// Something is longer or shorter than the manifest says.
    #[error("{digest} is {found} bytes long, but the manifest says {expected}")]
    Size {
        /// The layer, manifest or config.
        digest: Digest,
        /// What was promised.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// The layers do not fit together.
    #[error("the layers do not make a file system: {0}")]
    Disk(#[from] DiskError),
    /// No name can be made for it.
    #[error(transparent)]
    Name(#[from] ReferenceError),
    /// A layer was refused.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The store could not be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Imports an image from a file or directory, whose form is found out. Without a name it gets the one
/// that the file gives it, or `pyro.local/<file name>`.
///
/// # Errors
/// [`ImportError`].
pub fn import(
    store: &Store,
    path: &Path,
    name: Option<&Reference>,
    progress: &dyn Progress,
) -> Result<Image, ImportError> {
    let _hold = store.hold()?;
    let import = Import { store, path, name, progress };
    if path.is_dir() {
        let holder = Holder::Directory(path.to_owned());
        if holder.has("oci-layout") && holder.has("index.json") {
            return import.oci(&holder);
        }
        return Err(import.not_an_image("the directory has no oci-layout and index.json"));
    }
    // Before it is opened: a pipe would wait for its writer, and a device might never end.
    if !path.metadata().map_err(FileError::at("open", path))?.is_file() {
        return Err(import.not_an_image("it is neither a file nor a directory"));
    }
    let mut file = File::open(path).map_err(FileError::at("open", path))?;
    let (_, compression) = sniff(&mut file).map_err(FileError::at("read", path))?;
    file.rewind().map_err(FileError::at("read", path))?;
    if compression != Compression::None {
        return import.root(file);
    }
    let again = file.try_clone().map_err(FileError::at("read", path))?;
    match Holder::archive(again) {
        Ok(holder) if holder.has("oci-layout") && holder.has("index.json") => import.oci(&holder),
        Ok(holder) if holder.has("manifest.json") => import.docker(&holder),
        // Anything else may be a root file system; the strict reader will tell.
        _ => {
            file.rewind().map_err(FileError::at("read", path))?;
            import.root(file)
        }
    }
}

struct Import<'a> {
    store: &'a Store,
    path: &'a Path,
    name: Option<&'a Reference>,
    progress: &'a dyn Progress,
}

/// A layer that is to be read, and what is known of it.
struct Job {
    member: String,
    expected: Expected,
}

/// An entry of `manifest.json` in a `docker save` archive.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl Import<'_> {
    fn oci(&self, holder: &Holder) -> Result<Image, ImportError> {
        let unfit = |source| ImportError::Manifest { path: self.path.into(), source };
        let bytes = self.read(holder, "index.json")?;
        let Document::Index(index) = manifest::parse(&bytes).map_err(unfit)? else {
            return Err(self.not_an_image("its index.json is not an index"));
        };
        let entry = self.entry(&index.entries)?;
        let chosen = match entry {
            Some(entry) => entry,
            None => index.choose().map_err(unfit)?,
        };
        let reference = self.reference(chosen)?;
        let mut blob = manifest::blob(chosen).map_err(unfit)?;
        let mut bytes = self.document(holder, "manifest", blob)?;
        let mut document = manifest::parse(&bytes).map_err(unfit)?;
        let mut outer = None;
        if let Document::Index(index) = &document {
            blob = manifest::blob(index.choose().map_err(unfit)?).map_err(unfit)?;
            let chosen = self.document(holder, "manifest", blob)?;
            outer = Some(std::mem::replace(&mut bytes, chosen));
            document = manifest::parse(&bytes).map_err(unfit)?;
        }
        let Document::Manifest(manifest) = document else {
            return Err(unfit(ManifestError::Malformed("index", "it leads to another index".into())));
        };
        let config_bytes = self.document(holder, "config", manifest.config)?;
        let config = manifest::parse_config(&config_bytes).map_err(unfit)?;
        config.agrees_with(&manifest).map_err(unfit)?;
        let origin = Origin { manifest: bytes, index: outer };
        let jobs = manifest.layers.iter().zip(&config.diff_ids).map(|(blob, diff_id)| Job {
            member: member(&blob.digest),
            expected: Expected { blob: Some(*blob), diff_id: Some(*diff_id) },
        });
        let layers = self.layers(holder, &jobs.collect::<Vec<_>>())?;
        self.store.disk_of(&layers)?;
        Ok(self.store.compose(&reference, &config_bytes, &layers, Some(origin))?)
    }

    fn docker(&self, holder: &Holder) -> Result<Image, ImportError> {
        let bytes = self.read(holder, "manifest.json")?;
        let saved: Vec<Saved> = serde_json::from_slice(&bytes)
            .map_err(|error| self.not_an_image(&format!("its manifest.json is malformed: {error}")))?;
        let tags = |image: &Saved| image.repo_tags.clone().unwrap_or_default();
        let is = |tag: &String| self.name.is_some_and(|name| tag.parse().as_ref() == Ok(name));
        let image = match &saved[..] {
            [] => return Err(self.not_an_image("its manifest.json lists no image")),
            [only] => only,
            several => match several.iter().find(|image| tags(image).iter().any(is)) {
                Some(named) => named,
                None => return Err(self.ambiguous(several.iter().flat_map(tags))),
            },
        };
        let reference = match (self.name, tags(image).first()) {
            (Some(name), _) => name.clone(),
            (None, Some(tag)) => tag.parse()?,
            (None, None) => self.local("latest")?,
        };
        let config_bytes = self.read(holder, &image.config)?;
        // The file is named by its digest; archives made by hand may name it otherwise.
        let name = image.config.rsplit('/').next().unwrap_or_default().trim_end_matches(".json");
        if let Ok(expected) = format!("sha256:{name}").parse::<Digest>() {
            check("config", expected, &config_bytes)?;
        }
        let unfit = |source| ImportError::Manifest { path: self.path.into(), source };
        let config = manifest::parse_config(&config_bytes).map_err(unfit)?;
        let (layers, diff_ids) = (image.layers.len(), config.diff_ids.len());
        if layers != diff_ids {
            return Err(unfit(ManifestError::Count { layers, diff_ids }));
        }
        let jobs = image.layers.iter().zip(&config.diff_ids).map(|(member, diff_id)| Job {
            member: member.clone(),
            expected: Expected { blob: None, diff_id: Some(*diff_id) },
        });
        let layers = self.layers(holder, &jobs.collect::<Vec<_>>())?;
        self.store.disk_of(&layers)?;
        Ok(self.store.compose(&reference, &config_bytes, &layers, None)?)
    }

    fn root(&self, file: File) -> Result<Image, ImportError> {
        let total = file.metadata().map_err(FileError::at("read", self.path))?.len();
        self.progress.event(Event::Resolved { layers: 1, bytes: total });
        let label = Digest::of(self.path.as_os_str().as_encoded_bytes());
        let input = Watched { input: file, layer: label, done: 0, total, progress: self.progress };
        let written = ingest::take_in(self.store, input, Expected::default())?;
        if written.toc.entries().is_empty() {
            let why = if total == 0 { "it is empty" } else { "it holds no files" };
            return Err(self.not_an_image(why));
        }
        let (layer, toc) = written.publish(self.store)?;
        let top = |name: &str| toc.entries().iter().any(|entry| &*entry.path == name.as_bytes());
        if top("manifest.json") || (top("oci-layout") && top("index.json")) {
            return self.unwrapped(&layer);
        }
        self.progress.event(Event::Stored(label));
        let config = serde_json::json!({
            "architecture": "amd64",
            "os": "linux",
            "config": { "Env": [DEFAULT_PATH] },
            "rootfs": { "type": "layers", "diff_ids": [layer.diff_id] },
            "history": [{ "created_by": "pyro env import" }],
        });
        let reference = self.name.cloned().map_or_else(|| self.local("latest"), Ok)?;
        let config = serde_json::to_vec(&config).expect("plain JSON values serialize");
        self.store.disk_of(&[layer])?;
        Ok(self.store.compose(&reference, &config, &[layer], None)?)
    }

    /// The layer that was just read turned out to be the archive of an image, compressed as a whole. As
    /// a blob it stays until the next prune: another image may, however oddly, have it as a layer.
    fn unwrapped(&self, layer: &Layer) -> Result<Image, ImportError> {
        let path = self.store.blob(&layer.diff_id);
        let file = File::open(&path).map_err(FileError::at("open", &path))?;
        let holder = Holder::archive(file).map_err(FileError::at("read", &path))?;
        if holder.has("oci-layout") && holder.has("index.json") {
            self.oci(&holder)
        } else {
            self.docker(&holder)
        }
    }

    /// The entry of an index that is meant; none if only platforms tell them apart.
    fn entry<'i>(&self, entries: &'i [Descriptor]) -> Result<Option<&'i Descriptor>, ImportError> {
        if let [only] = entries {
            return Ok(Some(only));
        }
        if let Some(name) = self.name {
            let is =
                |entry: &&Descriptor| given(entry).is_some_and(|given| given.parse().as_ref() == Ok(name));
            if let Some(named) = entries.iter().find(is) {
                return Ok(Some(named));
            }
        }
        let mut names: Vec<String> = entries.iter().filter_map(given).collect();
        names.sort();
        names.dedup();
        if names.len() > 1 { Err(self.ambiguous(names)) } else { Ok(None) }
    }

    fn reference(&self, entry: &Descriptor) -> Result<Reference, ImportError> {
        match (self.name, given(entry)) {
            (Some(name), _) => Ok(name.clone()),
            (None, Some(given)) if given.contains(['/', ':']) => Ok(given.parse()?),
            // Many tools write the tag alone.
            (None, Some(tag)) => self.local(&tag),
            (None, None) => self.local("latest"),
        }
    }

    /// `pyro.local/<file name>:<tag>`.
    fn local(&self, tag: &str) -> Result<Reference, ImportError> {
        let stem = self.path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let stem = [".gz", ".zst", ".tgz", ".tar", ".oci", ".docker"]
            .iter()
            .fold(&*stem, |stem, suffix| stem.strip_suffix(suffix).unwrap_or(stem));
        let words = stem.split(|char: char| !char.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let repository = words.collect::<Vec<_>>().join("-");
        Ok(Reference::local(if repository.is_empty() { "image" } else { &repository }, tag)?)
    }

    fn layers(&self, holder: &Holder, jobs: &[Job]) -> Result<Vec<Layer>, ImportError> {
        let sections = jobs.iter().map(|job| Ok((job, holder.open(&job.member)?)));
        let sections = sections.collect::<Result<Vec<_>, FileError>>()?;
        let bytes = sections.iter().map(|(_, section)| section.size()).sum();
        self.progress.event(Event::Resolved { layers: jobs.len(), bytes });
        drop(sections);
        let stop = AtomicBool::new(false);
        parallel::map(jobs, CONCURRENCY, &stop, |job| self.layer(holder.open(&job.member)?, &job.expected))
    }

    fn layer(&self, section: Section, expected: &Expected) -> Result<Layer, ImportError> {
        let diff_id = expected.diff_id.expect("every layer of an image is in its config");
        let label = expected.blob.map_or(diff_id, |blob| blob.digest);
        let path = self.store.blob(&diff_id);
        if ingest::is_intact(self.store, &diff_id)? {
            self.progress.event(Event::Present(label));
            let size = std::fs::metadata(&path).map_err(FileError::at("read", &path))?.len();
            return Ok(Layer { diff_id, size });
        }
        self.store.discard(&path)?;
        let total = section.size();
        if let Some(Blob { digest, size: expected }) = expected.blob.filter(|blob| blob.size != total) {
            return Err(ImportError::Size { digest, expected, found: total });
        }
        let input = Watched { input: section, layer: label, done: 0, total, progress: self.progress };
        let (layer, _) = ingest::ingest(self.store, input, *expected)?;
        self.progress.event(Event::Stored(label));
        Ok(layer)
    }

    fn document(&self, holder: &Holder, what: &'static str, blob: Blob) -> Result<Vec<u8>, ImportError> {
        let bytes = self.read(holder, &member(&blob.digest))?;
        check(what, blob.digest, &bytes)?;
        let found = bytes.len() as u64;
        if found != blob.size {
            return Err(ImportError::Size { digest: blob.digest, expected: blob.size, found });
        }
        Ok(bytes)
    }

    fn read(&self, holder: &Holder, name: &str) -> Result<Vec<u8>, ImportError> {
        let mut bytes = Vec::new();
        let section = holder.open(name)?;
        if section.size() > DOCUMENT_MAX {
            let source = ManifestError::TooLarge("manifest or config", section.size());
            return Err(ImportError::Manifest { path: self.path.into(), source });
        }
        section.take(DOCUMENT_MAX).read_to_end(&mut bytes).map_err(FileError::at("read", self.path))?;
        Ok(bytes)
    }

    fn not_an_image(&self, why: &str) -> ImportError {
        ImportError::NotAnImage { path: self.path.into(), why: why.into() }
    }

    fn ambiguous(&self, names: impl IntoIterator<Item = String>) -> ImportError {
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        ImportError::Ambiguous { path: self.path.into(), names }
    }
}

fn member(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn check(what: &'static str, expected: Digest, bytes: &[u8]) -> Result<(), ImportError> {
    let found = Digest::of(bytes);
    if found == expected { Ok(()) } else { Err(ImportError::Digest { what, expected, found }) }
}

/// The name that an index gives an image: docker's and containerd's full one, or the layout's own.
fn given(entry: &Descriptor) -> Option<String> {
    let annotations = entry.annotations().as_ref()?;
    let keys = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
    keys.iter().find_map(|key| annotations.get(*key)).cloned()
}

/// Tells of every byte that is read.
struct Watched<'a, R> {
    input: R,
    layer: Digest,
    done: u64,
    total: u64,
    progress: &'a dyn Progress,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.done += read as u64;
        self.progress.event(Event::Layer { layer: self.layer, done: self.done, total: self.total });
        Ok(read)
    }
}
