//! A root that holds nothing but what was put there.

use super::{Inside, Step};
use crate::report::Failure;
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_change,
    mount_remount, move_mount, open_tree, unmount,
};
use rustix::process::{chdir, pivot_root};
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The jail's own file system holds mount points only: a page each, and few.
const ROOT_OPTIONS: &CStr = c"mode=0755,size=8m,nr_inodes=8k";

/// What the monitor may do with something in its jail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read the file.
    Read,
    /// Read and write the file, and make holes in it.
    Write,
    /// Use the device.
    Device,
    /// Make and use sockets in the directory.
    Sockets,
}

/// What goes into a jail. Each entry holds its file on the host as it was when it was added.
#[derive(Debug)]
pub struct Jail {
    /// A directory of the host that the jail's root is mounted over, while it is made, in this
    /// process's own mount namespace.
    site: PathBuf,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    tree: OwnedFd,
    path: String,
    access: Access,
}

impl Jail {
    /// An empty jail. `site` is any directory that is there; nothing happens to it.
    ///
    /// # Errors
    /// If mounts made here would be seen outside.
    pub fn new(site: &Path) -> Result<Self, Failure> {
        let own = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", own).step("make mounts private")?;
        Ok(Self { site: site.to_owned(), entries: Vec::new() })
    }

    /// Puts `source`, a file or directory of the host, at `path`: absolute, without odd parts.
    ///
    /// # Errors
    /// If there is no such file, or it may not be mounted.
    pub fn add(&mut self, source: &Path, path: impl Into<String>, access: Access) -> Result<(), Failure> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let tree = open_tree(CWD, source, flags).step(format!("open {}", source.display()))?;
        self.entries.push(Entry { tree, path: path.into(), access });
        Ok(())
    }

    /// Makes the jail this process's root, and lets go of the old one.
    ///
    /// # Errors
    /// The step that failed; the process is good for nothing else then.
    pub fn enter(self) -> Result<Inside, Failure> {
        let closed = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount("jail", &self.site, "tmpfs", closed, ROOT_OPTIONS).step("mount the jail")?;
        chdir(&self.site).step("enter the jail")?;
        let rules = self.entries.into_iter().map(Entry::install).collect::<Result<_, _>>()?;
        // Both at one place, as pivot_root(2) advises: the old root ends up on top of the new.
        pivot_root(".", ".").step("change the root")?;
        unmount(".", UnmountFlags::DETACH).step("leave the old root")?;
        chdir("/").step("enter the new root")?;
        mount_remount("/", MountFlags::BIND | MountFlags::RDONLY | closed, c"").step("close the root")?;
        Ok(Inside { rules })
    }
}

impl Entry {
    fn install(self) -> Result<(String, Access), Failure> {
        let place = self.path.trim_start_matches('/');
        let status = fstat(&self.tree).step(format!("look at {}", self.path))?;
        mount_point(place, FileType::from_raw_mode(status.st_mode) == FileType::Directory)?;
        move_mount(&self.tree, "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .step(format!("mount {}", self.path))?;
        let mut flags = MountFlags::BIND | MountFlags::NOSUID | MountFlags::NOEXEC;
        flags.set(MountFlags::NODEV, self.access != Access::Device);
        flags.set(MountFlags::RDONLY, self.access == Access::Read);
        mount_remount(place, flags, c"").step(format!("restrict {}", self.path))?;
        Ok((self.path, self.access))
    }
}

/// Makes an empty file or directory for a mount, with the directories above it.
fn mount_point(place: &str, directory: bool) -> Result<(), Failure> {
    let parents = place.match_indices('/').map(|(end, _)| &place[..end]);
    for parent in parents.chain(directory.then_some(place)) {
        match rustix::fs::mkdir(parent, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error).step(format!("make /{parent}")),
        }
    }
    if !directory {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        rustix::fs::open(place, flags, Mode::RUSR).step(format!("make /{place}"))?;
    }
    Ok(())
}
