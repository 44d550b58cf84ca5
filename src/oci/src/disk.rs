//! Disks of layers: one EROFS index over the layers' tars, and the descriptor that joins them.
//!
//! The layers of an image become one disk in which whiteouts have taken effect. Those that are put on
//! top of an image (a seed, snapshots) become a second one, in which they are still there: the two are
//! lower layers of one overlay, so what comes on top costs nothing of what is below.

use crate::{
    Digest, FileError, Image, Layer, LayerError, Store,
    files::{self, Lock, Temp},
    ingest,
};
use pyro_layer::{
    ErofsError, Extent, MergeError, Source, Toc, Tree, VmdkError, VmdkExtent, flatten, overlay,
    vmdk_descriptor, write_index,
};
use std::{
    fs,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
};

/// Part of every key in the cache: change it with every change of how an index or a tree is made.
const FORMAT: &str = "1";

/// How tables of contents become a tree.
pub(crate) type Merge = for<'a> fn(&'a [Toc]) -> Result<Tree<'a>, MergeError>;

/// A read-only disk with the files of layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerDisk {
    /// The VMDK descriptor. It names its parts by file name alone.
    pub descriptor: PathBuf,
    /// The parts, wherever they lie: the index, the layers' tars, what had to be expanded.
    pub parts: Vec<PathBuf>,
}

/// Why layers cannot be made a disk.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// A file of the state directory could not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// A layer in the store cannot be read.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The layers contradict each other.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// The index cannot be written.
    #[error(transparent)]
    Index(#[from] ErofsError),
    /// The descriptor cannot be written.
    #[error(transparent)]
    Descriptor(#[from] VmdkError),
}

/// The key of what the cache derives from layers: the same layers, the same key.
pub(crate) fn chain(diff_ids: &[Digest]) -> String {
    let mut text = FORMAT.to_owned();
    for diff_id in diff_ids {
        text.push('\n');
        text.push_str(&diff_id.hex());
    }
    Digest::of(text.as_bytes()).hex()
}

impl Store {
    /// The disk of an image, made when it is wanted first. The caller holds the store.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn disk(&self, image: &Image) -> Result<LayerDisk, DiskError> {
        self.disk_of(&image.layers)
    }

    /// The same of layers that are no image yet: those that do not fit together never become one.
    pub(crate) fn disk_of(&self, layers: &[Layer]) -> Result<LayerDisk, DiskError> {
        self.joined(&self.bases(), layers, flatten)
    }

    /// The disk of layers that lie above an image, lowest first, as a lower layer of overlayfs above
    /// the image's: whiteouts and opaque directories are in it. Made when it is wanted first. The
    /// caller holds the store.
    ///
    /// Only for layers that this program wrote: those of others link to what is below them.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn delta(&self, diff_ids: &[Digest]) -> Result<LayerDisk, DiskError> {
        self.joined(&self.deltas(), &self.layers(diff_ids)?, overlay)
    }

    /// Layers of the store.
    pub(crate) fn layers(&self, diff_ids: &[Digest]) -> Result<Vec<Layer>, FileError> {
        let layer = |diff_id: &Digest| {
            let path = self.blob(diff_id);
            let size = fs::metadata(&path).map_err(FileError::at("find the layer", &path))?.len();
            Ok(Layer { diff_id: *diff_id, size })
        };
        diff_ids.iter().map(layer).collect()
    }

    /// Their tables of contents.
    pub(crate) fn tables(&self, layers: &[Layer]) -> Result<Vec<Toc>, LayerError> {
        layers.iter().map(|layer| ingest::toc(self, layer)).collect()
    }

    /// The disk of `layers` in `directory`.
    fn joined(&self, directory: &Path, layers: &[Layer], merge: Merge) -> Result<LayerDisk, DiskError> {
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| layer.diff_id).collect();
        let key = chain(&diff_ids);
        let descriptor = directory.join(format!("{key}.vmdk"));
        if let Some(disk) = self.made(&descriptor)? {
            return Ok(disk);
        }
        let _lock = Lock::passing(&descriptor.with_extension("lock"), || {})?;
        if let Some(disk) = self.made(&descriptor)? {
            return Ok(disk);
        }
        let tocs = self.tables(layers)?;
        let tree = merge(&tocs)?;
        let index = descriptor.with_extension("erofs");
        self.discard(&index)?;
        self.discard(&descriptor)?;
        let temp = Temp::new(directory)?;
        let mut out = BufWriter::new(&temp.file);
        let disk = write_index(&tree, &mut out)?;
        out.flush().map_err(FileError::at("write", &index))?;
        drop(out);
        temp.publish(&index)?;
        let names: Vec<String> = disk.extents.iter().map(|extent| part(layers, &key, extent)).collect();
        let extents = names.iter().zip(&disk.extents);
        let extents: Vec<_> =
            extents.map(|(name, it)| VmdkExtent::Flat { name, sectors: it.sectors }).collect();
        // Last: a descriptor promises that its index is whole.
        files::publish(vmdk_descriptor(&extents)?.as_bytes(), &descriptor)?;
        let parts = names.iter().map(|name| self.part(directory, name)).collect();
        Ok(LayerDisk { descriptor, parts })
    }

    /// The disk, if it was made before and nothing of it is gone.
    pub(crate) fn made(&self, descriptor: &Path) -> Result<Option<LayerDisk>, FileError> {
        let text = match fs::read_to_string(descriptor) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(FileError::at("read", descriptor)(error)),
        };
        // Extent lines are `RDONLY sectors FLAT "name" 0`.
        let names =
            text.lines().filter(|line| line.starts_with("RDONLY ")).filter_map(|line| line.split('"').nth(1));
        let directory = descriptor.parent().unwrap_or(Path::new("/"));
        let parts: Vec<PathBuf> = names.map(|name| self.part(directory, name)).collect();
        let whole = !parts.is_empty() && parts.iter().all(|part| part.is_file());
        Ok(whole.then(|| LayerDisk { descriptor: descriptor.to_owned(), parts }))
    }

    fn part(&self, directory: &Path, name: &str) -> PathBuf {
        match name.rsplit_once('.') {
            Some((_, "erofs")) => directory.join(name),
            Some((_, "aux")) => self.tocs().join(name),
            _ => self.blobs().join(name),
        }
    }
}

fn part(layers: &[Layer], key: &str, extent: &Extent) -> String {
    match extent.source {
        Source::Index => format!("{key}.erofs"),
        Source::Tar(layer) => layers[layer].diff_id.hex(),
        Source::Aux(layer) => format!("{}.aux", layers[layer].diff_id.hex()),
    }
}
