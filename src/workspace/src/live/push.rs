//! Files of the host, into a running workspace.

use super::{AccessError, Live, Place};
use crate::agent::{AgentError, Editing};
use crate::patch::is_repository;
use crate::seed::{Owner, Seed, SeedError, Seeded};
use pyro_layer::{Kind, Payload, Toc};
use pyro_oci::{LayerError, StoreError, StoredLayer};
use pyro_protocol::Edit;
use std::collections::HashMap;

/// Where the files are in a seed's layer.
const PREFIX: &[u8] = b"workspace";

/// Why nothing was pushed. The workspace is as it was.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The workspace could not be asked, or did not take it.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The source.
    #[error(transparent)]
    Seed(#[from] SeedError),
    /// What was read of it cannot be read again.
    #[error(transparent)]
    Layer(#[from] LayerError),
}

impl From<AgentError> for PushError {
    fn from(error: AgentError) -> Self {
        Self::Access(error.into())
    }
}

impl From<StoreError> for PushError {
    fn from(error: StoreError) -> Self {
        Self::Access(error.into())
    }
}

/// Puts the files of `seed` into the directory `dest`, all of them or none; what is there of the same
/// name is replaced, everything else stays. Repositories (`.git`) stay behind: the workspace
/// has its own.
///
/// # Errors
/// [`PushError`].
pub fn push(live: &Live<'_>, seed: &Seed, dest: &Place) -> Result<Seeded, PushError> {
    let store = live.home.store();
    let _held = store.hold()?;
    let owner = Owner::of(live.home, &live.image()?)?;
    // As a layer it is read once and whole, and what was checked is what is sent.
    let seeded = seed.layer(live.home, owner, live.until)?;
    let layer = StoredLayer::open(store, &seeded.layer.diff_id)?;
    let mut editing = live.agent.edit(&live.edits()?, live.until)?;
    let files = Files::of(layer.toc());
    for entry in layer.toc().entries() {
        let Some(path) = entry.path.strip_prefix(PREFIX).and_then(|path| path.strip_prefix(b"/")) else {
            continue;
        };
        if is_repository(path) {
            continue;
        }
        let path = dest.join(path);
        match &entry.kind {
            Kind::Directory => editing.add(Edit::Directory { path: path.into(), mode: None })?,
            Kind::Symlink(target) => {
                editing.add(Edit::Symlink { path: path.into(), target: target.to_vec().into() })?;
            }
            Kind::File(payload) => send(&mut editing, &path, &layer, (payload, entry.meta.mode))?,
            Kind::HardLink(first) => {
                if let Some(file) = files.0.get(&**first) {
                    send(&mut editing, &path, &layer, *file)?;
                }
            }
            // A seed has none of these.
            Kind::Character(_) | Kind::Block(_) | Kind::Fifo => {}
        }
    }
    editing.commit()?;
    Ok(seeded)
}

fn send(
    editing: &mut Editing<'_>,
    path: &[u8],
    layer: &StoredLayer,
    (payload, mode): (&Payload, u16),
) -> Result<(), AgentError> {
    editing.write(path, Some(mode.into()), layer.content(payload))
}

/// Files that have other names as well, by their first one.
struct Files<'a>(HashMap<&'a [u8], (&'a Payload, u16)>);

impl<'a> Files<'a> {
    fn of(toc: &'a Toc) -> Self {
        let first = |kind: &'a Kind| if let Kind::HardLink(first) = kind { Some(&**first) } else { None };
        let mut files: HashMap<&[u8], _> =
            toc.entries().iter().filter_map(|entry| first(&entry.kind)).map(|path| (path, None)).collect();
        for entry in toc.entries() {
            if let (Kind::File(payload), Some(file)) = (&entry.kind, files.get_mut(&*entry.path)) {
                *file = Some((payload, entry.meta.mode));
            }
        }
        Self(files.into_iter().filter_map(|(path, file)| Some((path, file?))).collect())
    }
}
