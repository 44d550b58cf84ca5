//! Images as files, for other tools.

mod root;

use crate::{
    Digest, Event, FileError, Image, LayerError, Progress, Store, StoreError,
    files::Temp,
    manifest::{OCI_INDEX, OCI_MANIFEST},
};
use pyro_layer::MergeError;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::{
    fs::{self, File, Permissions},
    io::{self, BufWriter, Write},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// In which form to write an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// One tar with an OCI image layout.
    OciArchive,
    /// A directory with an OCI image layout.
    OciDirectory,
    /// What `docker save` writes and `docker load` reads.
    DockerArchive,
    /// One tar with the files of the image, all layers merged.
    Root,
}

/// Why an image could not be exported. Nothing is left of the attempt.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// It would overwrite something.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// A file could not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// A layer in the store cannot be read.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The layers contradict each other.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// The store could not be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Writes an image to a path where nothing is yet. The same image gives the same bytes.
///
/// # Errors
/// [`ExportError`].
pub fn export(
    store: &Store,
    image: &Image,
    path: &Path,
    format: ExportFormat,
    progress: &dyn Progress,
) -> Result<(), ExportError> {
    let _hold = store.hold()?;
    if path.symlink_metadata().is_ok() {
        return Err(ExportError::Exists(path.to_owned()));
    }
    progress.event(Event::Resolved { layers: image.layers.len(), bytes: image.size() });
    let parent = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if format == ExportFormat::OciDirectory {
        return directory(store, image, parent, path, progress);
    }
    let temp = Temp::new(parent)?;
    let mut out = BufWriter::new(&temp.file);
    if format == ExportFormat::Root {
        root::write(store, image, path, &mut out)?;
    } else {
        let members = match format {
            ExportFormat::DockerArchive => docker(store, image)?,
            _ => oci(store, image)?,
        };
        archive(members, &mut out, progress).map_err(FileError::at("write", path))?;
    }
    out.flush().map_err(FileError::at("write", path))?;
    drop(out);
    let readable = Permissions::from_mode(0o644);
    temp.file.set_permissions(readable).map_err(FileError::at("write", path))?;
    Ok(temp.publish_new(path)?)
}

/// A file of an image's outer form.
struct Member {
    name: String,
    size: u64,
    content: Content,
}

enum Content {
    Directory,
    Bytes(Vec<u8>),
    Blob { digest: Digest, file: File },
}

impl Member {
    fn bytes(name: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self { name: name.into(), size: bytes.len() as u64, content: Content::Bytes(bytes) }
    }

    fn blob(store: &Store, name: String, digest: Digest) -> Result<Self, FileError> {
        let path = store.blob(&digest);
        let file = File::open(&path).map_err(FileError::at("open", &path))?;
        let size = file.metadata().map_err(FileError::at("read", &path))?.len();
        Ok(Self { name, size, content: Content::Blob { digest, file } })
    }

    /// skopeo wants to see directories: it would give those that it makes by itself to root.
    fn directory(name: &str) -> Self {
        Self { name: name.into(), size: 0, content: Content::Directory }
    }

    fn copy(self, out: &mut impl Write, progress: &dyn Progress) -> io::Result<()> {
        match self.content {
            Content::Directory => Ok(()),
            Content::Bytes(bytes) => out.write_all(&bytes),
            Content::Blob { digest, file } => {
                io::copy(&mut &file, out)?;
                progress.event(Event::Layer { layer: digest, done: self.size, total: self.size });
                progress.event(Event::Stored(digest));
                Ok(())
            }
        }
    }
}

fn json(value: &serde_json::Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain JSON values serialize")
}

fn oci(store: &Store, image: &Image) -> Result<Vec<Member>, FileError> {
    let manifest = Member::blob(store, blob(image.manifest), image.manifest)?;
    let name = image.reference.to_string();
    let index = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [{
            "mediaType": OCI_MANIFEST,
            "digest": image.manifest,
            "size": manifest.size,
            "annotations": { "org.opencontainers.image.ref.name": name, "io.containerd.image.name": name },
        }],
    });
    let layout = br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec();
    let mut members = vec![Member::bytes("oci-layout", layout), Member::bytes("index.json", json(&index))];
    members.extend([Member::directory("blobs/"), Member::directory("blobs/sha256/"), manifest]);
    members.push(Member::blob(store, blob(image.config_digest), image.config_digest)?);
    for diff_id in distinct(image) {
        members.push(Member::blob(store, blob(diff_id), diff_id)?);
    }
    Ok(members)
}

fn docker(store: &Store, image: &Image) -> Result<Vec<Member>, FileError> {
    let config = format!("{}.json", image.config_digest.hex());
    let layer = |diff_id: &Digest| format!("{}.tar", diff_id.hex());
    let tag = image.reference.tag().map(|_| image.reference.without_digest().to_string());
    let manifest = serde_json::json!([{
        "Config": config,
        "RepoTags": tag.into_iter().collect::<Vec<_>>(),
        "Layers": image.diff_ids().iter().map(layer).collect::<Vec<_>>(),
    }]);
    let mut members = vec![Member::bytes("manifest.json", json(&manifest))];
    members.push(Member::blob(store, config, image.config_digest)?);
    for diff_id in distinct(image) {
        members.push(Member::blob(store, layer(&diff_id), diff_id)?);
    }
    Ok(members)
}

fn blob(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The layers of an image, each once.
fn distinct(image: &Image) -> Vec<Digest> {
    let mut digests = Vec::new();
    for digest in image.diff_ids() {
        if !digests.contains(&digest) {
            digests.push(digest);
        }
    }
    digests
}

fn archive(members: Vec<Member>, out: &mut impl Write, progress: &dyn Progress) -> io::Result<()> {
    for member in members {
        let mut header = tar::Header::new_ustar();
        header.set_path(&member.name)?;
        header.set_size(member.size);
        header.set_mode(0o644);
        if let Content::Directory = member.content {
            header.set_mode(0o755);
            header.set_entry_type(tar::EntryType::Directory);
        }
        header.set_mtime(0);
        header.set_cksum();
        out.write_all(header.as_bytes())?;
        let size = member.size;
        member.copy(out, progress)?;
        pad(out, size)?;
    }
    out.write_all(&[0; 2 * BLOCK])
}

/// The unit of tar.
const BLOCK: usize = 512;

/// Fills up the last block of a member.
fn pad(out: &mut impl Write, size: u64) -> io::Result<()> {
    let used = (size % BLOCK as u64) as usize;
    if used == 0 { Ok(()) } else { out.write_all(&[0; BLOCK][used..]) }
}

fn directory(
    store: &Store,
    image: &Image,
    parent: &Path,
    path: &Path,
    progress: &dyn Progress,
) -> Result<(), ExportError> {
    let temporary = tempfile::tempdir_in(parent).map_err(FileError::at("create a directory in", parent))?;
    let fill = |members: Vec<Member>| {
        for member in members {
            let path = temporary.path().join(&member.name);
            if let Content::Directory = member.content {
                fs::create_dir(path)?;
                continue;
            }
            let mut file = File::create_new(path)?;
            member.copy(&mut file, progress)?;
            file.sync_data()?;
        }
        fs::set_permissions(temporary.path(), Permissions::from_mode(0o755))?;
        renameat_with(CWD, temporary.path(), CWD, path, RenameFlags::NOREPLACE).map_err(io::Error::from)
    };
    fill(oci(store, image)?).map_err(FileError::at("write", path))?;
    // It has another name now: nothing is left to remove.
    let _renamed = temporary.keep();
    Ok(())
}
