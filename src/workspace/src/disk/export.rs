//! The disk of a stopped workspace as a file, which appears whole or not at all.

use crate::directory::Directory;
use crate::exports;
use crate::home::Home;
use crate::id::WorkspaceId;
use crate::lifecycle::{LifecycleError, claim};
use crate::record::ExecutionMode;
use crate::snapshot::{SnapshotError, assemble_unnamed, commit_now};
use crate::until::{Until, Woken};
use pyro_oci::{Silent, StoreError};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use serde::Serialize;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Bytes copied at once, and between two looks at whether to go on.
const CHUNK: usize = 1 << 20;

/// In which form to export a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    /// The writable disk alone, as the guest wrote it: an ext4 image.
    Ext4,
    /// An OCI archive: the image's layers, those above it, and what was written as one more.
    Oci,
    /// All files, the image's and those that were written, as one tar.
    Tar,
}

impl ExportFormat {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ext4, Self::Oci, Self::Tar];

    /// The name that users type.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Oci => "oci",
            Self::Tar => "tar",
        }
    }
}

/// What was exported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// The length of the file.
    pub bytes: u64,
    /// Paths that the form cannot hold: sockets, and names that begin with `.wh.`.
    pub skipped: Vec<String>,
    /// Whether the form is of our making. An ext4 image is the guest's: nobody but its own kernel has
    /// looked at it.
    pub trusted: bool,
}

/// Why a disk was not exported. Nothing is left of the attempt.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The workspace runs, or cannot be used.
    #[error(transparent)]
    Lifecycle(#[from] LifecycleError),
    /// No layer could be made of what was written.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The image could not be written.
    #[error(transparent)]
    Image(#[from] pyro_oci::ExportError),
    /// Something is there already.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// A file.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no such thing.
    #[error("{0} runs in namespaces of this host: it has a directory, and no disk image")]
    NoImage(WorkspaceId),
    /// The user had enough.
    #[error("interrupted")]
    Cancelled,
}

/// Writes what a stopped workspace holds to `output`, where nothing is yet.
///
/// # Errors
/// [`ExportError`].
pub fn export(
    home: &Home,
    directory: &Directory,
    format: ExportFormat,
    output: &Path,
    until: Until<'_>,
) -> Result<Exported, ExportError> {
    let exported = write(home, directory, format, output, until)?;
    exports::made(directory, "disk", format.as_str(), output);
    Ok(exported)
}

fn write(
    home: &Home,
    directory: &Directory,
    format: ExportFormat,
    output: &Path,
    until: Until<'_>,
) -> Result<Exported, ExportError> {
    if output.symlink_metadata().is_ok() {
        return Err(ExportError::Exists(output.to_owned()));
    }
    let workspace = claim(directory)?;
    directory.touch();
    let form = match format {
        ExportFormat::Ext4 if workspace.record().execution_mode == ExecutionMode::HostCompat => {
            return Err(ExportError::NoImage(directory.id().clone()));
        }
        ExportFormat::Ext4 => {
            let path = workspace.generation().upper();
            let source = File::open(&path).map_err(|source| ExportError::File { path, source })?;
            let bytes = publish(output, |file| copy_sparse(&source, file, until))?;
            return Ok(Exported { bytes, skipped: Vec::new(), trusted: false });
        }
        ExportFormat::Oci => pyro_oci::ExportFormat::OciArchive,
        ExportFormat::Tar => pyro_oci::ExportFormat::Root,
    };
    // The commit takes it again, with an agent that looks at it.
    drop(workspace.release());
    let _held = home.store().hold()?;
    let (record, committed) = commit_now(home, directory, until)?;
    let image = assemble_unnamed(home, &record, &committed.layers)?;
    pyro_oci::export(home.store(), &image, output, form, &Silent).map_err(|error| match error {
        pyro_oci::ExportError::Exists(path) => ExportError::Exists(path),
        error => error.into(),
    })?;
    let failed = |source| ExportError::File { path: output.to_owned(), source };
    let bytes = output.metadata().map_err(failed)?.len();
    Ok(Exported { bytes, skipped: committed.skipped, trusted: true })
}

/// Has `fill` write a file beside `output`, and gives it that name. Returns its length.
fn publish(output: &Path, fill: impl FnOnce(&File) -> Result<(), ExportError>) -> Result<u64, ExportError> {
    let failed = |source| ExportError::File { path: output.to_owned(), source };
    let parent = output.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The caller's mask decides who else may read it.
    let mut builder = tempfile::Builder::new();
    let readable = builder.prefix(".pyro-").permissions(Permissions::from_mode(0o666));
    let staged: NamedTempFile = readable.tempfile_in(parent).map_err(failed)?;
    fill(staged.as_file())?;
    let bytes = staged.as_file().metadata().map_err(failed)?.len();
    staged.as_file().sync_all().map_err(failed)?;
    staged.persist_noclobber(output).map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => ExportError::Exists(output.to_owned()),
        _ => failed(error.error),
    })?;
    Ok(bytes)
}

/// Copies the parts of `source` that are not holes.
fn copy_sparse(source: &File, target: &File, until: Until<'_>) -> Result<(), ExportError> {
    let failed = |source| ExportError::File { path: "copy the disk".into(), source };
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
fn go_on(until: Until<'_>) -> Result<(), ExportError> {
    let now = Until { deadline: Some(std::time::Instant::now()), ..until };
    match now.readable(&[]).map_err(|source| ExportError::File { path: "wait".into(), source })? {
        Woken::Cancelled => Err(ExportError::Cancelled),
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
        let source = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        source.set_len(64 << 20).unwrap();
        source.write_all_at(&[7; 5000], 3 << 20).unwrap();
        source.write_all_at(b"end", (64 << 20) - 3).unwrap();
        let output = directory.path().join("output");
        let cancel = Cancel::new().unwrap();
        let until = Until { deadline: None, cancel: &cancel };
        let length = publish(&output, |target| copy_sparse(&source, target, until)).unwrap();
        assert_eq!(length, 64 << 20);
        assert_eq!(std::fs::read(&output).unwrap(), std::fs::read(&path).unwrap());
        assert!(output.metadata().unwrap().blocks() * 512 < 1 << 20);
        assert!(matches!(publish(&output, |_| Ok(())), Err(ExportError::Exists(_))));
        cancel.cancel();
        let other = directory.path().join("other");
        let result = publish(&other, |target| copy_sparse(&source, target, until));
        assert!(matches!(result, Err(ExportError::Cancelled)));
        // Neither it nor what was staged.
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
    }
}
