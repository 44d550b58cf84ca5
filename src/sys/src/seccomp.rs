//! Installing a compiled seccomp filter.
#![allow(unsafe_code, reason = "the filter is passed by pointer")]

use std::io;

/// One instruction: `code`, `jt`, `jf`, `k` of a `struct sock_filter`.
pub type Instruction = (u16, u8, u8, u32);

/// Installs a program on this thread and its descendants, for good. Does not set `no_new_privs`:
/// needs `CAP_SYS_ADMIN` in the caller's user namespace.
///
/// # Errors
/// `EACCES` without the capability, `EINVAL` if the kernel refuses the program.
pub fn install(program: impl IntoIterator<Item = Instruction>) -> io::Result<()> {
    let instructions = program.into_iter().map(|(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k });
    let mut filter: Vec<libc::sock_filter> = instructions.collect();
    let Ok(len) = u16::try_from(filter.len()) else {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    };
    let header = libc::sock_fprog { len, filter: filter.as_mut_ptr() };
    // SAFETY: `header` describes `filter`, which outlives the call; the kernel copies and checks it.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const header) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
