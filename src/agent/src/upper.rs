//! The upper directory of the root's overlay: what the workspace has changed, as the kernel keeps it.

use crate::boot::Place;
use crate::failure::failed;
use pyro_protocol::Failure;
use rustix::buffer::spare_capacity;
use rustix::fs::{Mode, OFlags, lgetxattr, llistxattr, openat};
use rustix::io::Errno;
use serde_bytes::ByteBuf;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Most bytes of the names of a file's attributes, and of the value of each: the kernel's limit.
const ATTRIBUTE_MAX: usize = 64 << 10;

/// Overlayfs' own attributes under either of its prefixes. Those under the other prefix mean
/// nothing here, and would where a layer made of them is used.
const PRIVATE: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];

/// The upper directory.
pub struct Upper {
    directory: OwnedFd,
    /// Which of [`PRIVATE`] this overlay uses.
    prefix: &'static [u8],
}

impl Upper {
    /// `directory` as the overlay of `place` keeps it.
    pub fn new(directory: OwnedFd, place: Place) -> Self {
        let prefix = match place {
            Place::MicroVm => PRIVATE[0],
            Place::Namespaces(_) => PRIVATE[1],
        };
        Self { directory, prefix }
    }

    /// Opens the directory itself for reading.
    pub fn open(&self) -> Result<OwnedFd, Errno> {
        openat(&self.directory, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
    }
}

impl AsFd for Upper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// Extended attributes of one name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Those that the workspace knows of, sorted by name.
    pub visible: Vec<(ByteBuf, ByteBuf)>,
    /// The directory hides what is below it.
    pub opaque: bool,
    /// The name hides what is below it.
    pub whiteout: bool,
    /// The name stands for something in the layers below.
    pub refers: bool,
}

/// Reads attributes, with buffers for it.
pub struct AttributeReader {
    prefix: &'static [u8],
    names: Vec<u8>,
    value: Vec<u8>,
}

impl AttributeReader {
    /// For names in `upper`.
    pub fn new(upper: &Upper) -> Self {
        let buffer = || Vec::with_capacity(ATTRIBUTE_MAX);
        Self { prefix: upper.prefix, names: buffer(), value: buffer() }
    }

    /// The attributes of `name` in `parent`, whatever it is: there is no call that takes both.
    pub fn read(&mut self, parent: impl AsFd, name: &CStr) -> Result<Attributes, Errno> {
        let directory = format!("/proc/self/fd/{}/", parent.as_fd().as_raw_fd());
        let path = [directory.as_bytes(), name.to_bytes()].concat();
        let path = CString::new(path).map_err(|_| Errno::INVAL)?;
        let mut found = Attributes::default();
        self.names.clear();
        match llistxattr(path.as_c_str(), spare_capacity(&mut self.names)) {
            Ok(_) => {}
            Err(Errno::NOTSUP) => return Ok(found),
            Err(error) => return Err(error),
        }
        for attribute in self.names.split_inclusive(|&byte| byte == 0) {
            let attribute = CStr::from_bytes_with_nul(attribute).map_err(|_| Errno::INVAL)?;
            let own = attribute.to_bytes().strip_prefix(self.prefix);
            let visible = !PRIVATE.iter().any(|prefix| attribute.to_bytes().starts_with(prefix));
            if !visible && own.is_none() {
                continue;
            }
            self.value.clear();
            match lgetxattr(path.as_c_str(), attribute, spare_capacity(&mut self.value)) {
                Ok(_) => {}
                // Gone, or not ours to see.
                Err(Errno::NODATA) => continue,
                Err(error) => return Err(error),
            }
            match own {
                Some(b"opaque") => found.opaque = self.value == b"y",
                Some(b"whiteout") => found.whiteout = true,
                Some(b"redirect" | b"metacopy") => found.refers = true,
                Some(_) => {}
                None => {
                    let name = ByteBuf::from(attribute.to_bytes());
                    found.visible.push((name, ByteBuf::from(self.value.as_slice())));
                }
            }
        }
        found.visible.sort_unstable();
        Ok(found)
    }
}

/// There is nothing to look at.
pub fn missing() -> Failure {
    failed(b"the writable layer", Errno::NOENT)
}
