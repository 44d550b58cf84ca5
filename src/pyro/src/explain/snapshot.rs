//! States of a workspace that are not there.

use super::{STATE, full, gone, lifecycle_error, not_started, workspace_error};
use crate::error::UserError;
use pyro_oci::LayerError;
use pyro_workspace::ResetError;
use pyro_workspace::agent::AgentError;
use pyro_workspace::snapshot::SnapshotError;

/// Why there is no such state, with the next step.
pub fn snapshot_error(error: &SnapshotError) -> UserError {
    if let Some(full) = full(error, STATE) {
        return full;
    }
    match error {
        SnapshotError::Lifecycle(error) => lifecycle_error(error),
        SnapshotError::Workspace(error) => workspace_error(error),
        SnapshotError::NotStarted(failed) => not_started(failed, true),
        SnapshotError::Taken { id, name } => UserError::new("name_taken", error)
            .hint(format!("take another name, or: pyro workspace snapshot delete {id} {name}")),
        SnapshotError::Reserved => UserError::usage(error).hint("take another name"),
        SnapshotError::Missing { id, .. } => {
            UserError::new("not_found", error).hint(format!("pyro workspace snapshot list {id}"))
        }
        SnapshotError::Reset(_) | SnapshotError::Moving(_) => {
            UserError::new("changed", error).hint("try again")
        }
        // The tar is made of the workspace's files: what is wrong with it is wrong with them.
        SnapshotError::Agent(AgentError::TooMuch(_))
        | SnapshotError::Layer(LayerError::Written(_) | LayerError::Tar(..)) => {
            UserError::new("no_layer", error).hint("remove it from the workspace, and try again")
        }
        SnapshotError::Gone { directory, source } => gone(directory, source),
        SnapshotError::Agent(_) => UserError::new("agent", error).hint("pyro workspace list"),
        SnapshotError::Layer(_) | SnapshotError::Store(_) | SnapshotError::Config(..) => {
            UserError::new("store", error).hint("pyro doctor")
        }
        SnapshotError::Reference(_) => UserError::usage(error),
    }
}

/// Why a workspace was not reset or forked, with the next step.
pub fn reset_error(error: &ResetError) -> UserError {
    match error {
        ResetError::Snapshot(error) => snapshot_error(error),
        ResetError::Lifecycle(error) => lifecycle_error(error),
        ResetError::Workspace(error) => workspace_error(error),
        ResetError::NotStarted(failed) => not_started(failed, true),
        ResetError::NotReset { id, failed } => {
            let error = UserError { message: error.to_string(), ..not_started(failed, true) };
            error.hint(format!("pyro workspace start {id}"))
        }
    }
}
