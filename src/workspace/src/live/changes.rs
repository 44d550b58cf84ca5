//! What a workspace has changed.

use super::{AccessError, Live};
use crate::agent::{AgentError, Changed};
use crate::diff::{Contents, Diff, DiffError, Lower, Sink, Touched, Upper, View, compare};
use crate::id::Name;
use pyro_oci::{Digest, DiskError, Image, LayerError, Store, StoreError};
use pyro_protocol::Changes;
use serde_bytes::ByteBuf;
use std::io::{self, Read};

/// Where the files are, relative to the root.
const BELOW: &[u8] = b"workspace";

/// What a workspace is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base<'n> {
    /// What it was made of: image and seed.
    Baseline,
    /// A snapshot of it.
    Snapshot(&'n Name),
}

/// Why it cannot be said what a workspace has changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangesError {
    /// It could not be asked.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// It has no such snapshot.
    #[error("there is no snapshot {0}")]
    NoSnapshot(Name),
    /// The index of its layers cannot be made.
    #[error("the layers cannot be laid out: {0}")]
    Disk(#[from] DiskError),
    /// A layer cannot be read.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The comparison.
    #[error(transparent)]
    Diff(DiffError),
}

impl From<AgentError> for ChangesError {
    fn from(error: AgentError) -> Self {
        Self::Access(error.into())
    }
}

impl From<StoreError> for ChangesError {
    fn from(error: StoreError) -> Self {
        Self::Access(error.into())
    }
}

/// Of the contents from the agent, the agent's errors are told as such.
impl From<DiffError> for ChangesError {
    fn from(error: DiffError) -> Self {
        match error {
            DiffError::Contents(error) => match AgentError::inside(error) {
                Ok(error) => error.into(),
                Err(error) => Self::Diff(DiffError::Contents(error)),
            },
            error => Self::Diff(error),
        }
    }
}

/// Compares what is in `/workspace` with what was there, at and below `within`; the patch goes to
/// `sink`. Paths are relative to `/workspace`.
///
/// # Errors
/// [`ChangesError`].
pub fn diff(live: &Live<'_>, base: Base<'_>, within: &[u8], sink: Sink<'_>) -> Result<Diff, ChangesError> {
    let store = live.home.store();
    // Tars are opened when their content is wanted.
    let _held = store.hold()?;
    let image = live.image()?;
    let before = match base {
        Base::Baseline => live.record.baseline.clone(),
        Base::Snapshot(name) => {
            let found = live.record.snapshots.iter().find(|snapshot| snapshot.name == *name);
            found.ok_or_else(|| ChangesError::NoSnapshot(name.clone()))?.layers.clone()
        }
    };
    let now = &live.record.layers;
    let mut touched = Touched::default();
    let shared = before.iter().zip(now).take_while(|(a, b)| a == b).count();
    for layer in before[shared..].iter().chain(&now[shared..]) {
        touched.add_layer(&store.toc(layer)?);
    }
    let changes = Changes { below: BELOW.to_vec().into(), freeze: false };
    let mut changed = live.agent.changes(&changes, live.until)?;
    let mut entries = Vec::new();
    while let Some(entry) = changed.next_entry()? {
        entries.push(entry);
    }
    let old = View::new(None, lowers(store, &image, &before)?);
    let new = View::new(Some(Upper::new(entries)?), lowers(store, &image, now)?);
    let mut contents = Guest(changed);
    Ok(compare(&old, &new, BELOW, within, touched, &mut contents, sink)?)
}

/// The disks of an image and of the layers above it, the topmost first.
fn lowers(store: &Store, image: &Image, layers: &[Digest]) -> Result<Vec<Lower>, ChangesError> {
    let above = if layers.is_empty() { None } else { Some(store.delta(layers)?) };
    let disks = above.into_iter().chain([store.disk(image)?]);
    Ok(disks.map(|disk| Lower::open(&disk.parts)).collect::<Result<_, _>>().map_err(DiffError::from)?)
}

/// The writable layer's files, from its agent.
struct Guest<'a>(Changed<'a>);

impl Contents for Guest<'_> {
    fn fetch(
        &mut self,
        paths: &[Vec<u8>],
        each: &mut dyn FnMut(usize, &mut dyn Read) -> io::Result<()>,
    ) -> io::Result<()> {
        let wanted: Vec<ByteBuf> = paths.iter().cloned().map(ByteBuf::from).collect();
        let mut fetched = self.0.fetch(&wanted).map_err(io::Error::other)?;
        let mut next = 0;
        while let Some(entry) = fetched.next_entry().map_err(io::Error::other)? {
            // They come in the order in which they were asked for.
            let skipped = wanted[next..].iter().take_while(|path| **path != entry.path).count();
            next += skipped + 1;
            each(next - 1, &mut fetched.content())?;
        }
        Ok(())
    }
}
