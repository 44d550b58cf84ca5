//! What a user is told of workspaces, and how they are told apart.

use crate::directory::{Directory, WorkspaceError};
use crate::home::Home;
use crate::id::WorkspaceId;
use crate::reap::{SUPERVISOR_GONE, expiry};
use crate::record::{Record, State};
use crate::supervisor::control;
use jiff::Timestamp;
use std::time::{Duration, Instant};

/// How long a supervisor may take to note what has become of its machine, and how often that is looked at.
const SETTLING: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How alike a name must be to be offered for one that does not exist.
const ALIKE: f64 = 0.7;

/// A workspace as it is now.
#[derive(Clone, Debug)]
pub struct Overview {
    /// Where it is.
    pub directory: Directory,
    /// What is recorded of it; its state is the true one.
    pub record: Record,
    /// When something was last done with it.
    pub last_activity: Timestamp,
    /// When it goes, if nothing is done with it.
    pub expires_at: Timestamp,
}

/// Why a text does not name a workspace.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// There is none.
    #[error("there is no workspace {text:?}{}", closest.as_ref().map(|it| format!("; did you mean {it}?")).unwrap_or_default())]
    Missing {
        /// What was asked for.
        text: String,
        /// The id or name that is most like it.
        closest: Option<String>,
    },
    /// There are several.
    #[error("{text:?} begins the ids of {}", join(candidates))]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// Whose ids begin so.
        candidates: Vec<WorkspaceId>,
    },
    /// They cannot be looked through.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
}

fn join(ids: &[WorkspaceId]) -> String {
    ids.iter().map(WorkspaceId::as_str).collect::<Vec<_>>().join(", ")
}

impl Overview {
    /// Looks at a workspace.
    ///
    /// # Errors
    /// [`WorkspaceError::Gone`] among others.
    pub fn of(directory: Directory) -> Result<Self, WorkspaceError> {
        let mut record = directory.record()?;
        if matches!(record.state, State::Started { .. }) && !control::answers(&directory) {
            // It may just have been stopped: that is recorded before the supervisor goes.
            record = directory.record()?;
            if matches!(record.state, State::Started { .. }) && !control::answers(&directory) {
                record.state = State::Crashed { reason: SUPERVISOR_GONE.into() };
            }
        }
        let last_activity = directory.last_activity(&record);
        let expires_at = expiry(&directory, &record);
        Ok(Self { directory, record, last_activity, expires_at })
    }

    /// Looks at a workspace whose machine did not answer: a supervisor that is there is about to note why, and is
    /// waited for.
    ///
    /// # Errors
    /// As [`Overview::of`].
    pub fn settled(directory: &Directory) -> Result<Self, WorkspaceError> {
        let deadline = Instant::now() + SETTLING;
        loop {
            let found = Self::of(directory.clone())?;
            if !matches!(found.record.state, State::Started { .. }) || Instant::now() >= deadline {
                return Ok(found);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// All workspaces, those with the latest activity first. One that cannot be read is left out.
///
/// # Errors
/// When they cannot be listed.
pub fn list(home: &Home) -> Result<Vec<Overview>, WorkspaceError> {
    let mut all: Vec<Overview> = directories(home)?
        .into_iter()
        .filter_map(|directory| match Overview::of(directory) {
            Ok(overview) if !overview.record.ephemeral => Some(overview),
            Ok(_) | Err(WorkspaceError::Gone(_)) => None,
            Err(error) => {
                tracing::warn!(%error, "a workspace is left out");
                None
            }
        })
        .collect();
    all.sort_by(|a, b| b.last_activity.cmp(&a.last_activity).then_with(|| a.record.id.cmp(&b.record.id)));
    Ok(all)
}

/// The workspace that `text` names: its id, the beginning of it, or its name.
///
/// # Errors
/// [`FindError`].
pub fn find(home: &Home, text: &str) -> Result<Directory, FindError> {
    if let Ok(id) = WorkspaceId::try_from(text.to_owned()) {
        let directory = Directory::of(home, &id);
        if directory.path().is_dir() {
            return Ok(directory);
        }
    }
    let all = directories(home)?;
    let named: Vec<(Directory, Record)> = all
        .into_iter()
        .filter_map(|directory| Some((directory.record().ok()?, directory)))
        .map(|(record, directory)| (directory, record))
        .collect();
    let by_name =
        named.iter().find(|(_, record)| record.name.as_ref().is_some_and(|name| name.as_str() == text));
    if let Some((directory, _)) = by_name {
        return Ok(directory.clone());
    }
    let begins = |id: &WorkspaceId| text.len() > "ws_".len() && id.as_str().starts_with(text);
    let candidates: Vec<&Directory> = named.iter().map(|(it, _)| it).filter(|it| begins(it.id())).collect();
    match candidates[..] {
        [only] => Ok(only.clone()),
        [] => Err(FindError::Missing { text: text.into(), closest: closest(text, &named) }),
        _ => Err(FindError::Ambiguous {
            text: text.into(),
            candidates: candidates.into_iter().map(|it| it.id().clone()).collect(),
        }),
    }
}

fn closest(text: &str, all: &[(Directory, Record)]) -> Option<String> {
    let ids = all.iter().map(|(directory, _)| directory.id().to_string());
    let names = all.iter().filter_map(|(_, record)| Some(record.name.as_ref()?.to_string()));
    let alike = ids.chain(names).map(|known| (strsim::jaro_winkler(text, &known), known));
    let best = alike.max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(alike, _)| *alike >= ALIKE).map(|(_, known)| known)
}

fn directories(home: &Home) -> Result<Vec<Directory>, WorkspaceError> {
    Directory::all(home).map_err(WorkspaceError::at(&home.workspaces()))
}
