//! The writer of layer tars: the same members give the same bytes, and [`crate::scan`] takes them.
//!
//! Members come in the order of a walk that visits a directory before what is in it, and the names of
//! one directory in bytewise order. Every parent is described, owners are numbers, and nothing is
//! written that depends on where or when. What does not fit into a ustar header goes into a PAX one.

mod header;
#[cfg(test)]
mod tests;

use crate::limits::{NAME_MAX, TARGET_MAX, XATTR_VALUE_MAX, XATTRS_MAX};
use crate::name::{display, normalise};
use crate::tar::{DEVICE_MAX, is_kept};
use crate::whiteout::{OPAQUE, PREFIX};
use crate::{Device, Meta, NameError, Xattr};
use ::tar::EntryType;
use header::{BLOCK, Header};
use std::io::{self, Read, Write};

/// Bytes that are copied at once.
const CHUNK: usize = 128 << 10;

/// Writes the tar of one layer.
pub struct LayerWriter<'a> {
    out: &'a mut dyn Write,
    buffer: Box<[u8]>,
    /// The path before.
    last: Option<Vec<u8>>,
    /// The directory that was described last, or a parent of it.
    directory: Vec<u8>,
}

/// What to write under a path.
pub enum Member<'a> {
    /// A directory.
    Directory {
        /// Whether it hides what the layers below have in it.
        opaque: bool,
    },
    /// A regular file.
    File {
        /// How long it is.
        size: u64,
        /// Must give exactly that many bytes.
        content: &'a mut dyn Read,
    },
    /// A symbolic link, with its target as it stands.
    Symlink(&'a [u8]),
    /// Another name for a path that came before.
    HardLink(&'a [u8]),
    /// A character device.
    Character(Device),
    /// A block device.
    Block(Device),
    /// A named pipe.
    Fifo,
    /// The layers below do not have this name. Its metadata is not used.
    Whiteout,
}

/// Why a member could not be written. The tar is then of no use.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The output failed.
    #[error("the layer cannot be written: {0}")]
    Write(#[source] io::Error),
    /// The content could not be read.
    #[error("{0:?} cannot be read: {1}")]
    Read(String, #[source] io::Error),
    /// The content ended early, or would not end.
    #[error("{path:?} does not have the {size} bytes that were announced")]
    Size {
        /// The file.
        path: String,
        /// Its announced size.
        size: u64,
    },
    /// No layer can hold such a path.
    #[error("{0:?} cannot be in a layer: its path {1}")]
    Path(String, NameError),
    /// The path is not in its shortest form.
    #[error("{0:?} is not a clean relative path")]
    Unclean(String),
    /// The name means something else in a layer.
    #[error("{0:?} cannot be in a layer: a name with .wh. in front means that something is gone")]
    Reserved(String),
    /// It should have come earlier.
    #[error("{0:?} is out of order")]
    Order(String),
    /// Its directory was not described.
    #[error("the directory of {0:?} is not in the layer")]
    Parent(String),
    /// A link to nothing, or to what is still to come.
    #[error("{0:?} has a link target that no layer can hold")]
    Target(String),
    /// Attributes that Linux does not know, does not order so, or that are too large.
    #[error("{0:?} has extended attributes that no layer can hold")]
    Xattrs(String),
    /// A device number beyond Linux's.
    #[error("{0:?} has a device number that no layer can hold")]
    Device(String),
}

/// The order of members: that of paths, component by component.
#[must_use]
pub fn layer_order(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    // A separator comes before every byte that a name can have.
    let key = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    a.iter().map(key).cmp(b.iter().map(key))
}

/// Whether a layer can hold an entry of this path.
///
/// # Errors
/// [`WriteError`] says why not.
pub fn check_path(path: &[u8]) -> Result<(), WriteError> {
    if *normalise(path).map_err(|error| WriteError::Path(display(path), error))? != *path {
        return Err(WriteError::Unclean(display(path)));
    }
    if path.split(|&byte| byte == b'/').any(|name| name.starts_with(PREFIX)) {
        return Err(WriteError::Reserved(display(path)));
    }
    Ok(())
}

impl<'a> LayerWriter<'a> {
    /// Starts a layer. `out` should be buffered.
    pub fn new(out: &'a mut dyn Write) -> Self {
        Self { out, buffer: vec![0; CHUNK].into(), last: None, directory: Vec::new() }
    }

    /// Writes one member. `path` is relative, without empty, `.` or `..` components; empty for the
    /// root directory. A whiteout goes by the name that it hides.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn add(&mut self, path: &[u8], meta: &Meta, member: Member<'_>) -> Result<(), WriteError> {
        self.place(path, &member)?;
        check_xattrs(&meta.xattrs).ok_or_else(|| WriteError::Xattrs(display(path)))?;
        let plain = |kind| Header { name: path, kind, meta, target: b"", size: 0, device: None };
        let at = |device| Header { device: Some(device), ..plain(EntryType::Block) };
        match member {
            Member::Directory { opaque } => {
                let name = if path.is_empty() { b"./".to_vec() } else { [path, b"/"].concat() };
                self.header(&Header { name: &name, ..plain(EntryType::Directory) })?;
                if opaque {
                    self.mark(&[path, if path.is_empty() { b"" } else { b"/" }, OPAQUE].concat())?;
                }
                Ok(())
            }
            Member::File { size, content } => {
                self.header(&Header { size, ..plain(EntryType::Regular) })?;
                self.copy(path, size, content)
            }
            Member::Symlink(target) => {
                if target.is_empty() || target.len() > TARGET_MAX || target.contains(&0) {
                    return Err(WriteError::Target(display(path)));
                }
                let meta = &Meta { mode: 0o777, ..meta.clone() };
                self.header(&Header { target, meta, ..plain(EntryType::Symlink) })
            }
            Member::HardLink(target) => {
                if layer_order(target, path).is_ge() || !is_clean(target) {
                    return Err(WriteError::Target(display(path)));
                }
                // A link has the attributes of what it leads to.
                let meta = &Meta { xattrs: Vec::new(), ..meta.clone() };
                self.header(&Header { target, meta, ..plain(EntryType::Link) })
            }
            Member::Character(Device { major, minor }) | Member::Block(Device { major, minor })
                if major > DEVICE_MAX.major || minor > DEVICE_MAX.minor =>
            {
                Err(WriteError::Device(display(path)))
            }
            Member::Character(device) => self.header(&Header { kind: EntryType::Char, ..at(device) }),
            Member::Block(device) => self.header(&at(device)),
            Member::Fifo => self.header(&plain(EntryType::Fifo)),
            Member::Whiteout => {
                let name = path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
                self.mark(&[&path[..name], PREFIX, &path[name..]].concat())
            }
        }
    }

    /// Writes the end of the tar.
    ///
    /// # Errors
    /// [`WriteError::Write`].
    pub fn finish(self) -> Result<(), WriteError> {
        self.out.write_all(&[0; 2 * BLOCK]).and_then(|()| self.out.flush()).map_err(WriteError::Write)
    }

    /// Checks that a path may be the next one.
    fn place(&mut self, path: &[u8], member: &Member<'_>) -> Result<(), WriteError> {
        check_path(path)?;
        if self.last.as_ref().is_some_and(|last| layer_order(last, path).is_ge()) {
            return Err(WriteError::Order(display(path)));
        }
        let is_directory = matches!(member, Member::Directory { .. });
        if path.is_empty() && !is_directory {
            return Err(WriteError::Path(display(path), NameError::Empty));
        }
        let parent = &path[..path.iter().rposition(|&byte| byte == b'/').unwrap_or(0)];
        // What was described last lies in every directory that can still get something.
        let rest = self.directory.strip_prefix(parent);
        if !rest.is_some_and(|rest| parent.is_empty() || rest.is_empty() || rest[0] == b'/') {
            return Err(WriteError::Parent(display(path)));
        }
        self.directory.truncate(parent.len());
        if is_directory {
            self.directory = path.to_vec();
        }
        let last = self.last.get_or_insert_default();
        last.clear();
        last.extend_from_slice(path);
        Ok(())
    }

    fn header(&mut self, header: &Header<'_>) -> Result<(), WriteError> {
        self.out.write_all(&header.encode()).map_err(WriteError::Write)
    }

    /// Writes a whiteout: an empty file whose name says it.
    fn mark(&mut self, name: &[u8]) -> Result<(), WriteError> {
        // Its name is longer than the one that it hides.
        normalise(name).map_err(|error| WriteError::Path(display(name), error))?;
        let (kind, meta) = (EntryType::Regular, &Meta::default());
        self.header(&Header { name, kind, meta, target: b"", size: 0, device: None })
    }

    fn copy(&mut self, path: &[u8], size: u64, content: &mut dyn Read) -> Result<(), WriteError> {
        let mut left = size;
        loop {
            // When everything has come, one more byte is asked for, which must not be there.
            let wanted = usize::try_from(left).map_or(CHUNK, |left| left.clamp(1, CHUNK));
            let read = match content.read(&mut self.buffer[..wanted]) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(WriteError::Read(display(path), error)),
            };
            if (read == 0) != (left == 0) {
                return Err(WriteError::Size { path: display(path), size });
            }
            if read == 0 {
                break;
            }
            self.out.write_all(&self.buffer[..read]).map_err(WriteError::Write)?;
            left -= read as u64;
        }
        self.out.write_all(header::padding(size)).map_err(WriteError::Write)
    }
}

fn is_clean(path: &[u8]) -> bool {
    !path.is_empty() && normalise(path).is_ok_and(|clean| *clean == *path)
}

/// Sorted, each once, and such as the reader keeps.
fn check_xattrs(xattrs: &[Xattr]) -> Option<()> {
    let fits = |xattr: &Xattr| {
        is_kept(&xattr.name)
            && xattr.name.len() <= NAME_MAX
            && !xattr.name.contains(&b'=')
            && !xattr.name.contains(&0)
            && xattr.value.len() <= XATTR_VALUE_MAX
    };
    let total: usize = xattrs.iter().map(|xattr| xattr.name.len() + xattr.value.len()).sum();
    let sorted = xattrs.windows(2).all(|pair| pair[0].name < pair[1].name);
    (sorted && total <= XATTRS_MAX && xattrs.iter().all(fits)).then_some(())
}
