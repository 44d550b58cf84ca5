//! The file format of a table of contents.
use super::Toc;
use std::io::{self, Read, Write};

/// Why a table of contents could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TocError {
    /// Reading failed.
    #[error("the table of contents cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It does not start as a table of this version does.
    #[error("not a table of contents of this version")]
    Version,
    /// It is not what was written.
    #[error("the table of contents is damaged: {0}")]
    Damaged(&'static str),
}

pub(super) fn write(_toc: &Toc, _out: impl Write) -> io::Result<()> {
    unimplemented!()
}

pub(super) fn read(_input: impl Read) -> Result<Toc, TocError> {
    unimplemented!()
}
