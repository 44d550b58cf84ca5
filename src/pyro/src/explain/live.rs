//! What a running workspace did not do.

use super::{OUTPUT, STATE, full, lifecycle_error, snapshot_error, store_error, workspace_error};
use crate::error::UserError;
use pyro_workspace::agent::AgentError;
use pyro_workspace::diff::DiffError;
use pyro_workspace::live::{
    AccessError, ApplyError, BadPlace, ChangesError, ExportError, Live, PatchError, Place, PushError,
    WORKSPACE,
};
use pyro_workspace::patch::{HostError, Misfit, ParseError, ParseProblem};
use pyro_workspace::summary::SummaryError;
use pyro_workspace::{ArchiveError, Directory, FailureKind, GitError, Overview, SeedError, State};
use std::ffi::OsStr;
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The place that a user names.
///
/// # Errors
/// With the next step.
pub fn place(text: &OsStr) -> Result<Place, UserError> {
    Place::parse(text.as_bytes()).map_err(|error| {
        let hint = match error {
            BadPlace::Elsewhere(_) => format!("name it relative to {WORKSPACE}, or below {WORKSPACE}/"),
            BadPlace::Parent(_) => "name it without '..'".into(),
            BadPlace::Impossible(_) => "pyro workspace file list ID".into(),
        };
        UserError::usage(error).hint(hint)
    })
}

/// Why a workspace could not be asked, with the next step.
pub fn access_error(live: &Live<'_>, error: &AccessError) -> UserError {
    match error {
        AccessError::Agent(error) => agent_error(live, error),
        AccessError::Store(error) => store_error(error),
    }
}

/// Why its agent did not do it, with the next step.
fn agent_error(live: &Live<'_>, error: &AgentError) -> UserError {
    let id = live.directory().id();
    match error {
        AgentError::Connect(_) | AgentError::Lost(_) => gone(live.directory(), error),
        AgentError::Failed(failure) => match failure.kind {
            FailureKind::NotFound => {
                UserError::new("no_such_file", error).hint(format!("pyro workspace file list {id}"))
            }
            FailureKind::Invalid => UserError::new("refused", error)
                .hint(format!("pyro workspace file list {id} --recursive shows what is there")),
            _ => UserError::new("agent", error).hint(format!("pyro workspace status {id}")),
        },
        AgentError::Cancelled => UserError::new("interrupted", error),
        AgentError::Source(_) => UserError::new("input", error).hint("see that it can be read"),
        AgentError::TooMuch(_) => UserError::new("too_much", error)
            .hint(format!("remove what is not needed in it, or: pyro workspace reset {id}")),
        AgentError::Unresponsive | AgentError::Nonsense(_) => UserError::new("agent", error)
            .hint(format!("pyro workspace stop {id} && pyro workspace start {id}")),
    }
}

/// Why it cannot be said what a workspace has changed, with the next step.
pub fn changes_error(live: &Live<'_>, error: &ChangesError) -> UserError {
    if let Some(full) = full(error, STATE) {
        return full;
    }
    match error {
        ChangesError::Access(error) => access_error(live, error),
        ChangesError::Snapshot(error) => snapshot_error(error),
        ChangesError::Disk(_) | ChangesError::Layer(_) => UserError::new("store", error).hint("pyro doctor"),
        ChangesError::Diff(DiffError::Deep(_)) => UserError::new("too_deep", error)
            .hint(format!("remove it in the workspace, or: pyro workspace reset {}", live.directory().id())),
        ChangesError::Diff(_) => UserError::new("diff", error).hint("pyro doctor"),
    }
}

/// The machine does not answer any more: what has become of it, with the next step.
pub fn gone(directory: &Directory, error: &dyn Display) -> UserError {
    let id = directory.id();
    let now = match Overview::settled(directory) {
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
    UserError::new("machine_lost", message).hint(hint)
}

/// Why a patch was not applied, with the next step.
pub fn patch_error(live: &Live<'_>, error: &PatchError) -> UserError {
    match error {
        PatchError::Parse(ParseError { problem: ParseProblem::Path { .. }, .. }) => {
            UserError::new("bad_patch", error).hint("name files as they are below /workspace: dir/file")
        }
        PatchError::Parse(_) => UserError::new("bad_patch", error)
            .hint("write it as `diff -u` or `git diff` does, with the right counts in its @@ lines"),
        PatchError::Misfit(misfit) => {
            let id = live.directory().id();
            misfit_error(misfit).hint(match misfit.files.first() {
                Some(file) if file.is_there() => {
                    format!("pyro workspace file read {id} {}", quoted(Path::new(&file.path)))
                }
                _ => format!("pyro workspace file list {id} --recursive"),
            })
        }
        PatchError::Long { .. } | PatchError::TooMuch => UserError::new("too_long", error)
            .hint(format!("pyro workspace file write {} PATH --text-file F", live.directory().id())),
        PatchError::Access(error) => access_error(live, error),
    }
}

/// As a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    // A name that no shell can be given is not in a hint that anybody can type.
    shlex::try_quote(&text).map_or_else(|_| text.clone().into_owned(), Into::into)
}

/// Why a patch does not fit, file by file.
fn misfit_error(misfit: &Misfit) -> UserError {
    let details = serde_json::to_value(&misfit.files).unwrap_or_default();
    UserError { details: Some(details), ..UserError::new("patch_does_not_fit", misfit) }
}

/// Why nothing was applied to the host, with the next step.
pub fn apply_error(live: &Live<'_>, to: &Path, error: &ApplyError) -> UserError {
    let id = live.directory().id();
    match error {
        ApplyError::Changes(error) => changes_error(live, error),
        ApplyError::LeftOut(_) | ApplyError::TooMuch => UserError::new("not_in_patch", error)
            .hint(format!("pyro workspace export {id} PATH --output HOST_PATH takes any file")),
        ApplyError::Misfit(misfit) => misfit_error(misfit)
            .hint(format!("pyro workspace diff {id} | git -C {} apply --reject takes what fits", quoted(to))),
        ApplyError::Host(HostError::Blocked { .. }) => {
            UserError::new("patch_does_not_fit", error).hint("move away what is in the way, and try again")
        }
        ApplyError::Parse(_) => UserError::new("diff", error).hint("pyro doctor"),
        ApplyError::Host(_) => full(error, OUTPUT).unwrap_or_else(|| {
            UserError::new("host", error).hint("see that the directory is there and yours")
        }),
    }
}

/// Why nothing was exported, with the next step.
pub fn export_error(live: &Live<'_>, error: &ExportError) -> UserError {
    match error {
        ExportError::Access(error) => access_error(live, error),
        ExportError::Changes(error) => changes_error(live, error),
        ExportError::Exists(_) | ExportError::Nameless(_) => {
            UserError::new("output", error).hint("name a new path with --output")
        }
        ExportError::Host { .. } => full(error, OUTPUT).unwrap_or_else(|| {
            UserError::new("output", error).hint("see that its directory is there, yours, and has room")
        }),
        ExportError::TooMuch { .. } => {
            UserError::new("too_much", error).hint("export the directories that you need, one by one")
        }
        ExportError::Unfit { .. } => UserError::new("not_exportable", error)
            .hint(format!("pyro workspace file list {}", live.directory().id())),
        ExportError::Changing(_) => {
            UserError::new("changing", error).hint("try again, or take --format files")
        }
    }
}

/// Why nothing was pushed, with the next step.
pub fn push_error(live: &Live<'_>, error: &PushError) -> UserError {
    if let Some(full) = full(error, STATE) {
        return full;
    }
    match error {
        PushError::Access(error) => access_error(live, error),
        PushError::Seed(error) => seed_error(error),
        PushError::Layer(_) => UserError::new("store", error).hint("pyro doctor"),
    }
}

/// Why there are no files, with the next step.
pub fn seed_error(error: &SeedError) -> UserError {
    if let Some(full) = full(error, STATE) {
        return full;
    }
    let hint = match error {
        SeedError::Source { .. } => "name a directory, or a .tar, .tar.gz, .tgz or .tar.zst file",
        SeedError::Git(GitError::Start { .. }) => "install git",
        SeedError::Git(_) => "git status, in that directory, shows what git has against it",
        SeedError::Archive { source: ArchiveError::Member { .. }, .. } => {
            "make an archive without that member"
        }
        SeedError::Archive { .. } => {
            "it is to be a tar, plain or packed with gzip or zstd; unpack others, and name the directory"
        }
        SeedError::Changing(_) => "try again when nobody writes there",
        SeedError::Cancelled => return UserError::new("interrupted", error),
        _ => "pyro doctor",
    };
    UserError::new("seed", error).hint(hint)
}

/// Why there is no summary, with the next step.
pub fn summary_error(error: &SummaryError) -> UserError {
    match error {
        SummaryError::Workspace(error) => workspace_error(error),
        SummaryError::Lifecycle(error) => lifecycle_error(error),
        SummaryError::Changes(changes) if full(changes, STATE).is_some() => {
            UserError::new("disk_full", error).hint(STATE)
        }
        SummaryError::Changes(_) => UserError::new("diff", error).hint("pyro workspace list"),
    }
}
