//! What verbs that work on a running workspace share.

use super::super::context::Context;
use super::super::error::CliError;
use super::super::start::workspace_error;
use super::snapshot::snapshot_error;
use super::{Addressed, lifecycle_error};
use pyro_workspace::agent::AgentError;
use pyro_workspace::live::{AccessError, BadPlace, ChangesError, Live, Place, WORKSPACE};
use pyro_workspace::{Directory, FailureKind, Overview, State};
use serde::Serialize;
use std::ffi::OsStr;
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;
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
    operation: impl FnOnce(&Live<'_>) -> Result<T, CliError>,
) -> Result<Done<T>, CliError> {
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

/// The place that a user names.
///
/// # Errors
/// With the next step.
pub fn place(text: &OsStr) -> Result<Place, CliError> {
    Place::parse(text.as_bytes()).map_err(|error| {
        let hint = match error {
            BadPlace::Elsewhere(_) => format!("name it relative to {WORKSPACE}, or below {WORKSPACE}/"),
            BadPlace::Parent(_) => "name it without '..'".into(),
            BadPlace::Impossible(_) => "pyro workspace file list ID".into(),
        };
        CliError::usage(error).hint(hint)
    })
}

/// Why a workspace could not be asked, with the next step.
pub fn access_error(live: &Live<'_>, error: &AccessError) -> CliError {
    match error {
        AccessError::Agent(error) => agent_error(live, error),
        AccessError::Store(error) => CliError::store(error),
    }
}

/// Why its agent did not do it, with the next step.
pub fn agent_error(live: &Live<'_>, error: &AgentError) -> CliError {
    let id = live.directory().id();
    match error {
        AgentError::Connect(_) | AgentError::Lost(_) => gone(live.directory(), error),
        AgentError::Failed(failure) => match failure.kind {
            FailureKind::NotFound => {
                CliError::new("no_such_file", error).hint(format!("pyro workspace file list {id}"))
            }
            FailureKind::Invalid => CliError::new("refused", error)
                .hint(format!("pyro workspace file list {id} --recursive shows what is there")),
            _ => CliError::new("agent", error).hint(format!("pyro workspace status {id}")),
        },
        AgentError::Cancelled => CliError::new("interrupted", error),
        AgentError::Source(_) => CliError::new("input", error).hint("see that it can be read"),
        AgentError::Unresponsive | AgentError::Nonsense(_) => CliError::new("agent", error)
            .hint(format!("pyro workspace stop {id} && pyro workspace start {id}")),
    }
}

/// Why it cannot be said what a workspace has changed, with the next step.
pub fn changes_error(live: &Live<'_>, error: &ChangesError) -> CliError {
    match error {
        ChangesError::Access(error) => access_error(live, error),
        ChangesError::Snapshot(error) => snapshot_error(error),
        ChangesError::Disk(_) | ChangesError::Layer(_) => CliError::new("store", error).hint("pyro doctor"),
        ChangesError::Diff(_) => CliError::new("diff", error).hint("pyro doctor"),
    }
}

/// The machine does not answer any more: what has become of it, with the next step.
pub fn gone(directory: &Directory, error: &dyn Display) -> CliError {
    let id = directory.id();
    // Its supervisor, if it is there, is about to say why.
    let now = match Overview::of(directory.clone()) {
        Ok(found) => found.record.state,
        Err(error) => return workspace_error(&error),
    };
    let message = match now.reason() {
        Some(reason) => format!("{error}: {reason}"),
        None => format!("{error}: {id} is {}", now.as_str()),
    };
    let hint = match now {
        State::Started { .. } => format!("pyro workspace status {id}"),
        _ => format!("pyro workspace start {id}"),
    };
    CliError::new("machine_lost", message).hint(hint)
}
