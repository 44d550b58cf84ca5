//! Reading part of a file.

use crate::failure::{Named, Stop, invalid, show};
use crate::files::{Beneath, Content, Links, describe, size};
use crate::wire::Wire;
use pyro_protocol::{EntryKind, Read, Reply, path};

/// Answers `read` on `wire`.
pub fn run(wire: &mut Wire, read: &Read) -> Result<(), Stop> {
    let path = read.path.as_slice();
    path::check(path).of(path)?;
    let beneath = Beneath::open(&read.beneath, Links::Follow)?;
    let opened = beneath.open_regular(path).of(path)?;
    let (file, stat) = opened.ok_or_else(|| invalid(format!("{}: it is no regular file", show(path))))?;
    let size = size(&stat);
    wire.send(&Reply::Entry(describe(path, EntryKind::File { size }, &stat)))?;
    let limit = read.limit.min(size.saturating_sub(read.offset));
    Content::default().send(wire, (file, path), (read.offset, limit), || Ok(()))?;
    wire.send(&Reply::Done)?;
    Ok(wire.drain()?)
}
