//! Installing a compiled seccomp filter.
#![allow(unsafe_code, reason = "the filter is passed by pointer")]

use std::io;

/// Installs `program`, each element one `struct sock_filter`, on this thread and its descendants,
/// for good. Does not set `no_new_privs`: needs `CAP_SYS_ADMIN` in the caller's user namespace.
///
/// # Errors
/// `EACCES` without the capability, `EINVAL` if the kernel refuses the program.
pub fn install(program: &[[u8; 8]]) -> io::Result<()> {
    let mut filter: Vec<libc::sock_filter> = program
        .iter()
        .map(|&[c0, c1, jt, jf, k0, k1, k2, k3]| libc::sock_filter {
            code: u16::from_ne_bytes([c0, c1]),
            jt,
            jf,
            k: u32::from_ne_bytes([k0, k1, k2, k3]),
        })
        .collect();
    let Ok(len) = u16::try_from(filter.len()) else {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    };
    let header = libc::sock_fprog { len, filter: filter.as_mut_ptr() };
    // SAFETY: `header` describes `filter`, which outlives the call; the kernel copies and checks it.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const header) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
