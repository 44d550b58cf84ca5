//! `pyro supervisor`: started by pyro itself, for every workspace whose machine runs.

use super::super::signals::Signals;
use crate::error::UserError;
use crate::exit::Exit;
use pyro_workspace::{Cancel, WorkspaceId, supervise};
use std::path::PathBuf;

/// Arguments of `pyro supervisor`.
#[derive(Debug, clap::Args)]
pub struct SupervisorArgs {
    /// The state directory
    home: PathBuf,
    /// The workspace
    #[arg(value_parser = id)]
    id: WorkspaceId,
}

/// Answers for a workspace while its machine runs. A terminating signal stops it.
pub fn supervisor(args: &SupervisorArgs) -> Result<Exit, UserError> {
    let signals = Signals::install()?;
    let cancel = Cancel::new()?;
    let _armed = signals.arm(&cancel)?;
    supervise(&args.home, &args.id, &cancel).map_err(|error| UserError::new("supervisor", error))?;
    Ok(Exit::Done)
}

fn id(text: &str) -> Result<WorkspaceId, String> {
    WorkspaceId::try_from(text.to_owned()).map_err(|error| error.to_string())
}
