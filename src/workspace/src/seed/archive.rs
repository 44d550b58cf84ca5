//! An archive: read by the strict reader of layers, and written again below `workspace/`.

use super::cache::{Kept, Key, Made};
use super::stamp::Stamp;
use super::watched::Watched;
use super::{ArchiveError, Owner, PREFIX, SeedError, display};
use crate::until::Until;
use pyro_layer::{Kind, Member, Meta, NodeKind, Toc, flatten};
use pyro_oci::{LooseTar, Store};
use rustix::fs::{AtFlags, CWD, statat};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::Path;

/// Looks at the archive's file alone.
pub(super) fn look(path: &Path, mut key: Key) -> Result<Key, SeedError> {
    let stat = statat(CWD, path, AtFlags::empty())
        .map_err(|error| SeedError::Source { path: path.to_owned(), source: error.into() })?;
    key.add_file(b"archive", &Stamp::of(&stat));
    Ok(key)
}

/// Writes the layer.
pub(super) fn write(store: &Store, path: &Path, owner: Owner, until: Until<'_>) -> Result<Made, SeedError> {
    let written = write_again(store, path, owner, until);
    // Whatever it was that could not be read then.
    if written.is_err() && until.is_cancelled() { Err(SeedError::Cancelled) } else { written }
}

fn write_again(store: &Store, path: &Path, owner: Owner, until: Until<'_>) -> Result<Made, SeedError> {
    let refused = |source| SeedError::Archive { path: path.to_owned(), source };
    let source_error = |source| SeedError::Source { path: path.to_owned(), source };
    let file = File::open(path).map_err(source_error)?;
    let before = Stamp::of(&rustix::fs::fstat(&file).map_err(|error| source_error(error.into()))?);
    let tar =
        LooseTar::read(store, Watched { input: &file, until }).map_err(|error| refused(error.into()))?;
    let after = Stamp::of(&rustix::fs::fstat(&file).map_err(|error| source_error(error.into()))?);
    if before != after {
        return Err(SeedError::Changing(path.display().to_string()));
    }
    if tar.toc().tar_bytes() == 0 {
        return Err(source_error(io::Error::other("it is empty, and so no archive")));
    }
    check(tar.toc()).map_err(refused)?;
    let layers = std::slice::from_ref(tar.toc());
    let tree = flatten(layers).map_err(|error| refused(error.into()))?;
    let (mut entries, mut bytes) = (0, 0);
    let mut first_names: HashMap<usize, Vec<u8>> = HashMap::new();
    let layer = store.write_layer(|writer| {
        let mut walk = tree.walk();
        while let Some(visit) = walk.next() {
            let slash: &[u8] = if visit.path.is_empty() { b"" } else { b"/" };
            let whole = [PREFIX, slash, visit.path].concat();
            let mut content;
            let (member, mode) = match &visit.node.kind {
                _ if let Some(first) = first_names.get(&visit.id.index()) => (Member::HardLink(first), 0o644),
                NodeKind::Directory(_) => (Member::Directory { opaque: false }, 0o755),
                NodeKind::File(file) => {
                    let size = file.payload.size;
                    bytes += size;
                    content = Watched { input: tar.content(&file.payload), until };
                    let mode = if visit.node.meta.mode & 0o100 == 0 { 0o644 } else { 0o755 };
                    (Member::File { size, content: &mut content }, mode)
                }
                NodeKind::Symlink(target) => (Member::Symlink(target), 0o777),
                kind => unreachable!("refused before: {kind:?}"),
            };
            entries += u64::from(!matches!(visit.node.kind, NodeKind::Directory(_)));
            let (Owner { uid, gid }, mtime) = (owner, visit.node.meta.mtime);
            writer.add(&whole, &Meta { mode, uid, gid, mtime, xattrs: Vec::new() }, member)?;
            if visit.node.links > 1 && !matches!(visit.node.kind, NodeKind::Directory(_)) {
                first_names.entry(visit.id.index()).or_insert(whole);
            }
        }
        Ok::<_, SeedError>(())
    })?;
    Ok(Made { kept: Kept { layer, entries, bytes, skipped: Vec::new() }, exact: true })
}

/// Refuses members that could do more than lie in a directory.
fn check(toc: &Toc) -> Result<(), ArchiveError> {
    let (mut links, mut parents_of_members) = (HashSet::<&[u8]>::new(), HashSet::<&[u8]>::new());
    for entry in toc.entries() {
        let refuse = |why| Err(ArchiveError::Member { path: display(&entry.path), why });
        match &entry.kind {
            Kind::Character(_) | Kind::Block(_) => return refuse("is a device"),
            Kind::Fifo => return refuse("is a named pipe"),
            Kind::Symlink(_) => {
                links.insert(&entry.path);
            }
            _ => {}
        }
        if !matches!(entry.kind, Kind::Directory) && parents_of_members.contains(&*entry.path) {
            return refuse("takes the place of a directory that has members");
        }
        for (slash, _) in entry.path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            if links.contains(&entry.path[..slash]) {
                return refuse("lies behind a symbolic link");
            }
            parents_of_members.insert(&entry.path[..slash]);
        }
        if entry.path.split(|byte| *byte == b'/').any(|name| name.starts_with(b".wh.")) {
            return refuse("has a name that means in a layer that something is gone");
        }
    }
    Ok(())
}
