//! The system calls of the monitor: what `seccomp.json` beside this file lists, with reasons. All
//! else ends the process. One list for debug and release, compiled by `build.rs`.
//!
//! The kernel does not run a call that is not allowed, but traps it, so that the process can say which
//! one it was. It has no say in what follows: the list does not allow another handler, and where the
//! signal is blocked the kernel kills.

use super::Step;
use crate::report::Failure;
use pyro_sys::seccomp::Instruction;

/// Calls that this kernel is said not to have, so that programs take older ones that can be judged.
const ABSENT: &[Instruction] = include!(concat!(env!("OUT_DIR"), "/absent.rs"));

/// Calls that are allowed.
const MONITOR: &[Instruction] = include!(concat!(env!("OUT_DIR"), "/monitor.rs"));

/// Installs the lists on this thread, and so on all that it will start.
pub fn install() -> Result<(), Failure> {
    pyro_sys::trap::end_with_a_word().step("prepare for forbidden system calls")?;
    // The strict one last: it does not allow installing another.
    for filter in [ABSENT, MONITOR] {
        pyro_sys::seccomp::install(filter.iter().copied()).step("install the system call filter")?;
    }
    Ok(())
}
