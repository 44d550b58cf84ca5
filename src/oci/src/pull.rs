//! Pulling an image from a registry.
//!
//! Layers are read in parallel; each is downloaded, hashed, decompressed, written and indexed in one
//! pass. A download that breaks off leaves `ingest/<hex>.part`, with which the next pull goes on. The
//! image's name is written when everything else is in place.

use crate::{
    Digest, DiskError, Event, FileError, Image, Layer, LayerError, ManifestError, Progress, Reference,
    RegistryConfig, RegistryError, Store, StoreError,
    files::Lock,
    ingest::{self, Expected},
    manifest::{self, Blob, Config, DOCUMENT_MAX, Document, Manifest},
    parallel,
    registry::{BlobReader, Network, Remote, Wanted},
    store::Origin,
};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write as _},
    path::PathBuf,
    sync::atomic::AtomicBool,
};

/// Most layers that are read at once, whatever the configuration says.
const CONCURRENCY_MAX: usize = 16;

/// Why an image could not be pulled. The store is as it was, except for layers that came whole and
/// partial downloads, with which the next pull goes on.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The name is one of a local image.
    #[error("{0} is an image of this store alone; there is no registry to pull it from")]
    Local(Box<Reference>),
    /// A registry did not give what was asked for.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The image is not one that can run here, or its documents are malformed.
    #[error("{reference}: {source}")]
    Manifest {
        /// The image.
        reference: Box<Reference>,
        /// What is wrong with it.
        source: ManifestError,
    },
    /// A document has other content than was promised.
    #[error("the {what} has wrong content: its digest should be {expected} but is {found}")]
    Digest {
        /// Which one.
        what: &'static str,
        /// What was promised.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// The layers do not fit together.
    #[error("the layers do not make a file system: {0}")]
    Disk(#[from] DiskError),
    /// A layer was refused.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The store could not be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<FileError> for PullError {
    fn from(error: FileError) -> Self {
        Self::Store(error.into())
    }
}

/// Pulls the image `source` into the store, where it is installed as `name` (mostly the same). What is
/// there already and intact is not transferred again; what is there and damaged is repaired.
///
/// # Errors
/// [`PullError`].
pub fn pull(
    store: &Store,
    source: &Reference,
    name: &Reference,
    config: &RegistryConfig,
    progress: &dyn Progress,
) -> Result<Image, PullError> {
    if source.is_local() {
        return Err(PullError::Local(source.clone().into()));
    }
    let _hold = store.hold()?;
    let network = Network::new(config)?;
    let mut places = network.places(source).into_iter().peekable();
    loop {
        let place = places.next().expect("the registry itself is the last place, and returns");
        let host = place.0.clone();
        progress.event(Event::Resolving { reference: source, from: &host });
        let attempt = network.open(place, progress).map_err(PullError::from).and_then(|remote| {
            let pull =
                Pull { store, reference: source, name, remote, progress, stop: AtomicBool::new(false) };
            pull.run(config.concurrency.clamp(1, CONCURRENCY_MAX))
        });
        match attempt {
            // A mirror may be down, stale or broken; our own disk is the same for all of them.
            Err(error) if places.peek().is_some() && !matches!(error, PullError::Store(_)) => {
                progress.event(Event::MirrorFailed { mirror: &host, reason: &error.to_string() });
            }
            done => return done,
        }
    }
}

struct Pull<'a> {
    store: &'a Store,
    /// What is pulled.
    reference: &'a Reference,
    /// What it is to be called here.
    name: &'a Reference,
    remote: Remote<'a>,
    progress: &'a dyn Progress,
    stop: AtomicBool,
}

/// An image as a registry describes it.
struct Resolved {
    manifest: Manifest,
    config: Config,
    config_bytes: Vec<u8>,
    origin: Origin,
}

impl Pull<'_> {
    fn run(&self, concurrency: usize) -> Result<Image, PullError> {
        let Resolved { manifest, config, config_bytes, origin } = self.resolve()?;
        let jobs: Vec<_> = manifest.layers.iter().copied().zip(config.diff_ids.iter().copied()).collect();
        let bytes = manifest.layers.iter().map(|layer| layer.size).sum();
        self.progress.event(Event::Resolved { layers: jobs.len(), bytes });
        let layers = self.layers(&jobs, concurrency)?;
        self.store.disk_of(&layers)?;
        Ok(self.store.compose(self.name, &config_bytes, &layers, Some(origin))?)
    }

    fn resolve(&self) -> Result<Resolved, PullError> {
        let unfit = |source| PullError::Manifest { reference: self.reference.clone().into(), source };
        let wanted = match self.reference.digest() {
            Some(digest) => Wanted::Digest(digest),
            None => Wanted::Tag(self.reference.tag().expect("a reference has a tag or a digest")),
        };
        let mut bytes = self.remote.manifest(wanted)?;
        let mut index = None;
        let mut document = manifest::parse(&bytes).map_err(unfit)?;
        if let Document::Index(entries) = &document {
            let chosen = manifest::blob(entries.choose().map_err(unfit)?).map_err(unfit)?;
            let chosen = self.remote.manifest(Wanted::Digest(chosen.digest))?;
            index = Some(std::mem::replace(&mut bytes, chosen));
            document = manifest::parse(&bytes).map_err(unfit)?;
        }
        let Document::Manifest(manifest) = document else {
            return Err(unfit(ManifestError::Malformed("index", "it leads to another index".into())));
        };
        let config_bytes = self.config(&manifest.config)?;
        let config = manifest::parse_config(&config_bytes).map_err(unfit)?;
        config.agrees_with(&manifest).map_err(unfit)?;
        let origin = Origin { manifest: bytes, index };
        Ok(Resolved { manifest, config, config_bytes, origin })
    }

    fn config(&self, blob: &Blob) -> Result<Vec<u8>, PullError> {
        let mut bytes = Vec::new();
        let reader = self.remote.blob(*blob, 0, &self.stop);
        reader.take(DOCUMENT_MAX).read_to_end(&mut bytes).map_err(registry_error)?;
        let found = Digest::of(&bytes);
        if found != blob.digest {
            return Err(PullError::Digest { what: "config", expected: blob.digest, found });
        }
        Ok(bytes)
    }

    /// Brings all layers into the store, several at once.
    fn layers(&self, jobs: &[(Blob, Digest)], concurrency: usize) -> Result<Vec<Layer>, PullError> {
        let distinct = jobs.iter().enumerate().filter(|(at, job)| jobs[..*at].iter().all(|it| it.1 != job.1));
        let distinct: Vec<_> = distinct.map(|(_, job)| *job).collect();
        let done =
            parallel::map(&distinct, concurrency, &self.stop, |(blob, diff_id)| self.layer(*blob, *diff_id))?;
        let find = |diff_id: &Digest| done.iter().find(|layer| layer.diff_id == *diff_id).copied();
        Ok(jobs.iter().map(|(_, diff_id)| find(diff_id).expect("every distinct layer is done")).collect())
    }

    fn layer(&self, blob: Blob, diff_id: Digest) -> Result<Layer, PullError> {
        if let Some(layer) = self.present(blob, diff_id)? {
            return Ok(layer);
        }
        let hex = blob.digest.hex();
        let lock = self.store.ingest().join(format!("{hex}.lock"));
        let _lock = Lock::passing(&lock, || self.progress.event(Event::Waiting(blob.digest)))?;
        if let Some(layer) = self.present(blob, diff_id)? {
            return Ok(layer);
        }
        // It may be there and damaged.
        self.store.discard(&self.store.blob(&diff_id))?;
        let part = self.store.ingest().join(format!("{hex}.part"));
        match self.download(blob, diff_id, &part) {
            // What an earlier process left was not what it seemed: all over, once.
            Err((error, resumed)) if resumed && is_content(&error) => {
                self.download(blob, diff_id, &part).map_err(|(error, _)| error)
            }
            done => done.map_err(|(error, _)| error),
        }
    }

    fn present(&self, blob: Blob, diff_id: Digest) -> Result<Option<Layer>, PullError> {
        if !ingest::is_intact(self.store, &diff_id)? {
            return Ok(None);
        }
        let path = self.store.blob(&diff_id);
        let size = fs::metadata(&path).map_err(FileError::at("read", &path))?.len();
        self.progress.event(Event::Present(blob.digest));
        Ok(Some(Layer { diff_id, size }))
    }

    /// One download. The error comes with whether part of the bytes were there before.
    fn download(&self, blob: Blob, diff_id: Digest, path: &PathBuf) -> Result<Layer, (PullError, bool)> {
        let mut reader = PartReader::open(self, blob, path).map_err(|error| (error.into(), false))?;
        let resumed = reader.kept > 0;
        let expected = Expected { blob: Some(blob), diff_id: Some(diff_id) };
        let result = ingest::ingest(self.store, &mut reader, expected);
        let result = result.map_err(|error| match error {
            LayerError::Read(_, error) => registry_error(error),
            other => PullError::Layer(other),
        });
        // Only a broken connection leaves something that is worth going on with.
        let broken = matches!(&result, Err(PullError::Registry(error)) if error.may_pass() || matches!(error, RegistryError::Stopped));
        if !broken || fs::metadata(path).is_ok_and(|part| part.len() == 0) {
            fs::remove_file(path).map_err(|error| (FileError::at("remove", path)(error).into(), resumed))?;
        }
        let (layer, _) = result.map_err(|error| (error, resumed))?;
        self.progress.event(Event::Stored(blob.digest));
        Ok(layer)
    }
}

/// Whether the bytes themselves were wrong.
fn is_content(error: &PullError) -> bool {
    matches!(
        error,
        PullError::Layer(
            LayerError::Digest { .. }
                | LayerError::DiffId { .. }
                | LayerError::Compression(..)
                | LayerError::Tar(..)
        )
    )
}

/// What went wrong while reading through a chain of readers.
fn registry_error(error: io::Error) -> PullError {
    match error.downcast::<RegistryError>() {
        Ok(error) => error.into(),
        Err(error) => match error.downcast::<FileError>() {
            Ok(error) => error.into(),
            Err(error) => LayerError::Read("of the image".into(), error).into(),
        },
    }
}

/// A layer's bytes: first those of an earlier download, then the registry's, which are kept as well.
struct PartReader<'a> {
    file: File,
    path: PathBuf,
    kept: u64,
    done: u64,
    blob: Blob,
    rest: BlobReader<'a>,
    progress: &'a dyn Progress,
}

impl<'a> PartReader<'a> {
    fn open(pull: &'a Pull<'_>, blob: Blob, path: &PathBuf) -> Result<Self, FileError> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(FileError::at("open", path))?;
        let mut kept = file.metadata().map_err(FileError::at("read", path))?.len();
        if kept > blob.size {
            file.set_len(0).map_err(FileError::at("write", path))?;
            kept = 0;
        }
        if kept > 0 {
            pull.progress.event(Event::Resumed { layer: blob.digest, bytes: kept });
        }
        let rest = pull.remote.blob(blob, kept, &pull.stop);
        Ok(Self { file, path: path.clone(), kept, done: 0, blob, rest, progress: pull.progress })
    }
}

impl Read for PartReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = if self.done < self.kept {
            let wanted = buffer.len().min((self.kept - self.done).try_into().unwrap_or(usize::MAX));
            self.file.read(&mut buffer[..wanted])?
        } else {
            let read = self.rest.read(buffer)?;
            let kept = self.file.write_all(&buffer[..read]);
            kept.map_err(|error| io::Error::other(FileError::at("write", &self.path)(error)))?;
            read
        };
        self.done += read as u64;
        self.progress.event(Event::Layer { layer: self.blob.digest, done: self.done, total: self.blob.size });
        Ok(read)
    }
}
