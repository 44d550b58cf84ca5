//! The jail of the virtual machine monitor, entered before the first guest instruction.
//!
//! libkrun says of itself that guest and monitor are one security context, so the monitor gets
//! what a hostile guest may have: its own disks, its own sockets, `/dev/kvm`, and the system calls
//! that these take. In order: namespaces of its own (made by the fork, see [`namespaces`]), a root
//! that holds nothing else, Landlock on top of it, no capabilities and limits, a list of system
//! calls. None of it needs root.
//!
//! The steps are types: [`Jail`] → [`Jail::enter`] → [`Inside`] → [`Inside::seal`]. Nothing but the
//! descriptors that were open before is left of the host after the last.

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

/// A process whose root is the jail, and which can still be restricted further.
#[derive(Debug)]
#[must_use = "a jail that is not sealed is half a jail"]
pub struct Inside {
    rules: Vec<(String, Access)>,
}

impl Inside {
    /// Gives up everything else, for good.
    ///
    /// # Errors
    /// The step that failed.
    pub fn seal(self, limits: &Limits) -> Result<Confinement, Failure> {
        limits.apply()?;
        privileges::drop_all()?;
        let landlock = landlock::restrict(&self.rules)?;
        seccomp::install()?;
        Ok(Confinement { landlock })
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
