//! One image, four readers: umoci, our tree, our index mounted by the kernel, a tar of it all.

use super::support::{
    home::Home,
    layout::{Layout, Packing},
    run, skopeo,
};
use pyro_oci::{Digest, Image, LayerDisk, Silent, Store, import};
use rustix::{
    io::Errno,
    mount::{UnmountFlags, unmount},
    process::geteuid,
};
use std::{
    collections::HashMap,
    env,
    fs::{self, File, Metadata},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};
use tempfile::TempDir;
use walkdir::WalkDir;

/// Everything about a tree that matters, a line for each name. Nothing that depends on where it is.
pub fn listing(root: &Path) -> Vec<String> {
    let mut first_names: HashMap<u64, PathBuf> = HashMap::new();
    let entries = WalkDir::new(root).sort_by_file_name().into_iter().map(Result::unwrap);
    let mut lines: Vec<String> = entries
        .map(|entry| {
            let path = entry.path();
            let name = path.strip_prefix(root).unwrap().to_owned();
            let meta = fs::symlink_metadata(path).unwrap();
            let first = first_names.entry(meta.ino()).or_insert_with(|| name.clone()).clone();
            let same =
                if first == name || meta.is_dir() { String::new() } else { format!("= {}", first.display()) };
            let (uid, gid, mode) = (meta.uid(), meta.gid(), meta.mode() & 0o7777);
            let time = format!("{}.{:09}", meta.mtime(), meta.mtime_nsec());
            format!(
                "{} {mode:o} {uid}:{gid} {time} {} {same} {:?}",
                name.display(),
                content(path, &meta),
                xattrs(path)
            )
        })
        .collect();
    lines.sort();
    lines
}

fn content(path: &Path, meta: &Metadata) -> String {
    let kind = meta.file_type();
    if kind.is_file() {
        format!("{} {}", meta.len(), Digest::of(&fs::read(path).unwrap()))
    } else if kind.is_symlink() {
        format!("-> {}", fs::read_link(path).unwrap().display())
    } else if kind.is_char_device() || kind.is_block_device() {
        format!("device {:x}", meta.rdev())
    } else {
        format!("{kind:?}")
    }
}

fn xattrs(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut names = vec![0; 4096];
    let length = match rustix::fs::llistxattr(path, &mut names[..]) {
        Err(Errno::OPNOTSUPP) => 0,
        length => length.unwrap(),
    };
    let names = String::from_utf8(names[..length].to_vec()).unwrap();
    let mut all: Vec<_> = names
        .split_terminator('\0')
        .map(|name| {
            let mut value = vec![0; 4096];
            let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
            (name.to_owned(), value[..length].to_vec())
        })
        .collect();
    all.sort();
    all
}

/// An image disk as the kernel sees it, while this value lives.
struct Mounted {
    directory: TempDir,
}

impl Mounted {
    /// The parts in one file, as the descriptor joins them, on a loop device.
    fn new(disk: &LayerDisk) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk");
        let mut joined = File::create(&path).unwrap();
        let descriptor = fs::read_to_string(&disk.descriptor).unwrap();
        let extents = descriptor.lines().filter_map(|line| line.strip_prefix("RDONLY "));
        let mut length = 0;
        for (extent, part) in extents.zip(&disk.parts) {
            let (sectors, rest) = extent.split_once(' ').unwrap();
            let name = part.file_name().unwrap().to_str().unwrap();
            assert_eq!(rest, format!("FLAT \"{name}\" 0"));
            let bytes = sectors.parse::<u64>().unwrap() * 512;
            joined.seek(SeekFrom::Start(length)).unwrap();
            assert_eq!(io::copy(&mut File::open(part).unwrap().take(bytes), &mut joined).unwrap(), bytes);
            length += bytes;
        }
        let at = directory.path().join("mount");
        fs::create_dir(&at).unwrap();
        run("mount", &["-t", "erofs", "-o", "ro,loop", path.to_str().unwrap(), at.to_str().unwrap()]);
        Self { directory }
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("mount")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        unmount(self.root(), UnmountFlags::DETACH).expect("it was mounted");
    }
}

fn installed(home: &Home, layout: &Path) -> (Store, Image) {
    let store = home.store();
    let image = import(&store, layout, Some(&"sample:1".parse().unwrap()), &Silent).unwrap();
    (store, image)
}

/// What umoci makes of an image.
fn umoci(layout: &Path) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let bundle = directory.path().join("bundle");
    run("umoci", &["unpack", "--image", &format!("{}:latest", layout.display()), bundle.to_str().unwrap()]);
    listing(&bundle.join("rootfs"))
}

/// Names the first line that differs: whole listings are long.
fn same(one: &[String], other: &[String], who: &str) {
    let differ = one.iter().zip(other).find(|(one, other)| one != other);
    assert!(
        differ.is_none() && one.len() == other.len(),
        "{who}: {differ:#?}, {} and {}",
        one.len(),
        other.len()
    );
}

/// umoci, our tree and the kernel on our disk agree; they need root, to give files their owners.
fn all_agree(layout: &Path) {
    let home = Home::new();
    let (store, image) = installed(&home, layout);
    let ours = listing(&store.tree(&image).unwrap());
    let mounted = Mounted::new(&store.disk(&image).unwrap());
    same(&ours, &listing(&mounted.root()), "tree and disk");
    same(&ours, &umoci(layout), "tree and umoci");
}

#[test]
fn umoci_the_kernel_and_we_agree() {
    if !geteuid().is_root() {
        return as_ordinary_user();
    }
    all_agree(&Layout::sample(Packing::Gzip).0.path());
    let image =
        env::var("PYRO_TEST_IMAGE").expect("PYRO_TEST_IMAGE names an image; `make test` makes and sets it");
    let directory = tempfile::tempdir().unwrap();
    let layout = directory.path().join("layout");
    skopeo(&["copy", "-q", &format!("oci-archive:{image}"), &format!("oci:{}:latest", layout.display())]);
    all_agree(&layout);
}

/// Without root there is no mount, and every file is our own: names, kinds and content stay.
fn as_ordinary_user() {
    let home = Home::new();
    let (store, image) = installed(&home, &Layout::sample(Packing::Gzip).0.path());
    let ours = listing(&store.tree(&image).unwrap());
    let names: Vec<&str> = ours.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert!(
        names.contains(&"opt/old/new") && !names.contains(&"opt/old/file") && !names.contains(&"etc/gone")
    );
    assert!(ours.iter().all(|line| line.contains(&format!(" {}:", geteuid().as_raw()))));
}
