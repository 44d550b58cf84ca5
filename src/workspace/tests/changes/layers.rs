//! Views of trees: layers as tars with their index, and the entries of a writable layer above them.

use crate::model::{Node, Tree};
use pyro_layer::{Limits, MergeError, Toc, Tree as Merged, flatten, scan, write_index};
use pyro_protocol::{Entry, EntryKind, Stamp};
use pyro_workspace::diff::{Contents, Diff, Lower, Touched, Upper, View, compare};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufWriter, Cursor, Read, Write};
use std::path::Path;

/// The tree as a tar, below `workspace/`.
pub fn tar(tree: &Tree) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let header = |path: &[u8], kind, mode, size: usize| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size as u64);
        header.set_uid(0);
        header.set_gid(0);
        let raw = &mut header.as_mut_bytes()[..100];
        raw[..path.len()].copy_from_slice(path);
        header
    };
    let mut add = |mut header: tar::Header, content: &[u8]| {
        header.set_cksum();
        builder.append(&header, content).unwrap();
    };
    add(header(b"workspace/", tar::EntryType::Directory, 0o755, 0), b"");
    for (path, node) in tree {
        let path = [b"workspace/", &path[..]].concat();
        match node {
            Node::File { content, executable } => {
                let mode = if *executable { 0o755 } else { 0o644 };
                add(header(&path, tar::EntryType::Regular, mode, content.len()), content);
            }
            Node::Symlink(target) => {
                let mut header = header(&path, tar::EntryType::Symlink, 0o777, 0);
                header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target);
                add(header, b"");
            }
        }
    }
    builder.into_inner().unwrap()
}

/// How tables of contents become a tree.
type Merge = for<'a> fn(&'a [Toc]) -> Result<Merged<'a>, MergeError>;

/// A disk of one layer, in files of `directory`.
pub fn disk(directory: &Path, tar: &[u8], merge: Merge) -> Lower {
    let tocs = [scan(tar, &Limits::default(), Cursor::new(Vec::new())).unwrap()];
    let (index, data) = (directory.join("index.erofs"), directory.join("layer.tar"));
    let mut out = BufWriter::new(File::create(&index).unwrap());
    write_index(&merge(&tocs).unwrap(), &mut out).unwrap();
    out.flush().unwrap();
    std::fs::write(&data, tar).unwrap();
    Lower::open(&[index, data]).unwrap()
}

/// The disk of an image of one layer.
pub fn lower(directory: &Path, tar: &[u8]) -> Lower {
    disk(directory, tar, flatten)
}

pub fn entry(path: &[u8], kind: EntryKind, mode: u32) -> Entry {
    Entry {
        path: path.to_vec().into(),
        kind,
        mode,
        uid: 0,
        gid: 0,
        mtime: 1,
        mtime_nanos: 0,
        xattrs: Vec::new(),
        stamp: Stamp::default(),
    }
}

/// The directories of a tree, below `workspace`.
fn directories(tree: &Tree) -> BTreeSet<Vec<u8>> {
    let slashes = |path: &Vec<u8>| {
        let at: Vec<usize> = (0..path.len()).filter(|at| path[*at] == b'/').collect();
        at.into_iter().map(|at| path[..at].to_vec()).collect::<Vec<_>>()
    };
    tree.keys().flat_map(slashes).collect()
}

/// What overlayfs would have above `old` when `new` is seen. `copied` says, for each path that is the
/// same, whether it was copied up nevertheless, and for each directory whether it was made anew.
pub fn upper(old: &Tree, new: &Tree, copied: impl Fn(&[u8]) -> bool) -> Vec<Entry> {
    let (before, after) = (directories(old), directories(new));
    let mut kinds: BTreeMap<Vec<u8>, (EntryKind, u32)> = BTreeMap::new();
    let directory = |opaque| (EntryKind::Directory { opaque }, 0o755);
    let parents = |path: &[u8]| -> Vec<Vec<u8>> {
        (0..path.len()).filter(|at| path[*at] == b'/').map(|at| path[..at].to_vec()).collect()
    };
    // One that takes the place of something else hides what was below, as one made anew does.
    let is_opaque = |path: &[u8]| before.contains(path) && after.contains(path) && copied(path);
    let hidden = |path: &[u8]| parents(path).iter().any(|parent| is_opaque(parent));
    for path in &after {
        if is_opaque(path) || !before.contains(path) || hidden(path) {
            kinds.insert(path.clone(), directory(is_opaque(path)));
        }
    }
    for (path, node) in new {
        if old.get(path) == Some(node) && !hidden(path) && !copied(path) {
            continue;
        }
        let kind = match node {
            Node::File { content, executable } => {
                (EntryKind::File { size: content.len() as u64 }, if *executable { 0o755 } else { 0o644 })
            }
            Node::Symlink(target) => (EntryKind::Symlink(target.clone().into()), 0o777),
        };
        kinds.insert(path.clone(), kind);
    }
    for path in old.keys().chain(&before) {
        let gone = !new.contains_key(path) && !after.contains(path);
        let below = parents(path).iter().all(|parent| after.contains(parent));
        if gone && below && !hidden(path) {
            kinds.insert(path.clone(), (EntryKind::Whiteout, 0));
        }
    }
    let missing: BTreeSet<Vec<u8>> = kinds.keys().flat_map(|path| parents(path)).collect();
    for path in missing {
        kinds.entry(path).or_insert(directory(false));
    }
    let root = entry(b"workspace", EntryKind::Directory { opaque: false }, 0o755);
    let below =
        kinds.into_iter().map(|(path, (kind, mode))| entry(&[b"workspace/", &path[..]].concat(), kind, mode));
    std::iter::once(root).chain(below).collect()
}

/// The files of a tree as the agent would send them.
pub struct Guest<'t>(pub &'t Tree);

impl Contents for Guest<'_> {
    fn fetch(
        &mut self,
        paths: &[Vec<u8>],
        each: &mut dyn FnMut(usize, &mut dyn Read) -> io::Result<()>,
    ) -> io::Result<()> {
        for (number, path) in paths.iter().enumerate() {
            if let Some(Node::File { content, .. }) = self.0.get(path.strip_prefix(b"workspace/").unwrap()) {
                each(number, &mut &content[..])?;
            }
        }
        Ok(())
    }
}

/// The difference, and its patch.
pub fn diff(old: &Tree, new: &Tree, copied: impl Fn(&[u8]) -> bool) -> (Diff, Vec<u8>) {
    let directory = tempfile::tempdir().unwrap();
    let open = || lower(directory.path(), &tar(old));
    let upper = Upper::new(upper(old, new, copied)).unwrap();
    let (base, now) = (View::new(None, vec![open()]), View::new(Some(upper), vec![open()]));
    let mut patch = Vec::new();
    let diff = compare(&base, &now, b"workspace", b"", Touched::default(), &mut Guest(new), Some(&mut patch))
        .unwrap();
    (diff, patch)
}
