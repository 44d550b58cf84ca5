//! From a library's error to what a person reads: a code, what and why, and the next command.

mod disk;
mod full;
mod live;
mod project;
mod recipe;
mod snapshot;

pub use disk::{disk_error, disk_export_error, disk_open_error};
pub use full::{OUTPUT, STATE, full};
pub use live::{
    access_error, apply_error, changes_error, export_error, gone, patch_error, place, push_error, seed_error,
    summary_error,
};
pub use project::{project_error, repository_error};
pub use recipe::recipe_error;
pub use snapshot::{reset_error, snapshot_error};

use crate::catalog::Environment;
use crate::error::UserError;
use crate::exit::Exit;
use pyro_oci::{PullError, RegistryError, StoreError};
use pyro_workspace::{
    Cause, Directory, Failure, FailureKind, FindError, Home, HomeError, LifecycleError, NotStarted,
    WorkspaceError, failure_code,
};
use std::path::Path;

/// The store of images cannot do what was asked.
pub fn store_error(error: &StoreError) -> UserError {
    if let Some(full) = full(error, STATE) {
        return full;
    }
    let hint = match error {
        StoreError::Newer { .. } => {
            "use the newer pyro that made it, or another directory with --home DIR".into()
        }
        StoreError::Missing { reference, .. } => {
            format!("pyro env pull {reference} or pyro env import brings back what is missing")
        }
        StoreError::Damaged { .. } => {
            "remove that file, then pyro env pull or pyro env import the image again".into()
        }
        StoreError::NotFound(_) => "pyro env list shows what is installed".into(),
        StoreError::File(_) => "pyro doctor checks the state directory; --home DIR takes another".into(),
    };
    UserError::new("store", error).hint(hint)
}

/// Opens the state directory, making it if it is not there.
///
/// # Errors
/// When it cannot be made or used.
pub fn open_home(path: &Path) -> Result<Home, UserError> {
    Home::open(path).map_err(|error| match error {
        HomeError::Store(error) => store_error(&error),
        error => {
            UserError::new("home", error).hint("choose another state directory with --home DIR or PYRO_HOME")
        }
    })
}

/// The workspace that a text names: by its id, the beginning of it, or its name.
///
/// # Errors
/// With the next step.
pub fn find(home: &Home, text: &str) -> Result<Directory, UserError> {
    pyro_workspace::find(home, text).map_err(|error| match error {
        FindError::Missing { .. } | FindError::Ambiguous { .. } => {
            UserError::new("not_found", error).hint("pyro workspace list")
        }
        FindError::Workspace(error) => workspace_error(&error),
    })
}

/// Why an image was not pulled, with the next step.
pub fn pull_error(environment: &Environment, error: &PullError) -> UserError {
    if let Some(full) = full(error, STATE) {
        return full;
    }
    let hint = match error {
        PullError::Store(error) => return store_error(error),
        PullError::Local(_) => {
            "pyro env list shows what is installed; pyro env import FILE installs an image"
        }
        PullError::Registry(RegistryError::NotFound { .. } | RegistryError::Unauthorized { .. }) => {
            "check the name and the login; pyro env list shows the official environments"
        }
        PullError::Registry(_) if environment.is_official() => {
            "where Docker Hub is out of reach, images/README.md says how to make it from Debian packages"
        }
        PullError::Registry(_) => "pyro doctor shows whether the registry can be reached",
        _ => {
            "the image itself is at fault: choose another tag or image; pyro env list shows the official ones"
        }
    };
    UserError::new("pull", error).hint(hint)
}

/// Why there is no machine, with the next step.
pub fn not_started(error: &NotStarted, host_compat_allowed: bool) -> UserError {
    let hint = match error.cause {
        Cause::Firmware => {
            "set PYRO_LIBKRUNFW to a libkrunfw.so.5, or put one into the state directory's lib/"
        }
        Cause::Cancelled => return UserError::new("interrupted", error),
        Cause::DiskFull => return UserError::new("disk_full", error).hint(STATE),
        Cause::Host if !host_compat_allowed => {
            "pyro doctor says what is missing; --allow-host-compat runs without a virtual machine"
        }
        _ => "pyro doctor",
    };
    UserError::new("start", error).hint(hint)
}

/// What went wrong with a workspace's directory, with the next step.
pub fn workspace_error(error: &WorkspaceError) -> UserError {
    match error {
        WorkspaceError::NameTaken { id, .. } => UserError::new("name_taken", error)
            .hint(format!("choose another --name, or: pyro workspace delete {id}")),
        WorkspaceError::NameOfId(_) => UserError::usage(error).hint("choose another --name"),
        WorkspaceError::Busy(_) => UserError::new("busy", error).hint("try again when that process is done"),
        WorkspaceError::Gone(_) => UserError::new("not_found", error).hint("pyro workspace list"),
        _ => full(error, STATE).unwrap_or_else(|| UserError::new("workspace", error).hint("pyro doctor")),
    }
}

/// Why nothing came of it, with the next step.
pub fn lifecycle_error(error: &LifecycleError) -> UserError {
    match error {
        LifecycleError::Workspace(error) => workspace_error(error),
        LifecycleError::State { id, state } => {
            let hint = match state.as_str() {
                "creating" => format!("wait until it is created: pyro workspace status {id}"),
                "started" => format!("pyro workspace stop {id}"),
                _ => format!("pyro workspace start {id}"),
            };
            UserError::new("wrong_state", error).hint(hint)
        }
        LifecycleError::Build(id) => UserError::new("other_version", error)
            .hint(format!("pyro workspace stop {id} && pyro workspace start {id}")),
        LifecycleError::NotRun(failure) => not_run(failure),
        LifecycleError::DiskFull(_) => UserError::new("disk_full", error).hint(STATE),
        LifecycleError::Supervisor(_) => UserError::new("supervisor", error).hint("pyro workspace list"),
    }
}

/// The agent did not run the command.
pub fn not_run(failure: &Failure) -> UserError {
    let code = match failure.kind {
        FailureKind::NotFound => "command_not_found",
        FailureKind::NotExecutable => "command_not_executable",
        FailureKind::Invalid => "invalid_command",
        FailureKind::Internal => "agent",
    };
    UserError::new(code, &failure.message).exit(Exit::Command(failure_code(failure.kind)))
}
