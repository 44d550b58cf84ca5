//! The disk of an image: one EROFS index over the layers' tars, and the descriptor that joins them.

use crate::{
    Digest, FileError, Image, LayerError, Store,
    files::{self, Lock, Temp},
    ingest,
};
use pyro_layer::{
    ErofsError, Extent, MergeError, Source, Toc, VmdkError, VmdkExtent, flatten, vmdk_descriptor, write_index,
};
use std::{
    fs,
    io::{BufWriter, Write as _},
    path::PathBuf,
};

/// Part of every key in the cache: change it with every change of how an index or a tree is made.
const FORMAT: &str = "1";

/// A read-only disk with the files of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageDisk {
    /// The VMDK descriptor. It names its parts by file name alone.
    pub descriptor: PathBuf,
    /// The parts, wherever they lie: the index, the layers' tars, what had to be expanded.
    pub parts: Vec<PathBuf>,
}

/// Why an image cannot be made bootable.
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
    pub fn disk(&self, image: &Image) -> Result<ImageDisk, DiskError> {
        let key = chain(&image.diff_ids());
        let descriptor = self.bases().join(format!("{key}.vmdk"));
        if let Some(disk) = self.made(&descriptor)? {
            return Ok(disk);
        }
        let _lock = Lock::passing(&descriptor.with_extension("lock"), || {})?;
        if let Some(disk) = self.made(&descriptor)? {
            return Ok(disk);
        }
        let tocs =
            image.layers.iter().map(|layer| ingest::toc(self, layer)).collect::<Result<Vec<Toc>, _>>()?;
        let tree = flatten(&tocs)?;
        let index = descriptor.with_extension("erofs");
        self.discard(&index)?;
        self.discard(&descriptor)?;
        let temp = Temp::new(&self.bases())?;
        let mut out = BufWriter::new(&temp.file);
        let disk = write_index(&tree, &mut out)?;
        out.flush().map_err(FileError::at("write", &index))?;
        drop(out);
        temp.publish(&index)?;
        let names: Vec<String> = disk.extents.iter().map(|extent| part(image, &key, extent)).collect();
        let extents = names.iter().zip(&disk.extents);
        let extents: Vec<_> =
            extents.map(|(name, it)| VmdkExtent::Flat { name, sectors: it.sectors }).collect();
        // Last: a descriptor promises that its index is whole.
        files::publish(vmdk_descriptor(&extents)?.as_bytes(), &descriptor)?;
        let parts = names.iter().map(|name| self.part(name)).collect();
        Ok(ImageDisk { descriptor, parts })
    }

    /// The disk, if it was made before and nothing of it is gone.
    fn made(&self, descriptor: &std::path::Path) -> Result<Option<ImageDisk>, FileError> {
        let text = match fs::read_to_string(descriptor) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(FileError::at("read", descriptor)(error)),
        };
        // Extent lines are `RDONLY sectors FLAT "name" 0`.
        let names =
            text.lines().filter(|line| line.starts_with("RDONLY ")).filter_map(|line| line.split('"').nth(1));
        let parts: Vec<PathBuf> = names.map(|name| self.part(name)).collect();
        let whole = !parts.is_empty() && parts.iter().all(|part| part.is_file());
        Ok(whole.then(|| ImageDisk { descriptor: descriptor.to_owned(), parts }))
    }

    fn part(&self, name: &str) -> PathBuf {
        match name.rsplit_once('.') {
            Some((_, "erofs")) => self.bases().join(name),
            Some((_, "aux")) => self.tocs().join(name),
            _ => self.blobs().join(name),
        }
    }
}

fn part(image: &Image, key: &str, extent: &Extent) -> String {
    match extent.source {
        Source::Index => format!("{key}.erofs"),
        Source::Tar(layer) => image.layers[layer].diff_id.hex(),
        Source::Aux(layer) => format!("{}.aux", image.layers[layer].diff_id.hex()),
    }
}
