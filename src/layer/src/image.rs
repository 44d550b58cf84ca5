//! A self-contained EROFS image of a small tar.
use crate::{ErofsError, MergeError, TarError};
use std::io::{self, Write};

/// Why an image cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The tar was refused.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// Its contents do not make a tree.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// The index failed.
    #[error(transparent)]
    Erofs(#[from] ErofsError),
    /// Writing failed.
    #[error("the image cannot be written: {0}")]
    Write(#[from] io::Error),
}

/// Writes a raw EROFS image of the contents of `tar`: an index, then the data.
///
/// # Errors
/// [`ImageError`].
pub fn write_image(_tar: &[u8], _out: impl Write) -> Result<(), ImageError> {
    unimplemented!()
}
