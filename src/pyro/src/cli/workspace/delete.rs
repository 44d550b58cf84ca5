//! `pyro workspace delete`.

use super::super::context::Context;
use super::Addressed;
use crate::error::UserError;
use crate::exit::Exit;
use crate::explain::lifecycle_error;
use pyro_workspace::delete;
use serde_json::json;

/// Deletes a workspace.
pub fn run(context: &Context, args: &Addressed) -> Result<Exit, UserError> {
    let directory = args.find(&context.home()?)?;
    delete(&directory).map_err(|error| lifecycle_error(&error))?;
    if context.out.is_json() {
        context.out.json(&json!({ "id": directory.id().as_str(), "deleted": true }))?;
    } else {
        context.out.note(format_args!("[workspace delete] id={}", directory.id()));
    }
    Ok(Exit::Done)
}
