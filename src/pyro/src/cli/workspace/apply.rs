//! `pyro workspace apply`.

use super::super::context::Context;
use super::Addressed;
use super::live::on;
use super::patch::{Report, carry};
use crate::error::UserError;
use crate::exit::Exit;
use crate::explain::apply_error;
use pyro_workspace::live::apply;
use std::path::PathBuf;

/// Arguments of `pyro workspace apply`.
#[derive(Debug, clap::Args)]
pub struct ApplyArgs {
    #[command(flatten)]
    workspace: Addressed,
    /// The directory of this host: the checkout that the workspace was made from, as a rule
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Only see whether it fits
    #[arg(long)]
    check: bool,
}

/// Applies what a workspace has changed to a directory of the host.
pub fn run(context: &Context, args: &ApplyArgs) -> Result<Exit, UserError> {
    let carry = carry(args.check);
    let done = on(context, &args.workspace, |live| {
        apply(live, &args.to, carry).map_err(|error| apply_error(live, &args.to, &error))
    })?;
    let report = Report::of(&done.result.patched, carry);
    context.out.result(&done.report(&report), || report.text())?;
    if !context.out.is_json() {
        let missing = done.result.diff.changes.iter().filter(|change| !change.in_patch).count();
        if missing > 0 {
            context.out.note(format_args!(
                "note: {missing} changes of directories, owners and permissions are not applied; pyro workspace diff --json shows them"
            ));
        }
    }
    done.sum_up(context, "apply", report.sum());
    Ok(Exit::Done)
}
