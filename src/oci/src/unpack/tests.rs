use crate::{Image, Silent, Store, import};
use rustix::process::geteuid;
use std::{
    fs,
    os::unix::fs::{MetadataExt as _, symlink},
    path::{Path, PathBuf},
};
use tar::{EntryType, Header};

/// An image whose links lead outside, with everything else that a tree can have but devices.
fn image(work: &Path) -> (Store, Image) {
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |name: &str, kind: EntryType, mode: u32, link: &str, bytes: &[u8]| {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(12);
        header.set_gid(34);
        header.set_mtime(1_000_000_000);
        header.set_size(bytes.len() as u64);
        if link.is_empty() {
            archive.append_data(&mut header, name, bytes).unwrap();
        } else {
            archive.append_link(&mut header, name, link).unwrap();
        }
    };
    add("closed", EntryType::Directory, 0o500, "", b"");
    add("closed/su", EntryType::Regular, 0o4755, "", b"program");
    add("closed-too", EntryType::Regular, 0o600, "", b"");
    add("other", EntryType::Link, 0, "closed/su", b"");
    add("out", EntryType::Symlink, 0o777, "/", b"");
    add("out/escape", EntryType::Regular, 0o644, "", b"stays inside");
    add("pipe", EntryType::Fifo, 0o640, "", b"");
    let big: Vec<u8> = (0..700_000_u32).map(|byte| (byte % 251) as u8).collect();
    add("big", EntryType::Regular, 0o444, "", &big);
    let file = work.join("image.tar");
    fs::write(&file, archive.into_inner().unwrap()).unwrap();
    let store = Store::open(&work.join("home")).unwrap();
    let image = import(&store, &file, None, &Silent).unwrap();
    (store, image)
}

fn names(tree: &Path) -> Vec<PathBuf> {
    let entries =
        walkdir::WalkDir::new(tree).sort_by_file_name().into_iter().map(|entry| entry.unwrap().into_path());
    entries.map(|path| path.strip_prefix(tree).unwrap().to_owned()).skip(1).collect()
}

#[test]
fn a_tree_has_what_the_image_has() {
    let work = tempfile::tempdir().unwrap();
    let (store, image) = image(work.path());
    let tree = store.tree(&image).unwrap();
    let expected = ["big", "closed", "closed/su", "closed-too", "escape", "other", "out", "pipe"];
    assert_eq!(names(&tree), expected.map(PathBuf::from));
    let of = |name: &str| tree.join(name).symlink_metadata().unwrap();
    assert_eq!(of("closed/su").mode() & 0o7777, 0o4755);
    assert_eq!(of("closed/su").ino(), of("other").ino());
    assert_eq!(of("big").mode() & 0o7777, 0o444);
    assert_eq!(of("pipe").mode() & 0o7777, 0o640);
    assert_eq!(fs::read_link(tree.join("out")).unwrap(), Path::new("/"));
    assert_eq!(fs::read(tree.join("escape")).unwrap(), b"stays inside");
    let big = fs::read(tree.join("big")).unwrap();
    assert!(big.len() == 700_000 && big.iter().zip(0_u32..).all(|(byte, at)| u32::from(*byte) == at % 251));
    for name in expected {
        assert_eq!(of(name).mtime(), 1_000_000_000, "{name}");
        let owner = if geteuid().is_root() { (12, 34) } else { (geteuid().as_raw(), of("").gid()) };
        assert_eq!((of(name).uid(), of(name).gid()), owner, "{name}");
    }
    let closed = if geteuid().is_root() { 0o500 } else { 0o700 };
    assert_eq!(of("closed").mode() & 0o7777, closed);
}

#[test]
fn what_a_crash_left_is_not_taken_for_a_tree() {
    let work = tempfile::tempdir().unwrap();
    let (store, image) = image(work.path());
    let tree = store.tree(&image).unwrap();
    let wanted = names(&tree);
    let left = tree.with_extension("new");
    fs::rename(&tree, &left).unwrap();
    fs::remove_file(left.join("big")).unwrap();
    symlink("/", left.join("stale")).unwrap();
    assert_eq!(names(&store.tree(&image).unwrap()), wanted);
    assert!(!left.exists());
}
