//! Why a tar is refused.

use crate::NameError;
use std::io;

/// Why a layer could not be scanned.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The tar could not be read.
    #[error("the layer cannot be read: {0}")]
    Read(#[source] io::Error),
    /// The auxiliary part could not be written.
    #[error("the expanded part of a layer cannot be written: {0}")]
    Aux(#[source] io::Error),
    /// A member is not acceptable.
    #[error("tar member {name:?} at byte {at}: {problem}")]
    Member {
        /// Its path as far as known, with odd bytes replaced.
        name: String,
        /// Where its header starts in the tar.
        at: u64,
        /// What is wrong with it.
        problem: TarProblem,
    },
}

/// What is wrong with a member of a tar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TarProblem {
    /// The tar ends inside it, or right after a header that announces it.
    #[error("the tar ends inside it")]
    Truncated,
    /// The header is not a header, or was changed.
    #[error("the checksum of its header is wrong")]
    Checksum,
    /// There is one block of zeros, half an end marker, and then more.
    #[error("it follows a single block of zeros")]
    AfterEnd,
    /// A kind of member that does not belong into a layer.
    #[error("its type {:?} is not supported", char::from(*.0))]
    Type(u8),
    /// A number that does not parse.
    #[error("its {0} is not a number")]
    Number(&'static str),
    /// A number below zero.
    #[error("its {0} is negative")]
    Negative(&'static str),
    /// A number beyond what Linux, EROFS or the limits allow.
    #[error("its {0} is too large")]
    TooLarge(&'static str),
    /// An unacceptable path.
    #[error("its path {0}")]
    Path(NameError),
    /// An unacceptable target of a hard link.
    #[error("the path that it links to {0}")]
    LinkPath(NameError),
    /// A symbolic link without a target, or with one that no file system takes.
    #[error("its link target is empty, has a zero byte or is longer than 4095 bytes")]
    Target,
    /// Extended headers that break their own format.
    #[error("its extended header is malformed at {0:?}")]
    Extended(String),
    /// A key of an extended header, or a long name, that is given twice.
    #[error("its {0} is given twice")]
    Duplicate(String),
    /// A header for all members may not name one of them.
    #[error("a global extended header may not set {0}")]
    Global(String),
    /// A sparse map that contradicts itself or the data.
    #[error("its sparse map {0}")]
    Sparse(&'static str),
    /// More than the limits allow, in all.
    #[error("the layer is over the limit of {limit} {of}")]
    Limit {
        /// What there is too much of.
        of: &'static str,
        /// How much is allowed.
        limit: u64,
    },
}
