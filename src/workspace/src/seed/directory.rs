//! A directory that is no checkout: all of it. Repositories in it come without what only this host should know.

use super::cache::Key;
use super::checkout;
use super::stamp::Kind;
use super::tree::{Body, Sight, Tree};
use super::{SeedError, Skipped, display};
use crate::home::Home;
use pyro_layer::layer_order;
use rustix::fd::AsFd as _;
use rustix::fs::{AtFlags, Dir, Mode, OFlags, openat, statat};
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
                Sight::Found(stamp) if configures_a_repository(&tree, &path) => {
                    key.add_file(&path, &stamp);
                    match checkout::configuration(&tree.directory.join(OsStr::from_bytes(&path))) {
                        Some(text) => tree.add(path, Body::Bytes(text)),
                        None => {
                            let why = "it configures a repository, and may hold logins".into();
                            tree.skipped.push(Skipped { path: display(&path), why });
                        }
                    }
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

/// Whether a file is the configuration of a repository, of which git knows the directory by these three.
fn configures_a_repository(tree: &Tree, path: &[u8]) -> bool {
    let is_there = |directory: &[u8], name: &[u8]| {
        let sibling = [directory, name].concat();
        statat(&tree.root, OsStr::from_bytes(&sibling), AtFlags::SYMLINK_NOFOLLOW).is_ok()
    };
    path.strip_suffix(b"config").is_some_and(|directory| {
        (directory.is_empty() || directory.ends_with(b"/"))
            && [&b"HEAD"[..], b"objects", b"refs"].iter().all(|name| is_there(directory, name))
    })
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
