//! What a workspace has changed, onto a directory of the host.

use super::Live;
use super::changes::{ChangesError, diff};
use super::patch::{Carry, Patched};
use crate::diff::Diff;
use crate::patch::{HostError, HostTree, Misfit, PATCH_MAX, ParseError, Patch, display_path};
use std::io::{self, Write};
use std::path::Path;

/// Why changes were not applied. The directory is as it was, unless it is [`HostError::Torn`].
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// It cannot be said what has changed.
    #[error(transparent)]
    Changes(#[from] ChangesError),
    /// There are changes that no patch can have.
    #[error("{} cannot be applied: over 32 MiB, or no patch that git knows", .0.join(", "))]
    LeftOut(Vec<String>),
    /// There is too much.
    #[error("the changes are a patch of over {} MiB", PATCH_MAX >> 20)]
    TooMuch,
    /// Our own patch cannot be read, which must not be.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// Files of the directory have changed otherwise.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// The directory.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// What was applied, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// What the workspace has changed.
    pub diff: Diff,
    /// File by file.
    pub patched: Patched,
}

/// Applies what the workspace has changed to the directory `to`, all of it or nothing.
///
/// # Errors
/// [`ApplyError`].
pub fn apply(live: &Live<'_>, to: &Path, carry: Carry) -> Result<Applied, ApplyError> {
    // First: who names a directory that is not there need not wait.
    let tree = HostTree::open(to)?;
    if carry == Carry::Out {
        tree.recover()?;
    }
    let mut text = Bounded(Vec::new());
    let diff = match diff(live, None, b"", Some(&mut text)) {
        Err(ChangesError::Diff(crate::diff::DiffError::Output(_))) => return Err(ApplyError::TooMuch),
        other => other?,
    };
    let left_out: Vec<String> = diff.left_out().map(|change| display_path(&change.path)).collect();
    if !left_out.is_empty() {
        return Err(ApplyError::LeftOut(left_out));
    }
    if text.0.is_empty() {
        return Ok(Applied { diff, patched: Patched::default() });
    }
    let patch = Patch::parse(&text.0)?;
    let mut failed = None;
    let edits = patch.apply(|path| {
        tree.read(path).unwrap_or_else(|error| {
            failed.get_or_insert(error);
            None
        })
    });
    if let Some(error) = failed {
        return Err(error.into());
    }
    let edits = tree.clear(edits?)?;
    if carry == Carry::Out {
        tree.apply(&edits)?;
    }
    Ok(Applied { patched: Patched::of(&patch), diff })
}

/// As much as can be parsed again.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > PATCH_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
