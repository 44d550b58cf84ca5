//! An index, mounted by the kernel, holds what GNU tar unpacks from the same layers.
//!
//! Needs root, for devices, owners and the mount. Without it the tests say so and stop;
//! `properties.rs` checks the same format with an independent reader.
#![expect(clippy::disallowed_types, reason = "the test compares with real directories")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::tarball::Tarball;
use common::{disk, layers};
use pyro_layer::{flatten, overlay};
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A directory for one test, or nothing without root.
fn stage() -> Option<tempfile::TempDir> {
    if rustix::process::geteuid().is_root() {
        return Some(tempfile::tempdir().unwrap());
    }
    let _ = writeln!(std::io::stderr(), "SKIPPED: only root can mount and make devices");
    None
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A disk mounted for as long as this lives.
struct Mounted(PathBuf);

impl Mounted {
    fn new(stage: &Path, disk: &[u8]) -> Self {
        let (image, point) = (stage.join("disk"), stage.join("mounted"));
        fs::write(&image, disk).unwrap();
        fs::create_dir(&point).unwrap();
        run("mount", &["-t", "erofs", "-o", "loop,ro", image.to_str().unwrap(), point.to_str().unwrap()]);
        Self(point)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run("umount", &[self.0.to_str().unwrap()]);
    }
}

/// All that can be seen of one name.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, i64),
    links: u64,
    device: u64,
    /// Size, digest or target.
    content: String,
    /// The first name of the same inode.
    same_as: PathBuf,
    xattrs: BTreeMap<String, Vec<u8>>,
}

fn see(root: &Path) -> BTreeMap<PathBuf, Seen> {
    let mut seen = BTreeMap::new();
    let mut first = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(root).unwrap().to_owned();
        let content = if meta.is_symlink() {
            fs::read_link(&path).unwrap().to_str().unwrap().to_owned()
        } else if meta.is_file() {
            format!("{} {:x?}", meta.len(), Sha256::digest(fs::read(&path).unwrap()))
        } else {
            String::new()
        };
        if meta.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let inode: &mut PathBuf = first.entry(meta.ino()).or_insert_with(|| name.clone());
        *inode = name.clone().min(inode.clone());
        seen.insert(
            name,
            Seen {
                mode: meta.mode(),
                owner: (meta.uid(), meta.gid()),
                mtime: (meta.mtime(), meta.mtime_nsec()),
                links: meta.nlink(),
                device: meta.rdev(),
                content,
                same_as: PathBuf::from(meta.ino().to_string()),
                xattrs: xattrs(&path),
            },
        );
    }
    for entry in seen.values_mut() {
        let inode: u64 = entry.same_as.to_str().unwrap().parse().unwrap();
        entry.same_as = first[&inode].clone();
    }
    seen
}

fn xattrs(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0; 65_536];
    let length = rustix::fs::llistxattr(path, &mut names).unwrap();
    let names = String::from_utf8(names[..length].to_vec()).unwrap();
    let names = names.split_terminator('\0').filter(|name| *name != "security.selinux");
    names
        .map(|name| {
            let mut value = vec![0; 65_536];
            let length = rustix::fs::lgetxattr(path, name, &mut value).unwrap();
            (name.to_owned(), value[..length].to_vec())
        })
        .collect()
}

fn same(mounted: &Path, unpacked: &Path) {
    let (mounted, unpacked) = (see(mounted), see(unpacked));
    assert_eq!(mounted.keys().collect::<Vec<_>>(), unpacked.keys().collect::<Vec<_>>());
    for (path, entry) in &mounted {
        assert_eq!(entry, &unpacked[path], "{}", path.display());
    }
}

fn touch(path: &Path, seconds: i64, nanos: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

/// A directory with one of everything.
fn everything(root: &Path) {
    let make = |name: &str, content: &[u8]| {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    };
    let file = make("a/file", b"content");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o4751)).unwrap();
    fs::hard_link(&file, root.join("a/link")).unwrap();
    fs::hard_link(&file, root.join("z-link")).unwrap();
    let capable = make("a/capable", &[7; 5000]);
    set_xattr(&capable, "security.capability", b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    set_xattr(&capable, "trusted.some", b"line\nline\0");
    let attributes = make("a/attributes", b"");
    for number in 0..40 {
        set_xattr(&attributes, &format!("user.number-{number}"), &vec![number; usize::from(number)]);
    }
    set_xattr(&root.join("a"), "user.of.directory", b"");
    fs::create_dir(root.join("acl")).unwrap();
    set_xattr(&root.join("acl"), "system.posix_acl_default", &acl());
    set_xattr(&root.join("acl"), "system.posix_acl_access", &acl());
    for length in [1, 100, 447, 448, 449, 511, 512, 513, 1024, 4000] {
        symlink("t".repeat(length), root.join(format!("symlink-{length}"))).unwrap();
    }
    let device = |name: &str, kind, major, minor| {
        let mode = Mode::from_raw_mode(0o640);
        rustix::fs::mknodat(CWD, root.join(name), kind, mode, rustix::fs::makedev(major, minor)).unwrap();
    };
    device("null", FileType::CharacterDevice, 1, 3);
    device("large", FileType::BlockDevice, 4095, 1_048_575);
    device("fifo", FileType::Fifo, 0, 0);
    for number in 0..700 {
        make(&format!("many/{number}-{}", "n".repeat(number % 240)), number.to_string().as_bytes());
    }
    for name in ["odd/!", "odd/+", "odd/-", "odd/...", "odd/ä", "odd/new\nline", "odd/\"quoted\" \\"] {
        make(name, name.as_bytes());
    }
    make(&format!("long/{}/{}", "l".repeat(200), "n".repeat(255)), b"deep");
    fs::create_dir(root.join("empty")).unwrap();
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(3_000_000).unwrap();
    rustix::io::pwrite(&sparse, b"in the middle", 1_500_001).unwrap();
    lchown(&file, Some(70_000), Some(4_000_000_000)).unwrap();
    lchown(root.join("symlink-1"), Some(12), Some(13)).unwrap();
    touch(&file, 1_000_000_000, 123_456_789);
    touch(&root.join("symlink-100"), 1, 1);
    touch(&root.join("empty"), 4_102_444_800, 999_999_999);
    touch(&capable, -5, 250_000_000);
}

/// Default entries for owner, group, others, and a user.
fn acl() -> Vec<u8> {
    let entries: [(u16, u16, u32); 5] =
        [(0x01, 7, !0), (0x02, 5, 1000), (0x04, 5, !0), (0x10, 7, !0), (0x20, 0, !0)];
    let mut value = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        value.extend_from_slice(&tag.to_le_bytes());
        value.extend_from_slice(&permissions.to_le_bytes());
        value.extend_from_slice(&id.to_le_bytes());
    }
    value
}

fn pack(directory: &Path, arguments: &[&str]) -> Vec<u8> {
    let tar = directory.with_extension("tar");
    let mut all = vec!["-cf", tar.to_str().unwrap(), "-C", directory.to_str().unwrap()];
    all.extend(arguments);
    all.push(".");
    run("tar", &all);
    fs::read(tar).unwrap()
}

fn unpack(stage: &Path, target: &Path, tar: &[u8]) {
    let file = stage.join("layer.tar");
    fs::write(&file, tar).unwrap();
    fs::create_dir_all(target).unwrap();
    let (file, target) = (file.to_str().unwrap(), target.to_str().unwrap());
    run("tar", &["-xpf", file, "-C", target, "--same-owner", "--xattrs", "--xattrs-include=*"]);
}

/// GNU tar's formats, and whether each can tell times and attributes exactly.
fn formats() -> [&'static [&'static str]; 5] {
    [
        &["--format=pax", "--xattrs", "--xattrs-include=*"],
        &["--format=pax", "--xattrs", "--xattrs-include=*", "--sparse", "--sparse-version=0.0"],
        &["--format=pax", "--xattrs", "--xattrs-include=*", "--sparse", "--sparse-version=0.1"],
        &["--format=pax", "--xattrs", "--xattrs-include=*", "--sparse", "--sparse-version=1.0"],
        &["--format=gnu", "--sparse"],
    ]
}

#[test]
fn one_layer_of_everything_in_every_format() {
    for format in formats() {
        let Some(stage) = stage() else { return };
        let stage = stage.path();
        fs::create_dir(stage.join("tree")).unwrap();
        everything(&stage.join("tree"));
        let tar = pack(&stage.join("tree"), format);
        unpack(stage, &stage.join("unpacked"), &tar);
        let (parts, tocs) = layers(vec![tar]);
        let mounted = Mounted::new(stage, &disk(&flatten(&tocs).unwrap(), &parts));
        same(&mounted.0, &stage.join("unpacked"));
    }
}

#[test]
fn layers_over_each_other() {
    let Some(stage) = stage() else { return };
    let stage = stage.path();
    let target = stage.join("unpacked");
    fs::create_dir(stage.join("tree")).unwrap();
    everything(&stage.join("tree"));
    let first = pack(&stage.join("tree"), formats()[0]);
    let second = Tarball::new()
        .dir("many/")
        .file("many/new", b"of the second layer")
        .file("a/file", b"replaced in one of three places")
        .link("odd/link", "a/capable")
        .file(".wh.long", b"")
        .file("empty/.wh.nothing", b"")
        .dir("odd/")
        .file("odd/.wh..wh..opq", b"");
    let third = Tarball::new().dir("long/").file("long/again", b"1").symlink("sparse", "a").end();
    unpack(stage, &target, &first);
    fs::remove_dir_all(target.join("long")).unwrap();
    fs::remove_dir_all(target.join("odd")).unwrap();
    unpack(stage, &target, &second.clone().end());
    for whiteout in [".wh.long", "empty/.wh.nothing", "odd/.wh..wh..opq"] {
        fs::remove_file(target.join(whiteout)).unwrap();
    }
    unpack(stage, &target, &third);
    // Unpacking changed the time of a directory that the second layer does not describe.
    let before = fs::metadata(stage.join("tree/empty")).unwrap();
    touch(&target.join("empty"), before.mtime(), before.mtime_nsec());
    let before = fs::metadata(stage.join("tree/a")).unwrap();
    touch(&target.join("a"), before.mtime(), before.mtime_nsec());
    let before = fs::metadata(stage.join("tree")).unwrap();
    touch(&target, before.mtime(), before.mtime_nsec());
    touch(&target.join("odd"), 0, 0);
    let (parts, tocs) = layers(vec![first, second.end(), third]);
    let mounted = Mounted::new(stage, &disk(&flatten(&tocs).unwrap(), &parts));
    same(&mounted.0, &target);
}

#[test]
fn an_overlay_index_hides_what_lies_below() {
    let Some(stage) = stage() else { return };
    let stage = stage.path();
    let lower = stage.join("lower");
    for path in ["keep/f", "gone/f", "opaque/f", "replaced/f"] {
        fs::create_dir_all(lower.join(path).parent().unwrap()).unwrap();
        fs::write(lower.join(path), path).unwrap();
    }
    let first = Tarball::new().file(".wh.gone", b"").dir("opaque").file("opaque/.wh..wh..opq", b"");
    let second = Tarball::new().file("opaque/new", b"new").file("replaced", b"a file");
    let (parts, tocs) = layers(vec![first.end(), second.end()]);
    let delta = Mounted::new(stage, &disk(&overlay(&tocs).unwrap(), &parts));
    let whole = stage.join("whole");
    fs::create_dir(&whole).unwrap();
    let options = format!("lowerdir={}:{}", delta.0.display(), lower.display());
    run("mount", &["-t", "overlay", "-o", &options, "overlay", whole.to_str().unwrap()]);
    let names: Vec<PathBuf> = see(&whole).into_keys().collect();
    run("umount", &[whole.to_str().unwrap()]);
    let expected = ["", "keep", "keep/f", "opaque", "opaque/new", "replaced"];
    assert_eq!(names, expected.map(PathBuf::from));
}

#[test]
fn a_file_of_more_than_four_gigabytes() {
    let Some(stage) = stage() else { return };
    let stage = stage.path();
    let keys: &[(&str, &[u8])] = &[("GNU.sparse.size", b"5000000001"), ("GNU.sparse.map", b"4999999999,2")];
    let tar = Tarball::new().pax(keys).file("huge", b"!?").file("after", b"after").end();
    let aux = fs::File::create_new(stage.join("aux")).unwrap();
    let toc = pyro_layer::scan(&tar[..], &pyro_layer::Limits::default(), &aux).unwrap();
    let tocs = [toc];
    let tree = flatten(&tocs).unwrap();
    let image = stage.join("disk");
    let mut out = fs::File::create_new(&image).unwrap();
    let disk = pyro_layer::write_index(&tree, &mut out).unwrap();
    out.write_all(&tar[..disk.extents[1].sectors as usize * 512]).unwrap();
    drop(out);
    // The rest of the disk is the auxiliary part: a hole, and its last sectors.
    let sectors: u64 = disk.extents.iter().map(|extent| extent.sectors).sum();
    let out = fs::OpenOptions::new().write(true).open(&image).unwrap();
    let mut last = [0; 1024];
    let at = aux.metadata().unwrap().len() - 1024;
    assert_eq!(rustix::io::pread(fs::File::open(stage.join("aux")).unwrap(), &mut last, at).unwrap(), 1024);
    assert_eq!(rustix::io::pwrite(&out, &last, sectors * 512 - 1024).unwrap(), 1024);
    let point = stage.join("mounted");
    fs::create_dir(&point).unwrap();
    run("mount", &["-t", "erofs", "-o", "loop,ro", image.to_str().unwrap(), point.to_str().unwrap()]);
    let mounted = Mounted(point);
    let huge = fs::File::open(mounted.0.join("huge")).unwrap();
    assert_eq!(huge.metadata().unwrap().len(), 5_000_000_001);
    let mut end = [0; 4];
    assert_eq!(rustix::io::pread(&huge, &mut end, 4_999_999_998).unwrap(), 3);
    assert_eq!(&end, b"\0!?\0");
    assert_eq!(fs::read(mounted.0.join("after")).unwrap(), b"after");
}
