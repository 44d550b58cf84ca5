//! What the disk of a stopped workspace did not give.

use super::{OUTPUT, full, lifecycle_error, not_started, snapshot_error};
use crate::error::UserError;
use pyro_workspace::agent::AgentError;
use pyro_workspace::disk::{Disk, ExportError, OpenError};
use pyro_workspace::{FailureKind, LifecycleError, State};

/// Why a disk was not opened, with the next step.
pub fn disk_open_error(error: &OpenError) -> UserError {
    match error {
        OpenError::Lifecycle(error) => taken(error),
        OpenError::Store(_) => UserError::new("store", error).hint("pyro doctor"),
        OpenError::NotStarted(error) => not_started(error, true),
    }
}

/// It runs, or somebody works on it.
fn taken(error: &LifecycleError) -> UserError {
    match error {
        LifecycleError::State { id, state: State::Started { .. } } => {
            UserError::new("wrong_state", format_args!("{error}: its disk is in use"))
                .hint(format!("pyro workspace stop {id}"))
        }
        error => lifecycle_error(error),
    }
}

/// Its agent did not do it.
pub fn disk_error(disk: &Disk, error: &AgentError) -> UserError {
    match error {
        AgentError::Failed(failure) if failure.kind == FailureKind::NotFound => {
            UserError::new("no_such_file", error)
                .hint(format!("pyro workspace disk list {}", disk.record().id))
        }
        AgentError::Failed(_) => {
            UserError::new("refused", error).hint(format!("pyro workspace disk list {}", disk.record().id))
        }
        _ => UserError::new("agent", error).hint("pyro doctor"),
    }
}

/// There is no such file now.
pub fn disk_export_error(error: &ExportError) -> UserError {
    if let ExportError::File { .. } = error
        && let Some(full) = full(error, OUTPUT)
    {
        return full;
    }
    match error {
        ExportError::Lifecycle(error) => taken(error),
        ExportError::Snapshot(error) => snapshot_error(error),
        ExportError::Exists(_) => UserError::new("exists", error).hint("choose another --output"),
        ExportError::NoImage(id) => UserError::new("unsupported", error)
            .hint(format!("pyro workspace disk export {id} --format tar --output FILE")),
        ExportError::File { .. } => UserError::new("output", error).hint("choose another --output"),
        ExportError::Store(_) | ExportError::Image(_) => UserError::new("store", error).hint("pyro doctor"),
        ExportError::Cancelled => UserError::new("interrupted", error),
    }
}
