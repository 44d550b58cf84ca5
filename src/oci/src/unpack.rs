//! The files of layers as directory trees, for machines that have no disk of their own.
//!
//! The layers of an image become one tree. Each one that is put on top (a seed, a snapshot) becomes a
//! tree of its own, in overlayfs' form: a new one costs only what is in it.
//!
//! Every entry is made relative to an open directory that was made here, so that no link in the image
//! leads anywhere. A tree appears by rename, when it is whole and durable.

#[cfg(test)]
mod tests;

use crate::{
    Digest, FileError, Image, Layer, LayerError, Store,
    disk::{Merge, chain},
    files::{Lock, make_directory},
    ingest::write_sparse,
};
use pyro_layer::{Content, MergeError, Meta, Node, NodeKind, Part, Time, flatten, overlay};
use rustix::{
    fs::{
        self as sys, AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags,
    },
    io::Errno,
    process::geteuid,
};
use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd as _, OwnedFd},
        unix::{ffi::OsStrExt as _, fs::FileExt as _},
    },
    path::{Path, PathBuf},
};

/// Bytes that are read at once where the kernel cannot copy by itself; a multiple of a file's blocks.
const CHUNK: usize = 256 << 10;

/// Why an image's files cannot be laid out as a tree.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// A file of the state directory could not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// A layer in the store cannot be read.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The layers contradict each other.
    #[error(transparent)]
    Merge(#[from] MergeError),
}

impl Store {
    /// The files of an image as a directory tree, made when it is wanted first. Root gets everything as
    /// the image has it; anyone else owns all of it, can always enter and empty its directories, and has
    /// no devices in it. The caller holds the store.
    ///
    /// # Errors
    /// [`UnpackError`].
    pub fn tree(&self, image: &Image) -> Result<PathBuf, UnpackError> {
        self.unpacked(&chain(&image.diff_ids()), &image.layers, flatten)
    }

    /// Trees of layers that lie above an image, lowest first, each as a lower layer of overlayfs:
    /// with whiteouts, and with opaque directories as root's or other users' mounts know them. Made
    /// when they are wanted first. The caller holds the store.
    ///
    /// # Errors
    /// [`UnpackError`].
    pub fn delta_trees(&self, diff_ids: &[Digest]) -> Result<Vec<PathBuf>, UnpackError> {
        let layers = self.layers(diff_ids)?;
        let trees = layers
            .iter()
            .map(|layer| self.unpacked(&overlay_key(&layer.diff_id), std::slice::from_ref(layer), overlay));
        trees.collect()
    }

    fn unpacked(&self, key: &str, layers: &[Layer], merge: Merge) -> Result<PathBuf, UnpackError> {
        let path = self.trees().join(key);
        if path.is_dir() {
            return Ok(path);
        }
        let _lock = Lock::passing(&path.with_extension("lock"), || {})?;
        if path.is_dir() {
            return Ok(path);
        }
        let tocs = self.tables(layers)?;
        let tree = merge(&tocs)?;
        // The name is ours alone while we have the lock; a crash may have left something there.
        let fresh = path.with_extension("new");
        self.discard(&fresh)?;
        make_directory(&fresh)?;
        let unpacked = Unpack::new(self, layers, &fresh)
            .and_then(|mut unpack| unpack.all(&tree))
            .and_then(|()| std::fs::rename(&fresh, &path).map_err(FileError::at("create", &path)));
        if let Err(error) = unpacked {
            let _left_for_prune = self.discard(&fresh);
            return Err(error.into());
        }
        Ok(path)
    }
}

/// Prefix of the attributes by which a tree talks to overlayfs. Machines of namespaces mount theirs
/// with `userxattr`, whoever started them, since an agent in a user namespace sees no others.
const OVERLAY_PREFIX: &str = "user.overlay.";

/// The name of a layer's own tree.
pub(crate) fn overlay_key(diff_id: &Digest) -> String {
    Digest::of(format!("{} overlay", chain(&[*diff_id])).as_bytes()).hex()
}

/// A directory in which entries are being made.
struct Open<'t> {
    fd: OwnedFd,
    meta: &'t Meta,
    /// What overlayfs is told by: names of attributes, without their prefix, and values.
    told: Vec<(&'static str, &'static [u8])>,
    /// Length of its path below the root.
    path: usize,
}

impl<'t> Open<'t> {
    fn new(fd: OwnedFd, node: &Node<'t>, path: usize) -> Self {
        let mut told: Vec<(&str, &[u8])> = Vec::new();
        if let NodeKind::Directory(directory) = &node.kind {
            told.extend(directory.opaque.then_some(("opaque", &b"y"[..])));
            // "Copied from a layer below, nobody knows where": may hold whiteouts, which are not listed.
            told.extend(directory.whiteouts.then_some(("origin", &b""[..])));
        }
        Self { fd, meta: node.meta, told, path }
    }
}

struct Unpack {
    root: PathBuf,
    /// Tar and auxiliary part of each layer; the latter only where there is one.
    parts: Vec<(File, Option<File>)>,
    privileged: bool,
    /// First path of each file that has several.
    linked: HashMap<usize, OsString>,
    buffer: Vec<u8>,
}

impl Unpack {
    fn new(store: &Store, layers: &[Layer], root: &Path) -> Result<Self, FileError> {
        let open = |path: &Path| File::open(path).map_err(FileError::at("open", path));
        let parts = layers.iter().map(|layer| {
            let aux = store.tocs().join(format!("{}.aux", layer.diff_id.hex()));
            let aux = if aux.exists() { Some(open(&aux)?) } else { None };
            Ok((open(&store.blob(&layer.diff_id))?, aux))
        });
        Ok(Self {
            root: root.to_owned(),
            parts: parts.collect::<Result<_, FileError>>()?,
            privileged: geteuid().is_root(),
            linked: HashMap::new(),
            buffer: vec![0; CHUNK],
        })
    }

    fn all(&mut self, tree: &pyro_layer::Tree<'_>) -> Result<(), FileError> {
        let root = sys::open(&self.root, DIRECTORY, Mode::empty());
        let root = root.map_err(|error| FileError::at("open", &self.root)(error.into()))?;
        let mut walk = tree.walk();
        // The directories from the root to where the walk is.
        let mut open: Vec<Open<'_>> = Vec::new();
        while let Some(visit) = walk.next() {
            let path = OsStr::from_bytes(visit.path);
            if visit.path.is_empty() {
                let fd = root.try_clone().map_err(FileError::at("open", &self.root))?;
                open.push(Open::new(fd, visit.node, 0));
                continue;
            }
            let slash = visit.path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
            while open.last().is_some_and(|directory| directory.path > slash) {
                let done = open.pop().expect("it was just looked at");
                self.close(&done)?;
            }
            let name = OsStr::from_bytes(visit.path[slash..].strip_prefix(b"/").unwrap_or(visit.path));
            let parent = &open.last().expect("the root is visited first and stays open").fd;
            let made = if let NodeKind::Directory(_) = visit.node.kind {
                let made = sys::mkdirat(parent, name, Mode::RWXU)
                    .and_then(|()| sys::openat(parent, name, DIRECTORY, Mode::empty()));
                made.map(|fd| open.push(Open::new(fd, visit.node, visit.path.len())))
            } else if let Some(first) = self.linked.get(&visit.id.index()) {
                sys::linkat(&root, first, parent, name, AtFlags::empty())
            } else {
                if visit.node.links > 1 {
                    self.linked.insert(visit.id.index(), path.to_owned());
                }
                self.leaf(parent, name, visit.node)
            };
            made.map_err(|error| FileError::at("create", &self.root.join(path))(error.into()))?;
        }
        while let Some(done) = open.pop() {
            self.close(&done)?;
        }
        // One flush for all: after a power cut, a tree that has its name has its contents too.
        sys::syncfs(&root).map_err(|error| FileError::at("write", &self.root)(error.into()))
    }

    /// Everything in this directory is made.
    fn close(&self, done: &Open<'_>) -> Result<(), FileError> {
        // Not to be had without: what is hidden would be seen again.
        let mut tell = done.told.iter().map(|(name, value)| {
            sys::fsetxattr(&done.fd, format!("{OVERLAY_PREFIX}{name}"), value, XattrFlags::empty())
        });
        let told: Result<(), Errno> = tell.try_for_each(|told| told);
        let made = told.and_then(|()| self.finish(&done.fd, done.meta, true));
        made.map_err(|error| FileError::at("write to a directory of", &self.root)(error.into()))
    }

    fn leaf(&mut self, parent: &OwnedFd, name: &OsStr, node: &Node<'_>) -> Result<(), Errno> {
        let mode = Mode::from_raw_mode(node.meta.mode.into());
        let (kind, device) = match &node.kind {
            NodeKind::File(content) => {
                let create =
                    OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = File::from(sys::openat(parent, name, create, Mode::RUSR | Mode::WUSR)?);
                self.fill(&file, content)
                    .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
                return self.finish(file.as_fd(), node.meta, false);
            }
            NodeKind::Symlink(target) => {
                sys::symlinkat(OsStr::from_bytes(target), parent, name)?;
                return self.label(parent, name, node.meta);
            }
            NodeKind::Fifo => (FileType::Fifo, 0),
            NodeKind::Character(device) => {
                (FileType::CharacterDevice, sys::makedev(device.major, device.minor))
            }
            NodeKind::Block(device) => (FileType::BlockDevice, sys::makedev(device.major, device.minor)),
            // The one device that any user may make.
            NodeKind::Whiteout => {
                return sys::mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), 0);
            }
            NodeKind::Directory(_) => unreachable!("directories are made by the caller"),
        };
        match sys::mknodat(parent, name, kind, Mode::RUSR | Mode::WUSR, device) {
            // A machine has its own /dev: devices of the image are no loss where they are not allowed.
            Err(Errno::PERM) if kind != FileType::Fifo => return Ok(()),
            other => other?,
        }
        self.label(parent, name, node.meta)?;
        sys::chmodat(parent, name, mode, AtFlags::empty())
    }

    /// Copies a file's bytes out of its layer.
    fn fill(&mut self, file: &File, content: &Content) -> io::Result<()> {
        let payload = content.payload;
        let (tar, aux) = &self.parts[content.layer];
        let (mut from, mut to) = (payload.offset, 0);
        if payload.part == Part::Tar {
            while to < payload.size {
                let left = (payload.size - to).try_into().unwrap_or(usize::MAX);
                match sys::copy_file_range(tar, Some(&mut from), file, Some(&mut to), left) {
                    Ok(0) => return Err(Errno::IO.into()),
                    Ok(_) => {}
                    // Not between these file systems: by hand, below.
                    Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        let source = match payload.part {
            Part::Tar => tar,
            Part::Aux => aux.as_ref().ok_or(Errno::IO)?,
        };
        while to < payload.size {
            let wanted = self.buffer.len().min((payload.size - to).try_into().unwrap_or(usize::MAX));
            let chunk = &mut self.buffer[..wanted];
            source.read_exact_at(chunk, payload.offset + to)?;
            write_sparse(file, chunk, to)?;
            to += wanted as u64;
        }
        // A hole at the end is no write.
        file.set_len(payload.size)
    }

    /// Gives an open file or directory its owner, attributes, mode and time, in the order in which
    /// one does not undo the other.
    fn finish(&self, fd: impl AsFd, meta: &Meta, directory: bool) -> Result<(), Errno> {
        let fd = fd.as_fd();
        let mut mode = Mode::from_raw_mode(meta.mode.into());
        if self.privileged {
            sys::fchown(fd, Some(Uid::from_raw(meta.uid)), Some(Gid::from_raw(meta.gid)))?;
        } else if directory {
            mode |= Mode::RWXU;
        }
        for xattr in &meta.xattrs {
            allowed(sys::fsetxattr(fd, OsStr::from_bytes(&xattr.name), &xattr.value, XattrFlags::empty()))?;
        }
        sys::fchmod(fd, mode)?;
        sys::futimens(fd, &times(meta.mtime))
    }

    /// The same for what cannot be opened; all but the mode, which symbolic links do not have.
    fn label(&self, parent: &OwnedFd, name: &OsStr, meta: &Meta) -> Result<(), Errno> {
        if self.privileged {
            let (uid, gid) = (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid));
            sys::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        if !meta.xattrs.is_empty() {
            let path = Path::new("/proc/self/fd").join(parent.as_raw_fd().to_string()).join(name);
            for xattr in &meta.xattrs {
                let key = OsStr::from_bytes(&xattr.name);
                allowed(sys::lsetxattr(&path, key, &xattr.value, XattrFlags::empty()))?;
            }
        }
        sys::utimensat(parent, name, &times(meta.mtime), AtFlags::SYMLINK_NOFOLLOW)
    }
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Attributes that this user or file system cannot have are left out.
fn allowed(set: Result<(), Errno>) -> Result<(), Errno> {
    match set {
        Err(Errno::PERM | Errno::OPNOTSUPP) => Ok(()),
        other => other,
    }
}

fn times(mtime: Time) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanos.into() },
    }
}
