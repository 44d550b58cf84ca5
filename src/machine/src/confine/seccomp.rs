//! The system calls of the monitor: what `seccomp.json` beside this file lists, with reasons. All
//! else kills the process. One list for debug and release, compiled by `build.rs`.

use super::Step;
use crate::report::Failure;
use pyro_sys::seccomp::Instruction;

/// Calls that this kernel is said not to have, so that programs take older ones that can be judged.
const ABSENT: &[Instruction] = include!(concat!(env!("OUT_DIR"), "/absent.rs"));

/// Calls that are allowed.
const MONITOR: &[Instruction] = include!(concat!(env!("OUT_DIR"), "/monitor.rs"));

/// Installs the lists on this thread, and so on all that it will start.
pub fn install() -> Result<(), Failure> {
    // The strict one last: it does not allow installing another.
    for filter in [ABSENT, MONITOR] {
        pyro_sys::seccomp::install(filter.iter().copied()).step("install the system call filter")?;
    }
    Ok(())
}
