//! libkrun's C interface, one safe function a call: strings are C strings, results are `Result`s.
//!
//! The identifiers of contexts are plain numbers and libkrun checks them, so a wrong one is an
//! error and not a danger.
#![allow(unsafe_code, reason = "libkrun's interface takes C strings, and libraries run code when loaded")]

mod ioctl;

use libloading::os::unix::RTLD_NOW;
use std::ffi::{CStr, c_char};
use std::io;
use std::path::Path;
use std::ptr;

/// `krun_set_env` reads this many pointers, whatever comes after the one that ends the list.
const WORDS: usize = 4096;

/// libkrun's numbers for formats of disks.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum Format {
    /// The file is the disk.
    Raw = 0,
    /// The file describes the disk's extents.
    Vmdk = 2,
}

/// libkrun's numbers for what a flush by the guest does.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum Sync {
    /// Nothing: for disks that are not written.
    None = 0,
    /// Writes the file's data to the host's disk.
    Full = 2,
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(()) }
}

/// Sends libkrun's log, and with it the guest's console, to standard error. Down to its remarks, which are
/// few: why a processor stopped is one of them.
pub fn log() -> io::Result<()> {
    const STDERR: i32 = 2;
    const REMARKS: u32 = 3;
    const PLAIN: u32 = 2;
    const NO_ENVIRONMENT: u32 = 1;
    // SAFETY: integers only; standard error is named by libkrun's own convention and stays open.
    check(unsafe { krun::krun_init_log(STDERR, REMARKS, PLAIN, NO_ENVIRONMENT) })
}

/// What every libkrunfw has.
const KERNEL: &[u8] = b"krunfw_get_kernel\0";

/// The name under which libkrun looks for it, which tells the version.
const NAME: &str = "libkrunfw.so.5";

/// Why a library is not the one.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is no library, or no libkrunfw.
    #[error(transparent)]
    Library(#[from] libloading::Error),
    /// It has another name of its own.
    #[error("it is not of the version that libkrun wants, {NAME}")]
    Version,
}

/// Loads libkrunfw for good, so that libkrun finds it under its own name.
pub fn load(library: &Path) -> Result<(), LoadError> {
    /// Only what is loaded already: `RTLD_NOLOAD`.
    const NO_LOAD: i32 = 4;
    // SAFETY: this runs the library's code: it is the guest kernel's carrier, named by the owner,
    // and this process is about to be confined for what comes out of it.
    let library = unsafe { libloading::Library::new(library) }?;
    // SAFETY: the symbol is only looked for, and not called.
    unsafe { library.get::<unsafe extern "C" fn()>(KERNEL) }?;
    std::mem::forget(library);
    // SAFETY: loads nothing, and so runs nothing.
    let known = unsafe { libloading::os::unix::Library::open(Some(NAME), RTLD_NOW | NO_LOAD) };
    known.map(std::mem::forget).map_err(|_| LoadError::Version)
}

/// A new context.
pub fn create() -> io::Result<u32> {
    let id = krun::krun_create_ctx();
    check(id)?;
    Ok(id.unsigned_abs())
}

/// Processors and memory.
pub fn set_size(id: u32, vcpus: u8, mem_mib: u32) -> io::Result<()> {
    check(krun::krun_set_vm_config(id, vcpus, mem_mib))
}

/// Words at the end of the kernel's command line.
pub fn set_words(id: u32, words: &[&CStr]) -> io::Result<()> {
    if words.len() >= WORDS {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut list: Vec<*const c_char> = words.iter().map(|word| word.as_ptr()).collect();
    list.resize(WORDS, ptr::null());
    // SAFETY: `list` has the length that libkrun reads, its words live through the call, and the
    // rest is null, which ends the list.
    check(unsafe { krun::krun_set_env(id, list.as_ptr()) })
}

/// The next disk.
pub fn add_disk(
    id: u32,
    name: &CStr,
    path: &CStr,
    format: Format,
    read_only: bool,
    sync: Sync,
) -> io::Result<()> {
    let direct = false;
    // SAFETY: C strings that live through the call.
    check(unsafe {
        krun::krun_add_disk3(id, name.as_ptr(), path.as_ptr(), format as u32, read_only, direct, sync as u32)
    })
}

/// No console on standard input and output.
pub fn disable_implicit_console(id: u32) -> io::Result<()> {
    check(krun::krun_disable_implicit_console(id))
}

/// A console whose output goes to the log, and which has no input.
pub fn add_logged_console(id: u32) -> io::Result<()> {
    const NOTHING: i32 = -1;
    // SAFETY: integers only, none of which is a descriptor.
    check(unsafe { krun::krun_add_virtio_console_default(id, NOTHING, NOTHING, NOTHING) })
}

/// No vsock device that would also open the host's sockets for the guest.
pub fn disable_implicit_vsock(id: u32) -> io::Result<()> {
    check(krun::krun_disable_implicit_vsock(id))
}

/// A vsock device that does nothing but forward the ports that are added.
pub fn add_plain_vsock(id: u32) -> io::Result<()> {
    const NO_SOCKETS_OF_THE_HOST: u32 = 0;
    check(krun::krun_add_vsock(id, NO_SOCKETS_OF_THE_HOST))
}

/// Forwards the vsock port to the Unix socket at `path`. With `listen` the host's side dials, and
/// libkrun makes the socket; without it the guest's side does, and somebody listens at `path`.
pub fn add_vsock_port(id: u32, port: u32, path: &CStr, listen: bool) -> io::Result<()> {
    // SAFETY: a C string that lives through the call.
    check(unsafe { krun::krun_add_vsock_port2(id, port, path.as_ptr(), listen) })
}

/// Becomes the machine. Returns only what kept it from that.
pub fn enter(id: u32) -> io::Error {
    match check(krun::krun_start_enter(id)) {
        Err(error) => error,
        Ok(()) => io::ErrorKind::Other.into(),
    }
}
