//! Stream sockets between a virtual machine and its host.
#![allow(unsafe_code, reason = "rustix has no address type for AF_VSOCK")]

use rustix::net::{AddressFamily, SocketFlags, SocketType, listen as start_listening, socket_with};
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};

/// The context id of the host, as a guest sees it.
pub const HOST: u32 = libc::VMADDR_CID_HOST;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;

/// Listens on `port`, for the host and whoever else can reach this context.
///
/// # Errors
/// What the kernel says; `EAFNOSUPPORT` if it has no vsock.
pub fn listen(port: u32) -> io::Result<OwnedFd> {
    let socket = stream()?;
    let address = address(libc::VMADDR_CID_ANY, port);
    // SAFETY: `address` is a sockaddr_vm of exactly the length given, and lives through the call.
    let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    start_listening(&socket, BACKLOG)?;
    Ok(socket)
}

/// Connects to `port` of `context`.
///
/// # Errors
/// What the kernel says: `ECONNRESET` or `ECONNREFUSED` if nobody listens there.
pub fn connect(context: u32, port: u32) -> io::Result<OwnedFd> {
    let socket = stream()?;
    let address = address(context, port);
    // SAFETY: `address` is a sockaddr_vm of exactly the length given, and lives through the call.
    let result = unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), length()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(socket) }
}

fn stream() -> io::Result<OwnedFd> {
    Ok(socket_with(AddressFamily::VSOCK, SocketType::STREAM, SocketFlags::CLOEXEC, None)?)
}

fn address(context: u32, port: u32) -> libc::sockaddr_vm {
    // SAFETY: all zeros is a valid sockaddr_vm.
    let mut address: libc::sockaddr_vm = unsafe { mem::zeroed() };
    address.svm_family = libc::AF_VSOCK as libc::sa_family_t;
    address.svm_cid = context;
    address.svm_port = port;
    address
}

fn length() -> libc::socklen_t {
    size_of::<libc::sockaddr_vm>() as libc::socklen_t
}
