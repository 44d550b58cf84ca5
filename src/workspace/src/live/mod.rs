//! What is done with the files of a workspace whose machine runs: one function for each operation,
//! the same for every front end.
//!
//! Each works on `/workspace` alone, with paths that are a [`Place`]; each ends when the [`Until`] of its
//! [`Live`] says so, and leaves then what it found. What comes from the machine is hostile.

mod apply;
mod changes;
mod files;
mod patch;
mod place;

pub use apply::{Applied, ApplyError, apply};
pub use changes::{Base, ChangesError, diff};
pub use files::{FileContent, FileEntry, Listing, list, read, write};
pub use patch::{Carry, PatchError, Patched, PatchedFile, patch};
pub use place::{BadPlace, Place, WORKSPACE};

use crate::agent::{Agent, AgentError};
use crate::directory::Directory;
use crate::home::Home;
use crate::lifecycle::{LifecycleError, running};
use crate::record::Record;
use crate::supervisor::image;
use crate::until::Until;
use pyro_oci::{Image, StoreError};
use pyro_protocol::Edits;

/// A workspace whose machine runs, for the time of one operation: that is activity of it.
#[derive(Debug)]
pub struct Live<'a> {
    home: &'a Home,
    directory: Directory,
    record: Record,
    agent: Agent,
    until: Until<'a>,
}

/// Why a workspace could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Its agent.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The image that it was made from.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<'a> Live<'a> {
    /// Nothing is asked of the machine yet.
    ///
    /// # Errors
    /// When it does not run, as far as is recorded.
    pub fn open(home: &'a Home, directory: &Directory, until: Until<'a>) -> Result<Self, LifecycleError> {
        let record = running(directory)?;
        directory.touch();
        let agent = Agent::at(&directory.run_dir());
        Ok(Self { home, directory: directory.clone(), record, agent, until })
    }

    /// Where it is.
    #[must_use]
    pub const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// What was recorded of it at the beginning.
    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.record
    }

    fn image(&self) -> Result<Image, StoreError> {
        image(self.home, &self.record)
    }

    /// Changes of files that belong to the image's user.
    fn edits(&self) -> Result<Edits, AccessError> {
        Ok(Edits { beneath: WORKSPACE.as_bytes().to_vec().into(), user: self.image()?.config.user })
    }
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        self.directory.touch();
    }
}
