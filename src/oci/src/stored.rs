//! A layer of the store, to be read file by file.

use crate::{Digest, FileError, LayerError, Store, loose::Slice};
use pyro_layer::{Part, Payload, Toc};
use std::{fs::File, io::Read};

/// A layer of the store. It can be read as long as this lives, even if it is pruned meanwhile.
#[derive(Debug)]
pub struct StoredLayer {
    toc: Toc,
    tar: File,
    aux: Option<File>,
}

impl StoredLayer {
    /// Opens a layer. The caller holds the store.
    ///
    /// # Errors
    /// [`LayerError`] when there is no such layer, or it cannot be read.
    pub fn open(store: &Store, diff_id: &Digest) -> Result<Self, LayerError> {
        let toc = store.toc(diff_id)?;
        let open = |path: &std::path::Path| File::open(path).map_err(FileError::at("open", path));
        let tar = open(&store.blob(diff_id))?;
        let aux = match toc.aux_bytes() {
            0 => None,
            _ => Some(open(&store.tocs().join(format!("{}.aux", diff_id.hex())))?),
        };
        Ok(Self { toc, tar, aux })
    }

    /// What it holds.
    pub const fn toc(&self) -> &Toc {
        &self.toc
    }

    /// The content of one of its files.
    pub fn content(&self, payload: &Payload) -> impl Read + '_ {
        let file = match payload.part {
            Part::Tar => &self.tar,
            Part::Aux => self.aux.as_ref().unwrap_or(&self.tar),
        };
        Slice::new(file, payload)
    }
}
