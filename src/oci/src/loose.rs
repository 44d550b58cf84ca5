//! A tar that becomes no layer of the store, but whose files are wanted.

use crate::{
    LayerError, Store,
    ingest::{Expected, Written, take_in},
};
use pyro_layer::{Part, Payload, Toc};
use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt as _,
};

/// A tar on the disk of the store, decompressed and checked as a layer is. It is gone when dropped.
pub struct LooseTar(Written);

impl LooseTar {
    /// Takes a tar in, however it is compressed.
    ///
    /// # Errors
    /// [`LayerError`].
    pub fn read(store: &Store, input: impl Read + Send) -> Result<Self, LayerError> {
        Ok(Self(take_in(store, input, Expected::default())?))
    }

    /// What it holds.
    pub fn toc(&self) -> &Toc {
        &self.0.toc
    }

    /// The content of one of its files.
    pub fn content(&self, payload: &Payload) -> impl Read + '_ {
        let file = match payload.part {
            Part::Tar => &self.0.tar.file,
            Part::Aux => &self.0.aux.file,
        };
        Slice::new(file, payload)
    }
}

/// A part of a file.
pub(crate) struct Slice<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl<'a> Slice<'a> {
    pub fn new(file: &'a File, payload: &Payload) -> Self {
        Self { file, at: payload.offset, end: payload.offset + payload.size }
    }
}

impl Read for Slice<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let read = self.file.read_at(&mut buffer[..wanted], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
