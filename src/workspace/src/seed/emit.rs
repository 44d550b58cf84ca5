//! Writing a tree as a layer: each file whole and unchanged, or saying that it is not possible.

use super::ahead::{self, Ahead, Taken};
use super::cache::{Kept, Made};
use super::stamp::Stamp;
use super::tree::{Body, Member, Tree, changing};
use super::watched::Watched;
use super::{Owner, PREFIX, SeedError, Skipped, display};
use crate::trace;
use crate::until::Until;
use pyro_layer::{LayerWriter, Member as Written, Meta, Time, WriteError, layer_order};
use pyro_oci::{LayerError, Store};
use rustix::fs::fstat;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::thread;

/// Writes the layer of a tree that is complete, and of what `history` makes while files are read.
pub(super) fn write(
    store: &Store,
    tree: &Tree,
    owner: Owner,
    until: Until<'_>,
    history: impl FnOnce() -> Result<Vec<Member>, SeedError>,
) -> Result<Made, SeedError> {
    let (reading, files) = ahead::reading(tree, until);
    thread::scope(|scope| {
        scope.spawn(|| reading.run());
        let history = history()?;
        trace::reached("history packed");
        let (newest, skipped) = (tree.newest(), tree.skipped.clone());
        let mut emitter =
            Emitter { tree, owner, until, newest, files, entries: 0, bytes: 0, skipped, exact: true };
        let layer = store.write_layer(|writer| emitter.write(writer, &history))?;
        let Emitter { entries, bytes, skipped, exact, .. } = emitter;
        Ok(Made { kept: Kept { layer, entries, bytes, skipped }, exact })
    })
}

/// The time of what git made at `now` of files of which `newest` is the newest: later than theirs, since git
/// trusts an index for what is older than itself, and the same whenever it is made, so that a checkout is one
/// layer.
fn made_at(newest: Time, now: Time) -> Time {
    // Some builds of git see whole seconds. In that of the newest file a guest cannot write any more.
    if now.seconds > newest.seconds || newest.nanos == 999_999_999 {
        return Time { seconds: newest.seconds + 1, nanos: 0 };
    }
    Time { seconds: newest.seconds, nanos: newest.nanos + 1 }
}

struct Emitter<'a> {
    tree: &'a Tree,
    owner: Owner,
    until: Until<'a>,
    /// Given to what has no time of its own.
    newest: Time,
    files: Ahead,
    entries: u64,
    bytes: u64,
    skipped: Vec<Skipped>,
    /// Whether everything was as it had been seen.
    exact: bool,
}

impl Emitter<'_> {
    fn write(&mut self, writer: &mut LayerWriter<'_>, history: &[Member]) -> Result<(), SeedError> {
        let top = self.meta(0o755, self.newest);
        writer.add(PREFIX, &top, Written::Directory { opaque: false })?;
        let mut members: Vec<&Member> = self.tree.members.iter().chain(history).collect();
        members.sort_by(|(a, _), (b, _)| layer_order(a, b));
        // Directories on the way to a repository are members of both: those of the tree stay.
        members.dedup_by(|later, first| later.0 == first.0);
        for (path, body) in members {
            let whole = [PREFIX, b"/", path].concat();
            match body {
                Body::Directory(time) => {
                    let meta = self.meta(0o755, time.unwrap_or(self.newest));
                    writer.add(&whole, &meta, Written::Directory { opaque: false })?;
                }
                Body::Bytes(bytes) => {
                    let meta = self.meta(0o644, self.newest);
                    writer.add(&whole, &meta, file(bytes.len() as u64, &mut &bytes[..]))?;
                }
                Body::Made(made) => self.copy(writer, &whole, made)?,
                Body::Found(seen) => self.found(writer, path, &whole, seen)?,
            }
        }
        if self.until.is_cancelled() { Err(SeedError::Cancelled) } else { Ok(()) }
    }

    fn meta(&self, mode: u16, mtime: Time) -> Meta {
        Meta { mode, uid: self.owner.uid, gid: self.owner.gid, mtime, xattrs: Vec::new() }
    }

    /// A file that git made.
    fn copy(&self, writer: &mut LayerWriter<'_>, whole: &[u8], made: &Path) -> Result<(), SeedError> {
        let failed = |error: io::Error| super::cache::failed(made)(error);
        let mut file = File::open(made).map_err(failed)?;
        let stamp = Stamp::of(&fstat(&file).map_err(|error| failed(error.into()))?);
        let meta = self.meta(0o644, made_at(self.newest, stamp.modified));
        Ok(writer.add(whole, &meta, self::file(stamp.size, &mut file))?)
    }

    fn found(
        &mut self,
        writer: &mut LayerWriter<'_>,
        path: &[u8],
        whole: &[u8],
        seen: &Stamp,
    ) -> Result<(), SeedError> {
        let taken = self.files.next().expect("the reading goes on as long as members come")?;
        let stamp = match taken {
            Taken::Skipped(why) => {
                self.skipped.push(Skipped { path: display(path), why });
                return Ok(());
            }
            Taken::Symlink(stamp, target) => {
                let meta = self.meta(0o777, stamp.modified);
                writer.add(whole, &meta, Written::Symlink(&target))?;
                stamp
            }
            Taken::Small(stamp, content) => {
                writer.add(whole, &self.file_meta(&stamp), file(stamp.size, &mut &content[..]))?;
                self.bytes += stamp.size;
                stamp
            }
            Taken::Large(stamp, open) => {
                self.large(writer, path, whole, &open, &stamp)?;
                self.bytes += stamp.size;
                stamp
            }
        };
        self.exact &= stamp == *seen;
        self.entries += 1;
        Ok(())
    }

    fn file_meta(&self, stamp: &Stamp) -> Meta {
        self.meta(if stamp.executable { 0o755 } else { 0o644 }, stamp.modified)
    }

    fn large(
        &self,
        writer: &mut LayerWriter<'_>,
        path: &[u8],
        whole: &[u8],
        open: &File,
        stamp: &Stamp,
    ) -> Result<(), SeedError> {
        let failed =
            |source| SeedError::Source { path: self.tree.directory.join(OsStr::from_bytes(path)), source };
        let mut content = Watched { input: open, until: self.until };
        match writer.add(whole, &self.file_meta(stamp), file(stamp.size, &mut content)) {
            Err(WriteError::Read(..)) if self.until.is_cancelled() => return Err(SeedError::Cancelled),
            Err(WriteError::Size { .. }) => return Err(changing(path)),
            Err(WriteError::Read(_, source)) => return Err(failed(source)),
            Err(error) => return Err(LayerError::from(error).into()),
            Ok(()) => {}
        }
        let after = Stamp::of(&fstat(open).map_err(|error| failed(error.into()))?);
        if after == *stamp { Ok(()) } else { Err(changing(path)) }
    }
}

fn file(size: u64, content: &mut dyn io::Read) -> Written<'_> {
    Written::File { size, content }
}
