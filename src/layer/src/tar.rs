//! The strict reader of layer tars.
use crate::{Limits, Toc};
use std::io::{self, Read, Seek, Write};

/// Why a tar was refused.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The tar could not be read.
    #[error("the layer cannot be read: {0}")]
    Read(io::Error),
    /// The auxiliary part could not be written.
    #[error("the expanded part of a layer cannot be written: {0}")]
    Aux(io::Error),
    /// A member is not acceptable.
    #[error("layer member {name:?}: {problem}")]
    Member {
        /// Its path, with odd bytes replaced.
        name: String,
        /// What is wrong with it.
        problem: TarProblem,
    },
}

/// What is wrong with a member of a tar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TarProblem {
    /// The tar ends inside it.
    #[error("the tar ends inside it")]
    Truncated,
}

/// Reads `tar` to its very end, so that whoever reads along sees every byte.
///
/// The payloads of sparse members are expanded into `aux`, which must be empty and is written from
/// its start; holes are left by seeking.
///
/// # Errors
/// [`TarError`] names the member and the reason.
pub fn scan<R: Read, A: Write + Seek>(_tar: R, _limits: &Limits, _aux: A) -> Result<Toc, TarError> {
    unimplemented!()
}
