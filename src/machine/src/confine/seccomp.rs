//! The system calls of the monitor: what `seccomp.json` beside this file lists, with reasons. All
//! else kills the process. One list for debug and release, compiled by `build.rs`.

use super::Step;
use crate::report::Failure;
use pyro_sys::seccomp::Instruction;

const FILTER: &[Instruction] = include!(concat!(env!("OUT_DIR"), "/seccomp.rs"));

/// Installs the list on this thread, and so on all that it will start.
pub fn install() -> Result<(), Failure> {
    pyro_sys::seccomp::install(FILTER.iter().copied()).step("install the system call filter")
}
