//! `pyro workspace delete`.

use super::super::context::Context;
use super::Addressed;
use super::subject::Subject;
use crate::error::UserError;
use crate::exit::Exit;
use crate::explain::lifecycle_error;
use pyro_workspace::delete;
use serde_json::json;

/// Deletes a workspace.
pub fn run(context: &Context, args: &Addressed) -> Result<Exit, UserError> {
    let directory = args.find(&context.home()?)?;
    let subject = Subject::of(&directory)?;
    delete(&directory).map_err(|error| lifecycle_error(&error))?;
    if context.out.is_json() {
        context.out.json(&subject.report(json!({ "deleted": true })))?;
    }
    subject.sum_up(context, "delete", "deleted=true");
    Ok(Exit::Done)
}
