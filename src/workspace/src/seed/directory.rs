//! A directory that is no checkout: all of it.

use super::cache::Key;
use super::stamp::Kind;
use super::tree::{Body, Sight, Tree};
use super::{SeedError, Skipped, display};
use crate::home::Home;
use pyro_layer::layer_order;
use rustix::fd::AsFd as _;
use rustix::fs::{Dir, Mode, OFlags, openat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Looks at everything, and reads no content.
pub(super) fn look(path: &Path, home: &Home, mut key: Key) -> Result<(Tree, Key), SeedError> {
    let mut tree = Tree::open(path)?;
    tree.leave_out(home.path());
    let mut open = vec![Vec::new()];
    while let Some(directory) = open.pop() {
        let names = match names(&tree, &directory) {
            Ok(names) => names,
            Err(error) => {
                let (path, why) = (display(&directory), super::tree::words(error));
                tree.skipped.push(Skipped { path, why });
                continue;
            }
        };
        for (path, (), sight) in tree.look(names.into_iter().map(|name| (name, ())).collect()) {
            match sight {
                Sight::Found(stamp) if stamp.kind == Kind::Directory => {
                    tree.add(path.clone(), Body::Directory(Some(stamp.modified)));
                    open.push(path);
                }
                Sight::Found(stamp) => tree.add(path, Body::Found(stamp)),
                Sight::Absent => {}
                Sight::Skipped(why) => tree.skipped.push(Skipped { path: display(&path), why }),
            }
        }
    }
    tree.complete();
    tree.add_to(&mut key);
    Ok((tree, key))
}

/// What is in a directory, by paths in the order of layers.
fn names(tree: &Tree, directory: &[u8]) -> Result<Vec<Vec<u8>>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let name: &[u8] = if directory.is_empty() { b"." } else { directory };
    let opened = openat(tree.root.as_fd(), OsStr::from_bytes(name), flags, Mode::empty())?;
    let mut paths = Vec::new();
    for entry in Dir::new(opened)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            let slash: &[u8] = if directory.is_empty() { b"" } else { b"/" };
            paths.push([directory, slash, name].concat());
        }
    }
    paths.sort_by(|a, b| layer_order(a, b));
    Ok(paths)
}
