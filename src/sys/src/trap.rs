//! System calls that a seccomp filter traps: they end the process, which says first what it was.
#![allow(unsafe_code, reason = "signal handlers are installed and called by pointer")]

use rustix::stdio::stderr;
use std::ffi::{c_int, c_void};
use std::io;
use std::mem::zeroed;
use std::ptr;

/// What is written to standard error, before the number of the call and a line's end.
pub const WORDS: &str = "forbidden system call ";

/// Exit status of a process that made one: as shells name the signal.
pub const STATUS: i32 = 128 + libc::SIGSYS;

/// The beginning of the kernel's `siginfo_t` for `SIGSYS`.
#[repr(C)]
struct Trapped {
    signal: c_int,
    error: c_int,
    code: c_int,
    address: *const c_void,
    call: c_int,
}

/// Has this process say its first trapped call on standard error, and end. A process without this
/// is ended by the kernel, without a word.
///
/// # Errors
/// What the kernel says.
pub fn end_with_a_word() -> io::Result<()> {
    // SAFETY: a struct of integers, a set of bits and optional pointers: all may be zero.
    let mut action: libc::sigaction = unsafe { zeroed() };
    action.sa_sigaction = on_trap as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: `action` lives through the call; its handler has the signature of `SA_SIGINFO`, and does
    // only what may be done in one.
    let result = unsafe { libc::sigaction(libc::SIGSYS, &raw const action, ptr::null_mut()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Allocates nothing and takes no lock: it runs in the middle of anything.
extern "C" fn on_trap(_signal: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: the kernel passes a `siginfo_t` of `SIGSYS`, which begins so.
    let call = unsafe { (*info.cast::<Trapped>()).call };
    let mut line = [b'\n'; WORDS.len() + DIGITS + 1];
    let start = line.len() - 1 - write_number(call.unsigned_abs(), &mut line);
    let start = start - WORDS.len();
    line[start..start + WORDS.len()].copy_from_slice(WORDS.as_bytes());
    // Nobody may read it any more.
    let _ = rustix::io::write(stderr(), &line[start..]);
    // SAFETY: ends all threads without running anything of ours.
    unsafe { libc::_exit(STATUS) }
}

/// Decimal digits of a `u32`.
const DIGITS: usize = 10;

/// Writes a number before the last byte of `line`; returns how many digits it has.
fn write_number(mut number: u32, line: &mut [u8]) -> usize {
    let end = line.len() - 1;
    let mut digits = 0;
    while digits == 0 || number > 0 {
        digits += 1;
        line[end - digits] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    digits
}
