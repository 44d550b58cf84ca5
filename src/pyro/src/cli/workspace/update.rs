//! `pyro workspace update`.

use super::super::context::Context;
use super::{Addressed, label, status, ttl};
use crate::error::UserError;
use crate::exit::Exit;
use crate::explain::workspace_error;
use pyro_workspace::{Name, Update, update};

/// Arguments of `pyro workspace update`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub struct UpdateArgs {
    #[command(flatten)]
    workspace: Addressed,
    /// Call it so
    #[arg(long, group = "change", conflicts_with = "clear_name")]
    name: Option<Name>,
    /// Let it have no name
    #[arg(long, group = "change")]
    clear_name: bool,
    /// Set a label; can be given several times
    #[arg(long, group = "change", value_name = "K=V", value_parser = label)]
    label: Vec<(Name, String)>,
    /// Remove a label; can be given several times
    #[arg(long, group = "change", value_name = "K")]
    clear_label: Vec<Name>,
    /// Delete it after so many seconds without activity
    #[arg(long, group = "change", value_name = "S", value_parser = ttl)]
    ttl_seconds: Option<u64>,
}

/// Changes name, labels or time to live.
pub fn run(context: &Context, args: UpdateArgs) -> Result<Exit, UserError> {
    let home = context.home()?;
    let directory = args.workspace.find(&home)?;
    let change = Update {
        name: if args.clear_name { Some(None) } else { args.name.map(Some) },
        labels: args.label.into_iter().collect(),
        clear_labels: args.clear_label,
        ttl_seconds: args.ttl_seconds,
    };
    update(&home, &directory, &change).map_err(|error| workspace_error(&error))?;
    status::show(context, directory)
}
