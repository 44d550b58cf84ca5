//! `pyro workspace list`.

use super::super::context::Context;
use crate::error::UserError;
use crate::exit::Exit;
use crate::explain::workspace_error;
use crate::view::{self, View};
use pyro_workspace::{list, reap};
use serde_json::json;

/// Shows all workspaces.
pub fn run(context: &Context) -> Result<Exit, UserError> {
    let home = context.home()?;
    reap(&home);
    let views: Vec<View> =
        list(&home).map_err(|error| workspace_error(&error))?.iter().map(View::of).collect();
    context.out.result(&json!({ "workspaces": views }), || view::list(&views))?;
    if !context.out.is_json() {
        for note in views.iter().flat_map(|view| [view.crash(), view.warning()]).flatten() {
            context.out.note(format_args!("note: {note}"));
        }
    }
    Ok(Exit::Done)
}
