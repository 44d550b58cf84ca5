//! The agent's first word to the host.

use pyro_protocol::{BUILD_ID, Ready, Step, frame};
use rustix::time::{ClockId, clock_gettime};
use std::fs::File;
use std::os::fd::OwnedFd;

/// What was done since the start, with the time of each step.
#[derive(Default)]
pub struct Log {
    steps: Vec<Step>,
}

impl Log {
    /// Notes that `step` is done.
    pub fn done(&mut self, step: &str) {
        self.steps.push(Step { name: step.to_owned(), at_us: microseconds() });
    }

    /// Tells the host that the agent serves, or why it does not.
    pub fn send(self, socket: OwnedFd, problem: Option<String>) -> Result<(), frame::FrameError> {
        let ready = Ready { build: BUILD_ID.to_owned(), steps: self.steps, problem };
        frame::write(File::from(socket), &ready)
    }
}

/// Time since the kernel started.
fn microseconds() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec.unsigned_abs() * 1_000_000 + now.tv_nsec.unsigned_abs() / 1000
}
