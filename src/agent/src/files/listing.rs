//! The names in a directory, sorted.

use rustix::fs::RawDir;
use rustix::io::Errno;
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;

/// Bytes of directory entries that the kernel is asked for at once.
const BUFFER: usize = 32 << 10;

/// Names in one piece of memory, since a directory may have a million of them.
#[derive(Default)]
pub struct Listing {
    /// Each with its final NUL.
    bytes: Vec<u8>,
    /// Where each begins, in order.
    starts: Vec<u32>,
    next: usize,
}

impl Listing {
    /// Reads all names but `.` and `..`.
    pub fn of(directory: impl AsFd) -> Result<Self, Errno> {
        let mut listing = Self::default();
        let mut buffer = vec![MaybeUninit::uninit(); BUFFER];
        let mut entries = RawDir::new(directory, &mut buffer);
        while let Some(entry) = entries.next() {
            match entry {
                Ok(entry) => listing.push(entry.file_name())?,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        let Self { bytes, starts, .. } = &mut listing;
        starts.sort_unstable_by(|&left, &right| name(bytes, left).cmp(name(bytes, right)));
        Ok(listing)
    }

    /// One name alone.
    pub fn only(name: &CStr) -> Self {
        Self { bytes: name.to_bytes_with_nul().to_vec(), starts: vec![0], next: 0 }
    }

    /// The next name.
    pub fn next(&mut self) -> Option<&CStr> {
        let start = *self.starts.get(self.next)?;
        self.next += 1;
        Some(name(&self.bytes, start))
    }

    fn push(&mut self, name: &CStr) -> Result<(), Errno> {
        if name != c"." && name != c".." {
            self.starts.push(u32::try_from(self.bytes.len()).map_err(|_| Errno::OVERFLOW)?);
            self.bytes.extend_from_slice(name.to_bytes_with_nul());
        }
        Ok(())
    }
}

fn name(bytes: &[u8], start: u32) -> &CStr {
    CStr::from_bytes_until_nul(&bytes[start as usize..]).expect("every name was stored with its NUL")
}
