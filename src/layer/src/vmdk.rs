//! VMDK descriptors: many files as one disk.

/// Why a descriptor cannot be written.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum VmdkError {
    /// A descriptor cannot quote this name.
    #[error("{0:?} cannot be named in a VMDK descriptor")]
    Name(String),
    /// Readers disagree about empty extents.
    #[error("extent {0} of a VMDK descriptor is empty")]
    Empty(usize),
}

/// A part of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VmdkExtent<'a> {
    /// The first `sectors` sectors of 512 bytes of the file `name`.
    Flat {
        /// Name of the file, relative to the descriptor.
        name: &'a str,
        /// Sectors of 512 bytes.
        sectors: u64,
    },
    /// Zeros.
    Zero {
        /// Sectors of 512 bytes.
        sectors: u64,
    },
}

/// A read-only descriptor of these extents, in this order.
///
/// # Errors
/// [`VmdkError`].
pub fn descriptor(_extents: &[VmdkExtent<'_>]) -> Result<String, VmdkError> {
    unimplemented!()
}
