//! What verbs that work on a running workspace share.

use super::super::context::Context;
use super::Addressed;
use crate::error::UserError;
use crate::explain::lifecycle_error;
use pyro_workspace::live::Live;
use serde::Serialize;
use std::fmt::Display;
use std::time::Instant;

/// A result for `--json`: whose it is, and how that runs.
#[derive(Serialize)]
pub struct Report<T> {
    pub workspace_id: String,
    pub execution_mode: &'static str,
    #[serde(flatten)]
    pub result: T,
}

/// What an operation gave, and what is said of every operation.
pub struct Done<T> {
    /// What it gave.
    pub result: T,
    id: String,
    execution_mode: &'static str,
    began: Instant,
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
        let (id, execution_mode) = (directory.id().to_string(), live.record().execution_mode.as_str());
        Ok(Done { result, id, execution_mode, began })
    })
}

impl<T> Done<T> {
    /// `result` as `--json` prints it.
    pub fn report<R>(&self, result: R) -> Report<R> {
        Report { workspace_id: self.id.clone(), execution_mode: self.execution_mode, result }
    }

    /// The one line that sums it up, unless the result is JSON.
    pub fn sum_up(&self, context: &Context, verb: &str, facts: impl Display) {
        let Self { id, execution_mode, began, .. } = self;
        if !context.out.is_json() {
            let duration = began.elapsed().as_millis();
            context.out.note(format_args!(
                "[workspace {verb}] id={id} {facts} execution_mode={execution_mode} duration_ms={duration}"
            ));
        }
    }
}
