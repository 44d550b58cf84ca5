//! The workspace that a result is about, and how it runs: every result says so.

use super::super::context::Context;
use crate::error::UserError;
use crate::explain::workspace_error;
use pyro_workspace::{Directory, ExecutionMode, Record, WorkspaceId};
use serde::Serialize;
use std::fmt::Display;
use std::time::Instant;

/// A workspace that something was done with.
pub struct Subject {
    id: WorkspaceId,
    mode: ExecutionMode,
    began: Instant,
}

/// A result for `--json`: whose it is, and how that runs.
#[derive(Serialize)]
pub struct Report<T> {
    workspace_id: String,
    execution_mode: &'static str,
    #[serde(flatten)]
    result: T,
}

impl Subject {
    /// That of a record, with which something was begun at `began`.
    pub fn new(record: &Record, began: Instant) -> Self {
        Self { id: record.id.clone(), mode: record.execution_mode, began }
    }

    /// That of a directory, with which something begins.
    ///
    /// # Errors
    /// When there is no record of it.
    pub fn of(directory: &Directory) -> Result<Self, UserError> {
        let record = directory.record().map_err(|error| workspace_error(&error))?;
        Ok(Self::new(&record, Instant::now()))
    }

    /// `result` as `--json` prints it.
    pub fn report<T>(&self, result: T) -> Report<T> {
        let (workspace_id, execution_mode) = (self.id.to_string(), self.mode.as_str());
        Report { workspace_id, execution_mode, result }
    }

    /// The one line that sums up what was done, unless the result is JSON.
    pub fn sum_up(&self, context: &Context, verb: &str, facts: impl Display) {
        let Self { id, mode, began } = self;
        if !context.out.is_json() {
            let (mode, duration) = (mode.as_str(), began.elapsed().as_millis());
            context.out.note(format_args!(
                "[workspace {verb}] id={id} {facts} execution_mode={mode} duration_ms={duration}"
            ));
        }
    }
}
