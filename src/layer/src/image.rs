//! A self-contained EROFS image of a small tar.

use crate::{ErofsError, Limits, MergeError, Source, TarError, flatten, scan, write_index};
use std::io::{self, Cursor, Write};

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

/// Writes the contents of `tar` to `out` as one raw EROFS image: an index, then the data.
///
/// # Errors
/// [`ImageError`].
pub fn write_image(tar: &[u8], mut out: impl Write) -> Result<(), ImageError> {
    let mut aux = Cursor::new(Vec::new());
    // Holes of sparse files become memory here: no more of them than there is tar.
    let limits = Limits { expanded_bytes: tar.len() as u64, ..Limits::default() };
    let layers = [scan(tar, &limits, &mut aux)?];
    let disk = write_index(&flatten(&layers)?, &mut out)?;
    for extent in disk.extents {
        let bytes = match extent.source {
            Source::Index => continue,
            Source::Tar(_) => tar,
            Source::Aux(_) => aux.get_ref(),
        };
        out.write_all(&bytes[..extent.sectors as usize * 512])?;
    }
    Ok(())
}
