//! Merging the tables of a chain of layers into one tree.
use crate::{Toc, Tree};

/// Why layers cannot be merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// A hard link to nothing.
    #[error("layer {layer}: {path:?} is a hard link to {target:?}, which does not exist")]
    LinkTarget {
        /// Number of the layer, from 0.
        layer: usize,
        /// The link.
        path: String,
        /// Its target.
        target: String,
    },
}

/// Merges layers, lowest first, as an image is: whiteouts take effect and are gone.
///
/// # Errors
/// [`MergeError`] names layer and path.
pub fn flatten(_layers: &[Toc]) -> Result<Tree<'_>, MergeError> {
    unimplemented!()
}

/// Merges layers, lowest first, as one lower layer of overlayfs: whiteouts stay.
///
/// # Errors
/// [`MergeError`] names layer and path.
pub fn overlay(_layers: &[Toc]) -> Result<Tree<'_>, MergeError> {
    unimplemented!()
}
