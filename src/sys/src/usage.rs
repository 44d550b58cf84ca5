//! What ended children have used.
#![allow(unsafe_code, reason = "getrusage has no safe wrapper")]

/// The most memory that any one child, of those that were waited for, has held; zero if unknown.
#[must_use]
pub fn peak_of_children_kib() -> u64 {
    // SAFETY: all zeros is a valid rusage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is writable and of the right type.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) };
    usage.ru_maxrss.try_into().unwrap_or(0)
}
