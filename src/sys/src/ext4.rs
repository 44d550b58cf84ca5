//! Growing a mounted ext4.
#![allow(unsafe_code, reason = "an ioctl that rustix does not know")]

use rustix::ioctl::{Setter, ioctl, opcode};
use std::io;
use std::os::fd::AsFd;

/// `EXT4_IOC_RESIZE_FS`: the new size in blocks.
const RESIZE_FS: rustix::ioctl::Opcode = opcode::write::<u64>(b'f', 16);

/// Grows the ext4 that `directory` is on to `blocks` file system blocks.
///
/// # Errors
/// What the kernel says; `EPERM` without `CAP_SYS_RESOURCE` in the initial user namespace.
pub fn resize(directory: impl AsFd, blocks: u64) -> io::Result<()> {
    // SAFETY: the request reads one u64 through the pointer, which is what `Setter` passes.
    let request = unsafe { Setter::<RESIZE_FS, u64>::new(blocks) };
    // SAFETY: opcode and argument type belong together, as above; nothing is kept by the kernel.
    unsafe { ioctl(directory, request) }?;
    Ok(())
}
