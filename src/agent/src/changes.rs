//! What the writable layer holds.

use crate::Machine;
use crate::edit::STAGING;
use crate::failure::{Named, Stop, failed, invalid, show};
use crate::files::{Beneath, Content, Links, Listing, Tree, Within, describe, kind, size};
use crate::freeze::Frozen;
use crate::upper::{AttributeReader, Upper, missing};
use crate::wire::Wire;
use pyro_protocol::{Changes, Entry, EntryKind, Failure, Input, Reply, path};
use rustix::fs::{Stat, fstat};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::AsFd;

/// Answers `changes` on `wire`, until the peer hangs up.
pub fn run(wire: &mut Wire, machine: &'static Machine, changes: &Changes) -> Result<(), Stop> {
    path::check(&changes.below).of(&changes.below)?;
    let upper = machine.upper.as_ref().ok_or_else(missing)?;
    let frozen = changes.freeze.then(|| Frozen::new(machine)).transpose()?;
    let mut teller = Teller { wire, attributes: AttributeReader::new(upper), frozen };
    teller.tell_all(upper, &changes.below)?;
    teller.serve(upper)
}

struct Teller<'a> {
    wire: &'a mut Wire,
    attributes: AttributeReader,
    frozen: Option<Frozen>,
}

impl Teller<'_> {
    /// Fails once the machine was thawed behind our back: what was told may not fit what follows.
    fn still(&self) -> Result<(), Failure> {
        self.frozen.as_ref().map_or(Ok(()), Frozen::still)
    }

    /// Describes everything at, below and on the way to `below`.
    fn tell_all(&mut self, upper: &Upper, below: &[u8]) -> Result<(), Stop> {
        let root = upper.open().of(b"/")?;
        let stat = fstat(&root).of(b"/")?;
        if let Some(entry) = self.entry(&root, c".", b"", &stat)? {
            self.wire.send(&Reply::Entry(entry))?;
        }
        let names = match within(b"", below)? {
            Within::Everything => Listing::of(&root).of(b"/")?,
            Within::Only(name) => Listing::only(&name),
        };
        Tree::of(root, names).walk(|found| {
            self.still()?;
            if found.path == STAGING {
                return Ok(None);
            }
            let Some(entry) = self.entry(found.parent, found.name, found.path, &found.stat)? else {
                return Ok(None);
            };
            let enter = matches!(entry.kind, EntryKind::Directory { .. });
            self.wire.send(&Reply::Entry(entry))?;
            if enter { within(found.path, below).map(Some) } else { Ok(None) }
        })?;
        self.still()?;
        self.wire.send(&Reply::Walked)?;
        Ok(self.wire.drain()?)
    }

    /// Answers [`Input::Fetch`] until the peer hangs up.
    fn serve(&mut self, upper: &Upper) -> Result<(), Stop> {
        let root = Beneath::of(upper.open().of(b"/")?, Links::Refuse);
        let mut content = Content::default();
        while let Some(input) = self.wire.receive(None)? {
            let Input::Fetch(paths) = input else {
                return Err(invalid("only files can be asked for now").into());
            };
            for path in &paths {
                self.fetch(&root, path, &mut content)?;
            }
            self.still()?;
            self.wire.send(&Reply::Fetched)?;
            self.wire.drain()?;
        }
        Ok(())
    }

    /// Sends one file as it is now, if it is still one.
    fn fetch(&mut self, root: &Beneath, path: &[u8], content: &mut Content) -> Result<(), Stop> {
        path::check(path).of(path)?;
        let opened = root.open_regular(path).and_then(|file| {
            let (parent, name) = root.parent(path)?;
            Ok(file.map(|(file, stat)| (file, stat, parent, name)))
        });
        let (file, stat, parent, name) = match opened {
            Ok(Some(opened)) => opened,
            Ok(None) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::INVAL) => return Ok(()),
            Err(error) => return Err(failed(path, error).into()),
        };
        match self.entry(&parent, &name, path, &stat)? {
            Some(entry) if matches!(entry.kind, EntryKind::File { .. }) => {
                self.wire.send(&Reply::Entry(entry))?;
                let frozen = self.frozen.as_ref();
                let still = || frozen.map_or(Ok(()), Frozen::still);
                content.send(self.wire, (file, path), (0, size(&stat)), still)
            }
            _ => Ok(()),
        }
    }

    /// Describes one name; `None` if it is gone by now.
    fn entry(
        &mut self,
        parent: impl AsFd,
        name: &CStr,
        path: &[u8],
        stat: &Stat,
    ) -> Result<Option<Entry>, Stop> {
        let described = self.attributes.read(&parent, name).and_then(|attributes| {
            let kind = match kind(&parent, name, stat)? {
                EntryKind::Character(0, 0) => EntryKind::Whiteout,
                EntryKind::File { size: 0 } if attributes.whiteout => EntryKind::Whiteout,
                EntryKind::Directory { .. } => EntryKind::Directory { opaque: attributes.opaque },
                kind => kind,
            };
            Ok((attributes, describe(path, kind, stat)))
        });
        match described {
            Ok((attributes, _)) if attributes.refers => {
                let path = show(path);
                Err(invalid(format!("{path}: it refers to a layer below, so this is no layer of its own"))
                    .into())
            }
            Ok((attributes, entry)) => Ok(Some(Entry { xattrs: attributes.visible, ..entry })),
            Err(Errno::NOENT | Errno::INVAL) => Ok(None),
            Err(error) => Err(failed(path, error).into()),
        }
    }
}

/// What of the directory `path` is to be described, if `below` alone is wanted.
fn within(path: &[u8], below: &[u8]) -> Result<Within, Stop> {
    if !path::is_within(below, path) || below == path {
        return Ok(Within::Everything);
    }
    let rest = below.get(path.len()..).unwrap_or_default();
    let mut components = rest.split(|&byte| byte == b'/').filter(|name| !name.is_empty());
    let name = CString::new(components.next().unwrap_or_default()).map_err(|_| invalid("a NUL byte"))?;
    Ok(Within::Only(name))
}
