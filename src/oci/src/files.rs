//! Files that appear whole or not at all, and locks that a crash releases.

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags};
use std::{
    fmt,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// A file of the state directory could not be used.
#[derive(Debug)]
pub struct FileError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl FileError {
    /// For `map_err`: what was being done with which file.
    pub(crate) fn at<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self { action, path: path.to_owned(), source }
    }

    /// The kind of the failure.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "cannot {} {}: ", self.action, self.path.display())?;
        match self.source.kind() {
            io::ErrorKind::StorageFull => out.write_str("the disk is full"),
            io::ErrorKind::QuotaExceeded => out.write_str("the disk quota is used up"),
            io::ErrorKind::PermissionDenied => out.write_str("permission denied"),
            io::ErrorKind::NotFound => out.write_str("no such file or directory"),
            io::ErrorKind::ReadOnlyFilesystem => out.write_str("the file system is read-only"),
            _ => self.source.fmt(out),
        }
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// An advisory lock on a file, held until dropped or until the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Waits until nobody else holds the lock; `waiting` is called first if somebody does.
    pub(crate) fn exclusive(path: &Path, waiting: impl FnOnce()) -> Result<Self, FileError> {
        let file = Self::open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                waiting();
                file.lock().map_err(FileError::at("lock", path))?;
            }
            Err(TryLockError::Error(error)) => return Err(FileError::at("lock", path)(error)),
        }
        Ok(Self { _file: file })
    }

    /// Waits until nobody holds the lock exclusively.
    pub(crate) fn shared(path: &Path) -> Result<Self, FileError> {
        let file = Self::open(path)?;
        file.lock_shared().map_err(FileError::at("lock", path))?;
        Ok(Self { _file: file })
    }

    /// Takes a lock whose file goes away with its last holder; `waiting` is called if another has it.
    pub(crate) fn passing(path: &Path, waiting: impl FnOnce()) -> Result<PassingLock, FileError> {
        let mut waiting = Some(waiting);
        loop {
            let file = Self::open(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    if let Some(tell) = waiting.take() {
                        tell();
                    }
                    file.lock().map_err(FileError::at("lock", path))?;
                }
                Err(TryLockError::Error(error)) => return Err(FileError::at("lock", path)(error)),
            }
            // The holder before us may have removed the name: then a third one could lock a new file.
            let ours = file.metadata().map_err(FileError::at("read", path))?.ino();
            if fs::metadata(path).is_ok_and(|named| named.ino() == ours) {
                return Ok(PassingLock { path: path.to_owned(), _file: file });
            }
        }
    }

    fn open(path: &Path) -> Result<File, FileError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options.open(path).map_err(FileError::at("open", path))
    }
}

/// See [`Lock::passing`].
pub(crate) struct PassingLock {
    path: PathBuf,
    _file: File,
}

impl Drop for PassingLock {
    fn drop(&mut self) {
        // Removed while still locked; who waits for it sees that the name is gone and starts over.
        let _gone = fs::remove_file(&self.path);
    }
}

/// A new file without a name: it vanishes with the process unless it is published.
#[derive(Debug)]
pub(crate) struct Temp {
    /// The open file.
    pub file: File,
    /// Its name, where the file system has no unnamed files.
    named: Option<PathBuf>,
}

/// Start of the names of temporary files on file systems without unnamed ones.
pub(crate) const TEMP_PREFIX: &str = "tmp-";

impl Temp {
    /// A new file on the file system of `directory`.
    pub fn new(directory: &Path) -> Result<Self, FileError> {
        let failed = |error: rustix::io::Errno| FileError::at("create a file in", directory)(error.into());
        let mode = Mode::RUSR | Mode::WUSR;
        match rustix::fs::open(directory, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, mode) {
            Ok(file) => Ok(Self { file: file.into(), named: None }),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR | rustix::io::Errno::INVAL) => {
                Self::named(directory)
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn named(directory: &Path) -> Result<Self, FileError> {
        let temporary = tempfile::Builder::new().prefix(TEMP_PREFIX).tempfile_in(directory);
        let temporary = temporary.map_err(FileError::at("create a file in", directory))?;
        let (file, path) =
            temporary.keep().map_err(|error| FileError::at("create", directory)(error.error))?;
        // Locked for life, so that a sweep can tell a file in use from one that a crash left.
        file.lock().map_err(FileError::at("lock", &path))?;
        Ok(Self { file, named: Some(path) })
    }

    /// Makes the content durable and gives it a name. A file of that name already there is kept: names
    /// are derived from the content.
    pub fn publish(self, name: &Path) -> Result<(), FileError> {
        match self.publish_new(name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    /// The same, but a file of that name already there is an error.
    pub fn publish_new(mut self, name: &Path) -> Result<(), FileError> {
        self.file.sync_data().map_err(FileError::at("write", name))?;
        let linked = match self.named.take() {
            Some(path) => rustix::fs::renameat_with(CWD, &path, CWD, name, RenameFlags::NOREPLACE)
                .inspect_err(|_| drop(fs::remove_file(&path))),
            None => {
                let open = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&self.file));
                rustix::fs::linkat(CWD, &open, CWD, name, AtFlags::SYMLINK_FOLLOW)
            }
        };
        linked.map_err(|error| FileError::at("create", name)(error.into()))
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        if let Some(path) = &self.named {
            let _gone = fs::remove_file(path);
        }
    }
}

/// Publishes `bytes` under a name that is derived from them.
pub(crate) fn publish(bytes: &[u8], name: &Path) -> Result<(), FileError> {
    let directory = name.parent().expect("a published file is in a directory");
    let mut temp = Temp::new(directory)?;
    temp.file.write_all(bytes).map_err(FileError::at("write", name))?;
    temp.publish(name)
}

/// Replaces a file whole. Only for callers that hold the file's lock: the temporary name is fixed.
pub(crate) fn replace(bytes: &[u8], path: &Path) -> Result<(), FileError> {
    let temporary = path.with_extension("new");
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&temporary, path)
    };
    write().inspect_err(|_| drop(fs::remove_file(&temporary))).map_err(FileError::at("write", path))
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(directory: &Path) -> Result<(), FileError> {
    File::open(directory).and_then(|file| file.sync_all()).map_err(FileError::at("write", directory))
}

/// Creates a directory and its parents, for the owner alone.
pub(crate) fn make_directory(path: &Path) -> Result<(), FileError> {
    // Nearly always it is there, and making it would be two calls.
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path).map_err(FileError::at("create", path))
}
