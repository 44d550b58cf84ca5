//! Describing a file or a tree as commands see it.

use crate::failure::{Named, Stop, failed};
use crate::files::{
    Beneath, Content, Found, Links, Listing, NAME, READ, Tree, Within, describe, is_regular, kind, size,
};
use crate::wire::Wire;
use pyro_protocol::{Depth, EntryKind, Reply, Walk, path};
use rustix::fs::{FileType, OFlags, fstat};
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// Answers `walk` on `wire`.
pub fn run(wire: &mut Wire, walk: &Walk) -> Result<(), Stop> {
    path::check(&walk.path).of(&walk.path)?;
    let beneath = Beneath::open(&walk.beneath, Links::Follow)?;
    let mut teller = Teller { wire, content: walk.content.then(Content::default) };
    if let Some(directory) = start(&beneath, walk, &mut teller).of(&walk.path)?? {
        let names = Listing::of(&directory).of(&walk.path)?;
        Tree::of(directory, names).walk(|found| {
            teller.tell(found)?;
            let enter = walk.depth == Depth::All && found.file_type() == FileType::Directory;
            Ok(enter.then_some(Within::Everything))
        })?;
    }
    wire.send(&Reply::Done)?;
    Ok(wire.drain()?)
}

/// Describes where the walk begins. Returns it if it is a directory to go through.
fn start(
    beneath: &Beneath,
    walk: &Walk,
    teller: &mut Teller<'_>,
) -> Result<Result<Option<OwnedFd>, Stop>, Errno> {
    let handle = beneath.resolve(&walk.path, NAME)?;
    let stat = fstat(&handle)?;
    let kind = kind(&handle, c"", &stat)?;
    let open = |flags| beneath.resolve(&walk.path, READ | OFlags::NOFOLLOW | flags);
    let directory = match kind {
        EntryKind::File { .. } if teller.content.is_some() => {
            let file = open(OFlags::empty())?;
            return Ok(teller.tell_file(b"", &file).map(|()| None));
        }
        EntryKind::Directory { .. } if walk.depth != Depth::Start => Some(open(OFlags::DIRECTORY)?),
        _ => None,
    };
    let sent = teller.wire.send(&Reply::Entry(describe(b"", kind, &stat)));
    Ok(sent.map(|()| directory).map_err(Stop::from))
}

/// Where descriptions go.
struct Teller<'a> {
    wire: &'a mut Wire,
    /// If content is wanted.
    content: Option<Content>,
}

impl Teller<'_> {
    /// Describes what was found, unless it is gone by now.
    fn tell(&mut self, found: &Found<'_>) -> Result<(), Stop> {
        if self.content.is_some() && found.file_type() == FileType::RegularFile {
            return match found.open(READ) {
                Ok(file) => self.tell_file(found.path, &file),
                Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => Ok(()),
                Err(error) => Err(failed(found.path, error).into()),
            };
        }
        match kind(found.parent, found.name, &found.stat) {
            Ok(kind) => Ok(self.wire.send(&Reply::Entry(describe(found.path, kind, &found.stat)))?),
            Err(Errno::NOENT | Errno::INVAL) => Ok(()),
            Err(error) => Err(failed(found.path, error).into()),
        }
    }

    /// Describes a regular file as it is when it was opened, with its content.
    fn tell_file(&mut self, path: &[u8], file: &OwnedFd) -> Result<(), Stop> {
        let stat = fstat(file).of(path)?;
        let Some(content) = self.content.as_mut().filter(|_| is_regular(&stat)) else { return Ok(()) };
        let size = size(&stat);
        self.wire.send(&Reply::Entry(describe(path, EntryKind::File { size }, &stat)))?;
        content.send(self.wire, (file, path), (0, size), || Ok(()))
    }
}
