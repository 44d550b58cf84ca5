//! One request of libkrun to KVM that it need not wait for.
//!
//! libkrun turns the reinjection of lost timer ticks off (`KVM_REINJECT_CONTROL`), because AMD's processors
//! deliver interrupts the slow way with it. The kernel waits for two grace periods there, 12 to 16 ms in which
//! the machine could run: until the request is done, no more happens than that interrupts are slower. So the
//! linker sends every `ioctl` of this program here (`--wrap`, see `build.rs`), and that one is made on a
//! thread of its own.
#![allow(unsafe_code, reason = "takes the place of a function of the C library")]

use std::ffi::{c_int, c_ulong, c_void};
use std::io;
use std::thread;

/// `KVM_REINJECT_CONTROL` of `linux/kvm.h`.
const REINJECT_CONTROL: c_ulong = 0xae71;

/// `struct kvm_reinject_control`.
#[derive(Clone, Copy)]
#[repr(C)]
struct ReinjectControl {
    pit_reinject: u8,
    reserved: [u8; 31],
}

unsafe extern "C" {
    /// The C library's.
    fn __real_ioctl(fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int;
}

/// What callers of `ioctl` in this program reach. In C it takes any number of arguments; Linux takes one, and
/// on x86_64 it is passed the same way.
///
/// # Safety
/// As that of the C library's `ioctl`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_ioctl(fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int {
    if request == REINJECT_CONTROL {
        // SAFETY: the caller gives what the request takes, for as long as the call lasts.
        let control = unsafe { *argument.cast::<ReinjectControl>() };
        if thread::Builder::new().spawn(move || reinject(fd, control)).is_ok() {
            return 0;
        }
    }
    // SAFETY: the caller's own arguments, as they came.
    unsafe { __real_ioctl(fd, request, argument) }
}

/// Makes the request. The machine's descriptor is open as long as this process lives.
#[expect(clippy::print_stderr, reason = "standard error is the machine's log")]
fn reinject(fd: c_int, mut control: ReinjectControl) {
    // SAFETY: a structure of the size that the request reads, which lives through the call.
    let done = unsafe { __real_ioctl(fd, REINJECT_CONTROL, (&raw mut control).cast()) };
    if done < 0 {
        let error = io::Error::last_os_error();
        eprintln!("KVM goes on to reinject lost timer ticks, which slows interrupts down: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;
    use std::fs::File;
    use std::os::fd::AsRawFd as _;

    #[test]
    fn the_linker_sends_all_requests_here_and_one_is_not_waited_for() {
        // No machine: made here and now, each request fails.
        let file = File::open("/dev/null").unwrap();
        let mut control = ReinjectControl { pit_reinject: 0, reserved: [0; 31] };
        for (request, expected) in [(REINJECT_CONTROL, 0), (REINJECT_CONTROL + 1, -1)] {
            // SAFETY: what the request would read lives through the call.
            let done = unsafe { libc::ioctl(file.as_raw_fd(), request, &raw mut control) };
            assert_eq!(done, expected, "{request:x}");
        }
        assert_eq!(io::Error::last_os_error().raw_os_error(), Some(Errno::NOTTY.raw_os_error()));
    }
}
