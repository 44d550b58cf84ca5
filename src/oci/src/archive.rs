//! Files that hold images: what is in them, and reading from the middle of one.

use crate::FileError;
use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader, Read, Seek as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Most members that are remembered. An image of [`crate::LAYERS_MAX`] layers has some thousand.
const MEMBERS_MAX: usize = 10_000;

/// Most links that are followed from one member to another.
const LINKS_MAX: usize = 8;

/// Named byte ranges: an OCI directory, or the members of an uncompressed archive.
pub(crate) enum Holder {
    Directory(PathBuf),
    Archive { file: Arc<File>, members: HashMap<String, Member> },
}

pub(crate) enum Member {
    File { offset: u64, size: u64 },
    Link(String),
}

impl Holder {
    /// Lists the members of a tar that an image archive could have.
    pub fn archive(file: File) -> io::Result<Self> {
        let mut members = HashMap::new();
        let mut reader = BufReader::new(&file);
        reader.rewind()?;
        let mut archive = tar::Archive::new(reader);
        for entry in archive.entries_with_seek()? {
            let entry = entry?;
            let Ok(name) = String::from_utf8(entry.path_bytes().into_owned()) else { continue };
            let name = name.trim_start_matches("./").trim_start_matches('/').to_owned();
            if !is_of_image(&name) || members.len() == MEMBERS_MAX {
                continue;
            }
            let member = match entry.header().entry_type() {
                kind if kind.is_file() => {
                    Member::File { offset: entry.raw_file_position(), size: entry.size() }
                }
                kind if kind.is_symlink() || kind.is_hard_link() => {
                    let target = entry.link_name_bytes().unwrap_or_default();
                    let base =
                        if kind.is_symlink() { name.rsplit_once('/').map_or("", |it| it.0) } else { "" };
                    let Some(target) = join(base, &String::from_utf8_lossy(&target)) else { continue };
                    Member::Link(target)
                }
                _ => continue,
            };
            members.insert(name, member);
        }
        Ok(Self::Archive { file: Arc::new(file), members })
    }

    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::Directory(path) => path.join(name).is_file(),
            Self::Archive { members, .. } => members.contains_key(name),
        }
    }

    /// Opens a member; its name was made by us, or checked.
    pub fn open(&self, name: &str) -> Result<Section, FileError> {
        let missing = || FileError::at("find in the image", Path::new(name))(io::ErrorKind::NotFound.into());
        match self {
            Self::Directory(directory) => {
                let path = directory.join(name);
                let file = File::open(&path).map_err(FileError::at("open", &path))?;
                let size = file.metadata().map_err(FileError::at("read", &path))?.len();
                Ok(Section { file: Arc::new(file), offset: 0, left: size })
            }
            Self::Archive { file, members } => {
                let mut name = name;
                for _ in 0..LINKS_MAX {
                    match members.get(name).ok_or_else(missing)? {
                        Member::Link(target) => name = target,
                        Member::File { offset, size } => {
                            return Ok(Section { file: Arc::clone(file), offset: *offset, left: *size });
                        }
                    }
                }
                Err(missing())
            }
        }
    }
}

/// Whether the member of an archive may be a part of an image, and not of a root file system.
fn is_of_image(name: &str) -> bool {
    name.starts_with("blobs/")
        || name == "oci-layout"
        || name.ends_with(".tar")
        || (!name.contains('/') && name.ends_with(".json"))
}

/// `base/relative` without dots; none if it leads outside.
fn join(base: &str, relative: &str) -> Option<String> {
    let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// A range of a file, read from its start to its end.
pub(crate) struct Section {
    file: Arc<File>,
    offset: u64,
    left: u64,
}

impl Section {
    pub fn size(&self) -> u64 {
        self.left
    }
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(self.left.try_into().unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let read = self.file.read_at(&mut buffer[..wanted], self.offset)?;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is cut off"));
        }
        self.offset += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_inside() {
        assert_eq!(join("a/b", "../c.tar").as_deref(), Some("a/c.tar"));
        assert_eq!(join("", "c.tar").as_deref(), Some("c.tar"));
        assert_eq!(join("a", "../../c.tar"), None);
    }
}
