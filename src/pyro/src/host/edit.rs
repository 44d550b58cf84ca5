//! A file of somebody else's that we change: read, changed in memory, written back whole or not at all.
//!
//! Invariant: what is written is what was read but for pyro's own keys. Who changed the file in between wins.

use rustix::fs::{FlockOperation, fchown, flock};
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Longest configuration that is read: Claude Code's grows with its history, to some megabytes.
const LENGTH_MAX: u64 = 64 << 20;
/// Mode of a file that was not there: hosts keep keys in theirs.
const MODE_NEW: u32 = 0o600;

/// A file as it was read.
#[derive(Debug)]
pub struct Document {
    path: PathBuf,
    /// None if there was no such file.
    text: Option<String>,
}

/// What writing came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Written {
    /// It was so already; nothing was touched.
    Unchanged,
    /// The file is new.
    Created,
    /// What was there before is in the backup.
    Changed {
        /// Beside the file.
        backup: PathBuf,
    },
}

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no text, or longer than any configuration.
    #[error("{}: {reason}", path.display())]
    Unparsable {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// Somebody else wrote it meanwhile.
    #[error("{} was changed by another program meanwhile", .0.display())]
    Raced(PathBuf),
}

impl EditError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    /// It is not what such a file may be.
    pub fn unparsable(path: &Path, reason: impl ToString) -> Self {
        Self::Unparsable { path: path.into(), reason: reason.to_string() }
    }
}

impl Document {
    /// Reads a file; one that is not there is empty.
    ///
    /// # Errors
    /// [`EditError::Io`], [`EditError::Unparsable`].
    pub fn read(path: &Path) -> Result<Self, EditError> {
        Ok(Self { path: path.into(), text: read(path)? })
    }

    /// Which file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is in it.
    pub fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    /// Puts `after` in its place.
    ///
    /// # Errors
    /// [`EditError`]; then the file is as it was.
    pub fn write(&self, after: &str) -> Result<Written, EditError> {
        if self.text.as_deref() == Some(after) {
            return Ok(Written::Unchanged);
        }
        let real = resolve(&self.path)?;
        let directory = parent(&real)?;
        fs::create_dir_all(directory).map_err(EditError::io(directory))?;
        // Two pyros take turns by the directory itself, which leaves no lock file behind; others are seen by what
        // they wrote.
        let lock = File::open(directory).map_err(EditError::io(directory))?;
        flock(&lock, FlockOperation::LockExclusive)
            .map_err(|error| EditError::io(directory)(error.into()))?;
        if read(&real)? != self.text {
            return Err(EditError::Raced(self.path.clone()));
        }
        let written = match self.back_up()? {
            None => Written::Created,
            Some(backup) => Written::Changed { backup },
        };
        put(after, &real, &real).map_err(EditError::io(&real))?;
        lock.sync_all().map_err(EditError::io(directory))?;
        Ok(written)
    }

    /// Keeps what was read beside the file, in the place of an earlier backup. Nothing if there was no file.
    ///
    /// # Errors
    /// [`EditError::Io`].
    pub fn back_up(&self) -> Result<Option<PathBuf>, EditError> {
        let Some(text) = &self.text else { return Ok(None) };
        let real = resolve(&self.path)?;
        let mut name = real.file_name().unwrap_or_default().to_owned();
        name.push(".pyro-backup");
        let backup = real.with_file_name(name);
        put(text, &backup, &real).map_err(EditError::io(&backup))?;
        Ok(Some(backup))
    }
}

/// Makes or replaces `target` in one step, with mode and owner of `like`.
fn put(text: &str, target: &Path, like: &Path) -> io::Result<()> {
    let directory = target.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(text.as_bytes())?;
    let mut mode = MODE_NEW;
    if let Ok(old) = fs::metadata(like) {
        own(file.as_file(), &old)?;
        mode = old.mode() & 0o7777;
    }
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(target)?;
    Ok(())
}

fn parent(path: &Path) -> Result<&Path, EditError> {
    path.parent().ok_or_else(|| EditError::unparsable(path, "not a file"))
}

/// Keeps the owner, which is another where root edits a user's file.
fn own(file: &File, old: &fs::Metadata) -> io::Result<()> {
    let new = file.metadata()?;
    if (new.uid(), new.gid()) == (old.uid(), old.gid()) {
        return Ok(());
    }
    let user = rustix::fs::Uid::from_raw(old.uid());
    let group = rustix::fs::Gid::from_raw(old.gid());
    Ok(fchown(file, Some(user), Some(group))?)
}

/// Where a path leads, so that a link stays one.
fn resolve(path: &Path) -> Result<PathBuf, EditError> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => Ok(path.into()),
        other => other.map_err(EditError::io(path)),
    }
}

fn read(path: &Path) -> Result<Option<String>, EditError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(EditError::io(path))?,
    };
    let mut bytes = Vec::new();
    file.take(LENGTH_MAX + 1).read_to_end(&mut bytes).map_err(EditError::io(path))?;
    if bytes.len() as u64 > LENGTH_MAX {
        return Err(EditError::unparsable(path, format_args!("longer than {} MiB", LENGTH_MAX >> 20)));
    }
    String::from_utf8(bytes).map(Some).map_err(|_| EditError::unparsable(path, "not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn place(text: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        fs::write(&path, text).unwrap();
        (directory, path)
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_same_text_touches_nothing() {
        let (directory, path) = place("a");
        let before = fs::metadata(&path).unwrap().ino();
        assert_eq!(Document::read(&path).unwrap().write("a").unwrap(), Written::Unchanged);
        assert_eq!(fs::metadata(&path).unwrap().ino(), before);
        assert_eq!(names(directory.path()), ["config"]);
    }

    #[test]
    fn a_change_keeps_the_mode_and_a_backup() {
        let (directory, path) = place("a");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let backup = directory.path().join("config.pyro-backup");
        let written = Document::read(&path).unwrap().write("b").unwrap();
        assert_eq!(written, Written::Changed { backup: backup.clone() });
        for (path, text) in [(&path, "b"), (&backup, "a")] {
            assert_eq!(fs::read_to_string(path).unwrap(), text);
            assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o640);
        }
        assert_eq!(names(directory.path()), ["config", "config.pyro-backup"]);
    }

    #[test]
    fn a_new_file_is_the_users_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/er/config");
        assert_eq!(Document::read(&path).unwrap().write("b").unwrap(), Written::Created);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_link_stays_one() {
        let (directory, path) = place("a");
        let link = directory.path().join("link");
        symlink("config", &link).unwrap();
        Document::read(&link).unwrap().write("b").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&path).unwrap(), "b");
    }

    #[test]
    fn a_link_to_nowhere_is_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        symlink("gone", &link).unwrap();
        let error = Document::read(&link).unwrap().write("b").unwrap_err();
        assert!(matches!(error, EditError::Io { .. }) && link.is_symlink(), "{error}");
    }

    #[test]
    fn who_wrote_meanwhile_wins() {
        let (directory, path) = place("a");
        let document = Document::read(&path).unwrap();
        fs::write(&path, "theirs").unwrap();
        assert!(matches!(document.write("b").unwrap_err(), EditError::Raced(_)));
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
        assert_eq!(names(directory.path()), ["config"]);
        fs::remove_file(&path).unwrap();
        assert!(matches!(document.write("b").unwrap_err(), EditError::Raced(_)));
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let (_directory, path) = place("");
        fs::write(&path, [0xff]).unwrap();
        assert!(matches!(Document::read(&path).unwrap_err(), EditError::Unparsable { .. }));
    }
}
