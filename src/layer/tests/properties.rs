//! Random trees and random bytes: what goes in comes out, and nothing panics.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::tarball::Tarball;
use common::{disk, layers};
use erofs_rs::EroFS;
use erofs_rs::backend::SliceImage;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use pyro_layer::{
    Limits, NodeKind, Part, Payload, Time, Toc, Tree, flatten, overlay, scan, write_image, write_index,
};
use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::os::unix::fs::PermissionsExt;

/// What a path is, with mode, owner and time.
type Model = BTreeMap<String, (What, u16, u32, Time)>;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    File(Vec<u8>),
    Directory,
    Symlink(String),
    Fifo,
}

/// A tree whose parents are all directories: files live in directories named by capitals.
fn model() -> impl Strategy<Value = Model> {
    let name = "([A-C]/){0,3}[!-,a-zé]{1,60}";
    let what = prop_oneof![
        vec(any::<u8>(), 0..1500).prop_map(What::File),
        "[a-z./]{1,700}".prop_map(What::Symlink),
        Just(What::Fifo),
        Just(What::Directory),
    ];
    let time = (-3_000_000_000_i64..5_000_000_000, 0_u32..1_000_000_000);
    let entry = (what, 0_u16..0o10000, any::<u32>(), time);
    btree_map(name, entry, 0..60).prop_map(|entries| {
        let mut model = Model::new();
        for (path, (what, mode, uid, (seconds, nanos))) in entries {
            for (at, _) in path.match_indices('/') {
                model.insert(
                    path[..at].to_owned(),
                    (What::Directory, 0o700, 1, Time { seconds: 3, nanos: 0 }),
                );
            }
            let mode = if let What::Symlink(_) = what { 0o777 } else { mode };
            model.insert(path, (what, mode, uid, Time { seconds, nanos }));
        }
        model
    })
}

fn tarball(model: &Model) -> Tarball {
    model.iter().fold(Tarball::new(), |tar, (path, (what, mode, uid, mtime))| {
        // A time below zero counts its fraction downwards.
        let time = if mtime.seconds < 0 && mtime.nanos > 0 {
            format!("-{}.{:09}", -mtime.seconds - 1, 1_000_000_000 - mtime.nanos)
        } else {
            format!("{}.{:09}", mtime.seconds, mtime.nanos)
        };
        let uid = uid.to_string();
        let mut records =
            vec![("path", path.as_bytes()), ("uid", uid.as_bytes()), ("mtime", time.as_bytes())];
        if let What::Symlink(target) = what {
            records.push(("linkpath", target.as_bytes()));
        }
        let (flag, data) = match what {
            What::File(data) => (b'0', &data[..]),
            What::Directory => (b'5', &b""[..]),
            What::Symlink(_) => (b'2', &b""[..]),
            What::Fifo => (b'6', &b""[..]),
        };
        tar.pax(&records).member(flag, "overridden", data, |header| header.set_mode((*mode).into()))
    })
}

/// The model that a tree is, with the files read from their tars.
fn modelled(tree: &Tree<'_>, layers: &[common::Layer]) -> Model {
    let mut model = Model::new();
    let mut walk = tree.walk();
    while let Some(visit) = walk.next() {
        if visit.path.is_empty() {
            continue;
        }
        let what = match &visit.node.kind {
            NodeKind::Directory(_) => What::Directory,
            NodeKind::Symlink(target) => What::Symlink(String::from_utf8(target.to_vec()).unwrap()),
            NodeKind::Fifo => What::Fifo,
            NodeKind::File(content) => {
                let Payload { part, offset, size } = content.payload;
                assert_eq!(part, Part::Tar);
                What::File(layers[content.layer].tar[offset as usize..][..size as usize].to_vec())
            }
            other => panic!("{other:?}"),
        };
        let meta = visit.node.meta;
        let path = String::from_utf8(visit.path.to_vec()).unwrap();
        model.insert(path, (what, meta.mode, meta.uid, meta.mtime));
    }
    model
}

/// The model that an independent reader finds on a disk.
fn read_back(disk: &[u8]) -> Model {
    let erofs = EroFS::new(SliceImage::new(disk)).unwrap();
    let mut model = Model::new();
    for entry in erofs.walk_dir("/").unwrap() {
        let entry = entry.unwrap();
        let path = String::from_utf8(entry.dir_entry.path().into_vec()).unwrap();
        let path = path.trim_start_matches('/').to_owned();
        if path.is_empty() {
            continue;
        }
        let inode = erofs.get_inode(entry.dir_entry.nid()).unwrap();
        let (seconds, nanos) = inode.modified_unix();
        let (mode, uid) = (inode.permissions().mode() as u16 & 0o7777, inode.uid());
        let what = if inode.is_dir() {
            What::Directory
        } else if inode.is_symlink() {
            let target = erofs.read_link_inode(inode).unwrap();
            What::Symlink(String::from_utf8(target.into_vec()).unwrap())
        } else if inode.is_file() {
            let mut data = Vec::new();
            erofs.open_inode_file(inode).unwrap().read_to_end(&mut data).unwrap();
            What::File(data)
        } else {
            What::Fifo
        };
        model.insert(path, (what, mode, uid, Time { seconds, nanos }));
    }
    model
}

/// Everything that can be done with a tar, whatever it is.
fn ingest(tar: &[u8]) {
    let limits = Limits { layer_bytes: 1 << 20, expanded_bytes: 1 << 20, ..Limits::default() };
    let Ok(toc) = scan(tar, &limits, Cursor::new(Vec::new())) else { return };
    let mut bytes = Vec::new();
    toc.write_to(&mut bytes).unwrap();
    assert_eq!(Toc::read_from(&bytes[..]).unwrap(), toc);
    let layers = [toc.clone(), toc];
    for tree in [flatten(&layers), overlay(&layers)].into_iter().flatten() {
        write_index(&tree, std::io::sink()).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_tree_survives_tar_merge_and_index(model in model()) {
        let (layers, tocs) = layers(vec![tarball(&model).end()]);
        let tree = flatten(&tocs).unwrap();
        prop_assert_eq!(&modelled(&tree, &layers), &model);
        prop_assert_eq!(read_back(&disk(&tree, &layers)), model);
    }

    #[test]
    fn a_second_layer_adds_and_replaces(first in model(), second in model()) {
        // What replaces a directory must not leave anything of it.
        let mut expected = first.clone();
        for (path, entry) in &second {
            if entry.0 != What::Directory || expected.get(path).is_some_and(|(what, ..)| *what != What::Directory) {
                expected.retain(|known, _| known != path && !known.starts_with(&format!("{path}/")));
            }
            expected.insert(path.clone(), entry.clone());
        }
        let (layers, tocs) = layers(vec![tarball(&first).end(), tarball(&second).end()]);
        let tree = flatten(&tocs).unwrap();
        prop_assert_eq!(modelled(&tree, &layers), expected);
    }

    #[test]
    fn a_second_layer_of_whiteouts_leaves_nothing(model in model()) {
        let tops = model.keys().filter(|path| !path.contains('/'));
        let gone = tops.fold(Tarball::new(), |tar, path| {
            tar.pax(&[("path", format!(".wh.{path}").as_bytes())]).file("overridden", b"")
        });
        let (layers, tocs) = layers(vec![tarball(&model).end(), gone.end()]);
        prop_assert_eq!(modelled(&flatten(&tocs).unwrap(), &layers), Model::new());
    }

    #[test]
    fn an_image_holds_what_its_tar_holds(model in model()) {
        let mut image = Vec::new();
        write_image(&tarball(&model).end(), &mut image).unwrap();
        prop_assert_eq!(read_back(&image), model);
    }

    #[test]
    fn changed_bytes_never_panic(model in model(), changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut tar = tarball(&model).end();
        for (at, byte) in changes {
            let at = at.index(tar.len());
            tar[at] = byte;
        }
        ingest(&tar);
    }

    #[test]
    fn changed_headers_with_right_checksums_never_panic(
        model in model(),
        changes in vec((any::<prop::sample::Index>(), 0_usize..512, any::<u8>()), 1..8),
    ) {
        let mut tar = tarball(&model).end();
        let blocks = tar.len() / 512;
        for (block, at, byte) in changes {
            let block = &mut tar[block.index(blocks) * 512..][..512];
            block[at] = byte;
            let mut header = tar::Header::new_old();
            header.as_mut_bytes().copy_from_slice(block);
            header.set_cksum();
            block.copy_from_slice(header.as_bytes());
        }
        ingest(&tar);
    }

    #[test]
    fn any_table_of_contents_is_read_or_refused(bytes in vec(any::<u8>(), 0..300)) {
        let _ = Toc::read_from(&[&b"PYROTOC1"[..], &bytes].concat()[..]);
    }
}
