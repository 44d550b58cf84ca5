//! Making a layer of what the writable layer of a machine holds.

use super::SnapshotError;
use super::plan::{Item, Seen, plan};
use crate::agent::{Agent, AgentError, Changed, Fetched};
use crate::directory::Generation;
use crate::disk::is_runtime;
use crate::home::Home;
use crate::lock;
use crate::record::Record;
use crate::until::Until;
use crate::{WorkspaceError, failpoint};
use pyro_layer::{Device, LayerWriter, Member, Meta, Time, WriteError, Xattr, keeps_xattr};
use pyro_oci::{Digest, Layer, LayerError};
use pyro_protocol::{Changes, Entry, EntryKind};
use serde_bytes::ByteBuf;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

/// File whose lock is held by whoever commits: a layer is planned against the one before.
const LOCK: &str = "commit.lock";

/// Largest memory of a commit that is read back: two million names of some length.
const SEEN_MAX: u64 = 1 << 30;

/// What a writable layer was made into.
#[derive(Clone, Debug)]
pub struct Committed {
    /// All layers above the image's, lowest first: of this moment.
    pub layers: Vec<Digest>,
    /// Those of them that come from the present writable layer.
    pub committed: Vec<Digest>,
    /// The new one, if anything was new.
    pub added: Option<Layer>,
    /// What no layer can hold.
    pub skipped: Vec<String>,
}

/// One commit at a time: the right to it.
pub struct Turn {
    _lock: File,
}

impl Turn {
    /// Waits until nobody else commits this generation.
    pub fn wait(generation: &Generation) -> Result<Self, WorkspaceError> {
        let path = generation.path().join(LOCK);
        lock::wait(&path).map(|lock| Self { _lock: lock }).map_err(WorkspaceError::at(&path))
    }
}

/// Makes a layer of what is new in the writable layer. Nobody in the machine writes meanwhile. The
/// caller has its [`Turn`], holds the store, and notes the result in the record.
pub fn commit(
    home: &Home,
    generation: &Generation,
    record: &Record,
    agent: &Agent,
    until: Until<'_>,
) -> Result<Committed, SnapshotError> {
    let (known, before) = remembered(generation, &record.committed)?;
    let mut changed = agent.changes(&Changes { below: ByteBuf::new(), freeze: true }, until)?;
    let mut now = Vec::new();
    while let Some(entry) = changed.next_entry()? {
        if !is_runtime(&entry.path) {
            now.push(entry);
        }
    }
    let planned = plan(&before, &now);
    let mut committed = known.to_vec();
    let mut added = None;
    if !planned.items.is_empty() {
        let layer = home.store().write_layer(|writer| write(writer, &planned.items, &mut changed))?;
        // The same content as an earlier one: there it lies already, and in the right order.
        if committed.last() != Some(&layer.diff_id) {
            committed.push(layer.diff_id);
        }
        added = Some(layer);
    }
    // From here on the machine may go on.
    drop(changed);
    failpoint::pass("commit.layer");
    if let Some(last) = committed.last() {
        remember(generation, last, &Seen::of(&now))?;
    }
    failpoint::pass("commit.remembered");
    let skipped = planned.skipped.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect();
    let layers = record.layers.iter().chain(&committed).copied().collect();
    Ok(Committed { layers, committed, added, skipped })
}

/// Writes the members of a layer, with the content of files as the agent gives it.
fn write(
    writer: &mut LayerWriter<'_>,
    items: &[Item<'_>],
    changed: &mut Changed<'_>,
) -> Result<(), SnapshotError> {
    let paths: Vec<ByteBuf> = items.iter().filter_map(|item| file(item)).map(|it| it.path.clone()).collect();
    let mut files = changed.fetch(&paths)?;
    for item in items {
        add(writer, item, &mut files)?;
    }
    // The agent has nothing more to say.
    match files.next_entry()? {
        None => Ok(()),
        Some(entry) => Err(SnapshotError::Moving(String::from_utf8_lossy(&entry.path).into_owned())),
    }
}

/// A regular file, whose content is wanted.
fn file<'a>(item: &Item<'a>) -> Option<&'a Entry> {
    match item {
        Item::Entry(entry) if matches!(entry.kind, EntryKind::File { .. }) => Some(entry),
        _ => None,
    }
}

fn add(
    writer: &mut LayerWriter<'_>,
    item: &Item<'_>,
    files: &mut Fetched<'_, '_>,
) -> Result<(), SnapshotError> {
    let written = match *item {
        Item::Whiteout(path) => writer.add(path, &Meta::default(), Member::Whiteout),
        Item::Directory { entry, opaque } => {
            writer.add(&entry.path, &meta(entry), Member::Directory { opaque })
        }
        Item::HardLink { entry, target } => writer.add(&entry.path, &meta(entry), Member::HardLink(target)),
        Item::Entry(entry) => match &entry.kind {
            EntryKind::File { size } => {
                let found = files.next_entry()?;
                if found.is_none_or(|found| found.path != entry.path || found.stamp != entry.stamp) {
                    return Err(SnapshotError::Moving(String::from_utf8_lossy(&entry.path).into_owned()));
                }
                let mut content = files.content();
                writer.add(&entry.path, &meta(entry), Member::File { size: *size, content: &mut content })
            }
            EntryKind::Symlink(target) => writer.add(&entry.path, &meta(entry), Member::Symlink(target)),
            EntryKind::Character(major, minor) => {
                let device = Device { major: *major, minor: *minor };
                writer.add(&entry.path, &meta(entry), Member::Character(device))
            }
            EntryKind::Block(major, minor) => {
                let device = Device { major: *major, minor: *minor };
                writer.add(&entry.path, &meta(entry), Member::Block(device))
            }
            EntryKind::Fifo => writer.add(&entry.path, &meta(entry), Member::Fifo),
            EntryKind::Directory { .. } | EntryKind::Socket | EntryKind::Whiteout => {
                unreachable!("a plan has other words for these")
            }
        },
    };
    written.map_err(|error| match error {
        // It is the agent that failed, not the file.
        WriteError::Read(path, source) => match AgentError::inside(source) {
            Ok(agent) => agent.into(),
            Err(source) => LayerError::from(WriteError::Read(path, source)).into(),
        },
        error => LayerError::from(error).into(),
    })
}

fn meta(entry: &Entry) -> Meta {
    let kept = entry.xattrs.iter().filter(|(name, _)| keeps_xattr(name));
    let xattrs = kept.map(|(name, value)| Xattr { name: name.to_vec().into(), value: value.to_vec().into() });
    Meta {
        // Twelve bits, as the client has checked.
        mode: (entry.mode & 0o7777) as u16,
        uid: entry.uid,
        gid: entry.gid,
        mtime: Time { seconds: entry.mtime, nanos: entry.mtime_nanos },
        xattrs: xattrs.collect(),
    }
}

/// The earlier layers that this one can build on, and how the writable layer was at the last of them.
/// If that is lost, it builds on none: it then tells everything.
fn remembered<'a>(
    generation: &Generation,
    committed: &'a [Digest],
) -> Result<(&'a [Digest], Vec<Seen>), SnapshotError> {
    let Some(last) = committed.last() else { return Ok((&[], Vec::new())) };
    let path = seen_path(generation, last);
    let read = || -> io::Result<Vec<u8>> {
        if fs::metadata(&path)?.len() > SEEN_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        fs::read(&path)
    };
    match read() {
        Ok(bytes) => match postcard::from_bytes(&bytes) {
            Ok(seen) => Ok((committed, seen)),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "the memory of the last snapshot is damaged");
                Ok((&[], Vec::new()))
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((&[], Vec::new())),
        Err(error) => Err(WorkspaceError::at(&path)(error).into()),
    }
}

/// Keeps how the writable layer was when `layer` was made of it, instead of what was kept before.
fn remember(generation: &Generation, layer: &Digest, seen: &[Seen]) -> Result<(), SnapshotError> {
    let path = seen_path(generation, layer);
    let fresh = generation.path().join("seen.new");
    let write = || -> io::Result<()> {
        let mut out = BufWriter::new(File::create(&fresh)?);
        postcard::to_io(seen, &mut out).map_err(io::Error::other)?;
        out.flush()?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_data()?;
        fs::rename(&fresh, &path)
    };
    write().map_err(WorkspaceError::at(&path))?;
    Ok(())
}

/// Removes what is remembered of other layers than the last one, once the record names that.
pub fn forget_others(generation: &Generation, committed: &[Digest]) {
    let kept = committed.last().map(|last| seen_path(generation, last));
    for entry in fs::read_dir(generation.path()).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|it| it == "seen") && Some(&path) != kept.as_ref() {
            let _ = fs::remove_file(path);
        }
    }
}

fn seen_path(generation: &Generation, layer: &Digest) -> PathBuf {
    generation.path().join(format!("{}.seen", layer.hex()))
}
