//! Looks at content: drops what is equal, and writes the patch of what is not.

use super::DiffError;
use super::change::{Change, Diff, FileKind, Side, Status};
use super::compare::Pair;
use super::lower::{Extent, LowerReader};
use super::renames::{self, Renames};
use super::view::{Content, Kind, Node, View};
use crate::patch::{BINARY_MAX, Binaries, Blob, Lines, Mode, write_file, write_rename};
use sha2::{Digest as _, Sha256};
use std::io::{self, Read, Write};

/// Where the contents of the files of a writable layer come from.
pub trait Contents {
    /// Passes these files to `each` in their order, each by its number and as it is now; one that is no
    /// longer a regular file is left out. `each` need not read to the end.
    ///
    /// # Errors
    /// What reading says, and what `each` says.
    fn fetch(
        &mut self,
        paths: &[Vec<u8>],
        each: &mut dyn FnMut(usize, &mut dyn Read) -> io::Result<()>,
    ) -> io::Result<()>;
}

/// Where the patch goes; without, only its lines are counted.
pub type Sink<'s> = Option<&'s mut dyn Write>;

/// Files that are asked for at once: enough that a slow connection is always busy.
pub(super) const BATCH: usize = 512;

/// Bytes compared at once.
const CHUNK: usize = 128 << 10;

pub(super) fn settle<'v>(
    old: &'v View,
    new: &'v View,
    below: &[u8],
    pairs: Vec<Pair<'v>>,
    contents: &mut dyn Contents,
    sink: Sink<'_>,
) -> Result<Diff, DiffError> {
    let renames = renames::find((old, new), below, &pairs, contents)?;
    let wanted = |at: &usize| needs_upper(&pairs[*at]) && renames.from(*at).is_none();
    let wanted: Vec<usize> = (0..pairs.len()).filter(wanted).collect();
    let mut judge = Judge { old, new, pairs: &pairs, renames, sink, text: Vec::new(), diff: Diff::default() };
    let mut done = 0;
    for batch in wanted.chunks(BATCH) {
        let paths: Vec<Vec<u8>> = batch.iter().map(|at| path_of(below, &pairs[*at])).collect();
        let mut failed = None;
        let fetched = contents.fetch(&paths, &mut |number, reader| {
            let at = batch.get(number).copied().filter(|at| *at >= done);
            let at =
                at.ok_or_else(|| io::Error::other("files come in another order than they were asked for"))?;
            // Those between need no content of the writable layer, or have lost it.
            let between = (done..at).try_for_each(|at| judge.judge(at, None));
            done = at + 1;
            between.and_then(|()| judge.judge(at, Some(reader))).map_err(|error| {
                failed = Some(error);
                io::ErrorKind::Other.into()
            })
        });
        match failed {
            Some(error) => return Err(error),
            None => fetched.map_err(DiffError::Contents)?,
        }
    }
    (done..pairs.len()).try_for_each(|at| judge.judge(at, None))?;
    Ok(judge.diff)
}

/// Where a pair is, relative to the root.
pub(super) fn path_of(below: &[u8], pair: &Pair<'_>) -> Vec<u8> {
    let path = &pair.path[..];
    if below.is_empty() { path.to_vec() } else { [below, b"/", path].concat() }
}

pub(super) fn content_of(node: Option<&Node<'_>>) -> Option<Content> {
    match node?.kind {
        Kind::File(content) => Some(content),
        _ => None,
    }
}

pub(super) fn size_of(content: Content) -> u64 {
    match content {
        Content::Upper { size } | Content::Lower { extent: Extent { size, .. }, .. } => size,
    }
}

/// Whether the content that the writable layer has is needed. What is too large for a patch is only
/// compared, and only with something of its length.
fn needs_upper(pair: &Pair<'_>) -> bool {
    let Some(new @ Content::Upper { size }) = content_of(pair.new.as_ref()) else { return false };
    let same_size = || content_of(pair.old.as_ref()).is_some_and(|old| size_of(old) == size_of(new));
    // Of an empty file there is nothing to ask for.
    size > 0 && (size <= BINARY_MAX || same_size())
}

/// The content of one side, as far as it is at hand.
enum Loaded {
    /// There is none: no file.
    None,
    Bytes(Vec<u8>),
    /// Over [`BINARY_MAX`].
    Large,
}

impl Loaded {
    fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::None => Some(b""),
            Self::Bytes(bytes) => Some(bytes),
            Self::Large => None,
        }
    }
}

struct Judge<'p, 'v, 's> {
    old: &'v View,
    new: &'v View,
    pairs: &'p [Pair<'v>],
    renames: Renames,
    sink: Sink<'s>,
    text: Vec<u8>,
    diff: Diff,
}

impl Judge<'_, '_, '_> {
    fn judge(&mut self, at: usize, reader: Option<&mut dyn Read>) -> Result<(), DiffError> {
        let pair = &self.pairs[at];
        let (from, to) = (self.renames.from(at), self.renames.to(at));
        let Some(moved) = from.or(to) else { return self.pair(pair, reader) };
        let other = &self.pairs[moved.other];
        let mut change = Change {
            renamed_from: from.map(|_| other.path.clone()),
            renamed_to: to.map(|_| other.path.clone()),
            lines: (!moved.binary).then(Lines::default),
            binary: moved.binary,
            in_patch: true,
            ..Change::new(pair, if from.is_some() { Status::Added } else { Status::Deleted })
        };
        if moved.binary {
            let sha256 = hex::encode(moved.sha256);
            change.old.iter_mut().chain(&mut change.new).for_each(|side| side.set_digest(&sha256));
        }
        if from.is_some() {
            let mode = |node: &Option<Node<'_>>| Mode::of_file(node.as_ref().map_or(0, |node| node.mode));
            self.text.clear();
            let modes = (mode(&other.old), mode(&pair.new));
            write_rename((&other.path, &pair.path), modes, &mut self.text);
            if let Some(out) = &mut self.sink {
                out.write_all(&self.text).map_err(DiffError::Output)?;
            }
        }
        self.diff.changes.push(change);
        Ok(())
    }

    fn pair(&mut self, pair: &Pair<'_>, reader: Option<&mut dyn Read>) -> Result<(), DiffError> {
        let old = pair.old.as_ref();
        let mut new = pair.new.as_ref();
        if needs_upper(pair) && reader.is_none() {
            // It was there when the walk saw it, and is gone now.
            new = None;
        }
        if old.is_none() && new.is_none() {
            return Ok(());
        }
        let (before, after, same) = self.load(content_of(old), content_of(new), reader)?;
        let same = same
            || !matches!((&before, &after), (Loaded::Large, _) | (_, Loaded::Large))
                && same_kind(old, new)
                && before.bytes() == after.bytes()
                && target(old) == target(new);
        let Some(status) = status(old, new, same) else { return Ok(()) };
        let mut change = Change { new: new.map(Side::of), ..Change::new(pair, status) };
        if let (Some(Side { kind: FileKind::File { size, .. }, .. }), Loaded::Bytes(bytes)) =
            (&mut change.new, &after)
        {
            // It may have grown since the walk saw it.
            *size = bytes.len() as u64;
        }
        let blob = |node, loaded| {
            if same { blob(node, Some(b"")) } else { blob(node, content_or_target(node, loaded)) }
        };
        let (from, to) = (blob(old, &before), blob(new, &after));
        if from != to || !same {
            self.write(&mut change, from, to)?;
        }
        if change.binary {
            for (side, loaded) in [(&mut change.old, &before), (&mut change.new, &after)] {
                if let (Some(side), Loaded::Bytes(bytes)) = (side, loaded) {
                    side.set_digest(&hex::encode(Sha256::digest(bytes)));
                }
            }
        }
        self.diff.changes.push(change);
        Ok(())
    }

    fn write(
        &mut self,
        change: &mut Change,
        from: Option<Blob<'_>>,
        to: Option<Blob<'_>>,
    ) -> Result<(), DiffError> {
        if from.is_none() && to.is_none() {
            return Ok(());
        }
        let binaries = if self.sink.is_some() { Binaries::Whole } else { Binaries::Named };
        self.text.clear();
        change.written(write_file(&change.path, from, to, binaries, &mut self.text));
        match &mut self.sink {
            Some(out) => out.write_all(&self.text).map_err(DiffError::Output),
            None => Ok(()),
        }
    }

    /// Both contents, and whether they are known to be the same.
    fn load(
        &self,
        old: Option<Content>,
        new: Option<Content>,
        upper: Option<&mut dyn Read>,
    ) -> Result<(Loaded, Loaded, bool), DiffError> {
        let (mut before, mut after) = (self.lower(self.old, old)?, self.lower(self.new, new)?);
        let (is_base, mut nothing) = (upper.is_none(), io::empty());
        let after: &mut dyn Read = match (&mut after, upper) {
            (_, Some(upper)) => upper,
            (Some(lower), None) => lower,
            (None, None) => &mut nothing,
        };
        let before: &mut dyn Read = match &mut before {
            Some(lower) => lower,
            None => &mut io::empty(),
        };
        let failed = |error| if is_base { DiffError::Base(error) } else { DiffError::Contents(error) };
        let size = |content: Option<Content>| content.map(size_of);
        if size(old).max(size(new)) > Some(BINARY_MAX) && size(old) == size(new) {
            return Ok((Loaded::Large, Loaded::Large, equal(before, after)?));
        }
        let load = |content: Option<Content>, reader: &mut dyn Read| match content.map(size_of) {
            None => Ok(Loaded::None),
            Some(size) if size > BINARY_MAX => Ok(Loaded::Large),
            Some(_) => {
                let mut bytes = Vec::new();
                reader.take(BINARY_MAX + 1).read_to_end(&mut bytes)?;
                Ok(if bytes.len() as u64 > BINARY_MAX { Loaded::Large } else { Loaded::Bytes(bytes) })
            }
        };
        let new = load(new, after).map_err(failed)?;
        Ok((load(old, before).map_err(DiffError::Base)?, new, false))
    }

    /// A reader of what is in a layer.
    fn lower(&self, view: &View, content: Option<Content>) -> Result<Option<LowerReader>, DiffError> {
        let Some(Content::Lower { number, extent }) = content.filter(|content| size_of(*content) > 0) else {
            return Ok(None);
        };
        view.lower(number).content(extent).map(Some).map_err(DiffError::Base)
    }
}

/// Whether two contents are the same, without holding more than a piece of each.
fn equal(old: &mut dyn Read, new: &mut dyn Read) -> Result<bool, DiffError> {
    let (mut before, mut after) = (Vec::with_capacity(CHUNK), Vec::with_capacity(CHUNK));
    loop {
        before.clear();
        after.clear();
        old.take(CHUNK as u64).read_to_end(&mut before).map_err(DiffError::Base)?;
        new.take(CHUNK as u64).read_to_end(&mut after).map_err(DiffError::Contents)?;
        if before != after {
            return Ok(false);
        }
        if before.is_empty() {
            return Ok(true);
        }
    }
}

fn same_kind(old: Option<&Node<'_>>, new: Option<&Node<'_>>) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => std::mem::discriminant(&old.kind) == std::mem::discriminant(&new.kind),
        _ => false,
    }
}

/// What a link or device leads to.
fn target<'n>(node: Option<&'n Node<'_>>) -> Option<(&'n [u8], u32, u32)> {
    match &node?.kind {
        Kind::Symlink(target) => Some((target, 0, 0)),
        Kind::Character(major, minor) | Kind::Block(major, minor) => Some((b"", *major, *minor)),
        _ => None,
    }
}

/// How two things differ; `None` if they do not.
fn status(old: Option<&Node<'_>>, new: Option<&Node<'_>>, same: bool) -> Option<Status> {
    let (Some(old), Some(new)) = (old, new) else {
        return Some(if new.is_some() { Status::Added } else { Status::Deleted });
    };
    if !same_kind(Some(old), Some(new)) {
        return Some(Status::TypeChanged);
    }
    if !same {
        return Some(Status::Modified);
    }
    if old.mode != new.mode && !matches!(new.kind, Kind::Symlink(_)) {
        return Some(Status::ModeChanged);
    }
    let differs = (old.uid, old.gid) != (new.uid, new.gid) || old.xattrs != new.xattrs;
    differs.then_some(Status::MetadataChanged)
}

fn content_or_target<'a>(node: Option<&'a Node<'_>>, loaded: &'a Loaded) -> Option<&'a [u8]> {
    match node.map(|node| &node.kind) {
        Some(Kind::Symlink(target)) => Some(target),
        _ => loaded.bytes(),
    }
}

/// What git sees of a node.
fn blob<'a>(node: Option<&Node<'_>>, content: Option<&'a [u8]>) -> Option<Blob<'a>> {
    let node = node?;
    match node.kind {
        Kind::File(_) => Some(Blob { mode: Mode::of_file(node.mode), content }),
        Kind::Symlink(_) => Some(Blob { mode: Mode::Symlink, content }),
        _ => None,
    }
}
