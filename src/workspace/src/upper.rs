//! The writable disk of a workspace: a sparse file that holds an empty ext4 file system.
//!
//! The file system was made once (`docs/development.md` says how) and is 128 MiB long; twelve of
//! its blocks are not zero. A new disk is those blocks in a file as long as the quota; the agent
//! grows the file system to it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// The template's blocks that are not zero: offset (eight bytes, little endian), then 4 KiB.
const BLOCKS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/upper.blocks"));
const BLOCK: usize = 4096;

/// Smallest disk, in MiB: the template's own length.
pub const DISK_MIB_MIN: u32 = 128;

/// Largest disk, in MiB: the template reserves group descriptors up to here.
pub const DISK_MIB_MAX: u32 = 64 << 10;

/// Makes a new disk of `mib` MiB at `path`, which must not exist.
///
/// # Errors
/// What the file system says; then no file is left.
pub fn create(path: &Path, mib: u32) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    fill(&file, mib).inspect_err(|_| {
        let _ = std::fs::remove_file(path);
    })
}

fn fill(file: &File, mib: u32) -> io::Result<()> {
    file.set_len(u64::from(mib) << 20)?;
    for record in BLOCKS.chunks_exact(8 + BLOCK) {
        let (offset, block) = record.split_at(8);
        let offset = u64::from_le_bytes(offset.try_into().expect("split at eight"));
        file.write_all_at(block, offset)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;
    use std::process::Command;

    #[test]
    fn a_new_disk_is_a_clean_ext4_that_takes_little_room() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("upper.img");
        create(&path, 8192).unwrap();
        let data = path.metadata().unwrap();
        assert_eq!(data.len(), 8 << 30);
        assert!(data.blocks() * 512 <= 256 << 10, "{} bytes are allocated", data.blocks() * 512);
        assert_eq!(create(&path, 8192).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        let check = Command::new("e2fsck").args(["-fn"]).arg(&path).output().unwrap();
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    }

    #[test]
    fn the_template_is_the_size_that_the_limits_say() {
        assert_eq!(env!("PYRO_UPPER_BYTES"), (u64::from(DISK_MIB_MIN) << 20).to_string());
        assert!(BLOCKS.len().is_multiple_of(8 + BLOCK));
    }
}
