//! The jail of the virtual machine monitor, entered before the first guest instruction.
//!
//! libkrun says of itself that guest and monitor are one security context, so the monitor gets
//! what a hostile guest may have: its own disks, its own sockets, `/dev/kvm`, and the system calls
//! that these take. In order: namespaces of its own (made by the fork, see [`namespaces`]), a root
//! that holds nothing else, Landlock on top of it, no capabilities and limits, a list of system
//! calls. None of it needs root.
//!
//! The steps are types: [`Jail`] → [`Jail::enter`] → [`Inside::restrict`] → [`Restricted::filter`].
//! Nothing but the descriptors that were open before is left of the host after the last.

mod jail;
mod landlock;
mod limits;
pub mod namespaces;
mod privileges;
mod seccomp;

pub use jail::{Access, Jail};
pub use limits::Limits;

use crate::report::{Confinement, Failure};
use std::fmt::Display;

/// A process whose root is the jail, and which has its powers still.
#[derive(Debug)]
#[must_use = "a jail with powers is half a jail"]
pub struct Inside {
    rules: Vec<(String, Access)>,
}

/// A process in the jail without powers, which may still try every system call.
#[derive(Debug)]
#[must_use = "a jail without a filter leaves the whole kernel to attack"]
pub struct Restricted {
    confinement: Confinement,
}

impl Inside {
    /// Gives up capabilities and whatever a new program or a debugger could bring, and sets limits,
    /// for good.
    ///
    /// # Errors
    /// The step that failed.
    pub fn restrict(self, limits: &Limits) -> Result<Restricted, Failure> {
        limits.apply()?;
        privileges::drop_all()?;
        let landlock = landlock::restrict(&self.rules)?;
        Ok(Restricted { confinement: Confinement { landlock } })
    }
}

impl Restricted {
    /// Gives up all system calls that a monitor does not need, for good: the first one that is tried
    /// is named on standard error, and ends the process.
    ///
    /// # Errors
    /// If the kernel takes no filter.
    pub fn filter(self) -> Result<Confinement, Failure> {
        seccomp::install()?;
        Ok(self.confinement)
    }
}

/// Names the step of a result.
trait Step<T> {
    /// `step` says what was tried, as in "mount /dev/kvm".
    fn step(self, step: impl Into<String>) -> Result<T, Failure>;
}

impl<T, E: Display> Step<T> for Result<T, E> {
    fn step(self, step: impl Into<String>) -> Result<T, Failure> {
        self.map_err(|error| Failure { step: step.into(), reason: error.to_string() })
    }
}
