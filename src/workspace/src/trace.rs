//! Trace points of a start, for finding out where its time goes: `PYRO_LOG=startup=debug pyro run …`
//! prints each with the monotonic clock's microseconds, which other processes' points share.

use pyro_machine::report::Stage;
use pyro_protocol::Step;

/// Says that `name` is reached now.
pub fn reached(name: &str) {
    stage(&Stage::now(name));
}

/// Says when a stage was reached, maybe by another process.
pub fn stage(stage: &Stage) {
    tracing::debug!(target: "startup", at_us = stage.at_us, "{}", stage.name);
}

/// Says when the agent finished a step, by its guest's clock. The name is the guest's own.
pub(crate) fn step(step: &Step) {
    tracing::debug!(target: "startup", guest_us = step.at_us, "agent {:?}", step.name);
}
