//! The disk of a stopped workspace as a file, which appears whole or not at all.

use super::LookError;
use crate::directory::Directory;
use crate::lifecycle::claim;
use crate::record::ExecutionMode;
use crate::until::{Until, Woken};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use serde::Serialize;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use tempfile::NamedTempFile;

/// Bytes copied at once, and between two looks at whether to go on.
const CHUNK: usize = 1 << 20;

/// In which form to export a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// The writable disk alone, as the guest wrote it: an ext4 image.
    Ext4,
}

impl ExportFormat {
    /// All of them.
    pub const ALL: [Self; 1] = [Self::Ext4];

    /// The name that users type.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
        }
    }
}

/// What was exported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// The length of the file.
    pub bytes: u64,
    /// Paths that the form cannot hold.
    pub skipped: Vec<String>,
}

/// Writes the writable disk of a stopped workspace to `output`, with its holes. Nobody but a guest's
/// kernel has looked at it: it is as trustworthy as what ran there.
///
/// # Errors
/// [`LookError`]; then there is no such file.
pub fn export_image(
    directory: &Directory,
    output: &Path,
    until: Until<'_>,
) -> Result<Exported, LookError> {
    let workspace = claim(directory)?;
    directory.touch();
    if workspace.record().execution_mode == ExecutionMode::HostCompat {
        return Err(LookError::NoImage(directory.id().clone()));
    }
    let path = workspace.generation().upper();
    let source = File::open(&path).map_err(|source| LookError::File { path, source })?;
    publish(output, |file| copy_sparse(&source, file, until))
}

/// Has `fill` write a file beside `output`, and gives it that name.
fn publish(
    output: &Path,
    fill: impl FnOnce(&File) -> Result<(), LookError>,
) -> Result<Exported, LookError> {
    let failed = |source| LookError::File { path: output.to_owned(), source };
    if output.symlink_metadata().is_ok() {
        return Err(LookError::Exists(output.to_owned()));
    }
    let parent = output.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The caller's mask decides who else may read it.
    let mut builder = tempfile::Builder::new();
    let readable = builder.prefix(".pyro-").permissions(Permissions::from_mode(0o666));
    let staged: NamedTempFile = readable.tempfile_in(parent).map_err(failed)?;
    fill(staged.as_file())?;
    let bytes = staged.as_file().metadata().map_err(failed)?.len();
    staged.as_file().sync_all().map_err(failed)?;
    staged.persist_noclobber(output).map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => LookError::Exists(output.to_owned()),
        _ => failed(error.error),
    })?;
    Ok(Exported { bytes, skipped: Vec::new() })
}

/// Copies the parts of `source` that are not holes.
fn copy_sparse(source: &File, target: &File, until: Until<'_>) -> Result<(), LookError> {
    let failed = LookError::Output;
    let length = source.metadata().map_err(failed)?.len();
    target.set_len(length).map_err(failed)?;
    let mut buffer = vec![0; CHUNK];
    let mut at = 0;
    while at < length {
        let begin = match seek(source, SeekFrom::Data(at)) {
            Ok(begin) => begin,
            // Nothing but a hole is left.
            Err(Errno::NXIO) => break,
            Err(error) => return Err(failed(error.into())),
        };
        let end = seek(source, SeekFrom::Hole(begin)).map_err(|error| failed(error.into()))?;
        at = begin;
        while at < end {
            go_on(until)?;
            let most = usize::try_from(end - at).map_or(CHUNK, |left| left.min(CHUNK));
            source.read_exact_at(&mut buffer[..most], at).map_err(failed)?;
            target.write_all_at(&buffer[..most], at).map_err(failed)?;
            at += most as u64;
        }
    }
    Ok(())
}

/// Whether nobody has had enough yet.
fn go_on(until: Until<'_>) -> Result<(), LookError> {
    let now = Until { deadline: Some(std::time::Instant::now()), ..until };
    match now.readable(&[]).map_err(LookError::Output)? {
        Woken::Cancelled => Err(LookError::Cancelled),
        Woken::Deadline | Woken::Readable(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::until::Cancel;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_copy_has_the_same_bytes_and_the_same_holes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("source");
        let source = File::options().read(true).write(true).create_new(true).open(path).unwrap();
        source.set_len(64 << 20).unwrap();
        source.write_all_at(&[7; 5000], 3 << 20).unwrap();
        source.write_all_at(b"end", (64 << 20) - 3).unwrap();
        let output = directory.path().join("output");
        let cancel = Cancel::new().unwrap();
        let until = Until { deadline: None, cancel: &cancel };
        let exported = publish(&output, |target| copy_sparse(&source, target, until)).unwrap();
        assert_eq!(exported.bytes, 64 << 20);
        assert_eq!(std::fs::read(&output).unwrap(), std::fs::read(directory.path().join("source")).unwrap());
        assert!(output.metadata().unwrap().blocks() * 512 < 1 << 20);
        assert!(matches!(publish(&output, |_| Ok(())), Err(LookError::Exists(_))));
        cancel.cancel();
        let other = directory.path().join("other");
        let result = publish(&other, |target| copy_sparse(&source, target, until));
        assert!(matches!(result, Err(LookError::Cancelled)));
        // Neither it nor what was staged.
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
    }
}
