//! What verbs that work on a running workspace share.

use super::super::context::Context;
use super::Addressed;
use super::subject::{Report, Subject};
use crate::error::UserError;
use crate::explain::lifecycle_error;
use pyro_workspace::live::Live;
use std::fmt::Display;
use std::time::Instant;

/// What an operation gave, and what is said of every operation.
pub struct Done<T> {
    /// What it gave.
    pub result: T,
    subject: Subject,
}

/// Runs an operation on a workspace that runs. A signal ends it.
///
/// # Errors
/// With the next step.
pub fn on<T>(
    context: &Context,
    workspace: &Addressed,
    operation: impl FnOnce(&Live<'_>) -> Result<T, UserError>,
) -> Result<Done<T>, UserError> {
    let began = Instant::now();
    let home = context.home()?;
    let directory = workspace.find(&home)?;
    context.interruptible(|until| {
        let live = Live::open(&home, &directory, until).map_err(|error| lifecycle_error(&error))?;
        let result = operation(&live)?;
        Ok(Done { result, subject: Subject::new(live.record(), began) })
    })
}

impl<T> Done<T> {
    /// `result` as `--json` prints it.
    pub fn report<R>(&self, result: R) -> Report<R> {
        self.subject.report(result)
    }

    /// The one line that sums it up, unless the result is JSON.
    pub fn sum_up(&self, context: &Context, verb: &str, facts: impl Display) {
        self.subject.sum_up(context, verb, facts);
    }
}
