//! `pyro workspace status`.

use super::super::context::Context;
use super::Addressed;
use crate::error::UserError;
use crate::exit::Exit;
use crate::explain::workspace_error;
use crate::view::View;
use pyro_workspace::{Directory, Overview};

/// Shows one workspace.
pub fn run(context: &Context, args: &Addressed) -> Result<Exit, UserError> {
    show(context, args.find(&context.home()?)?)
}

/// Shows it as it is now.
pub fn show(context: &Context, directory: Directory) -> Result<Exit, UserError> {
    let view = View::of(&Overview::of(directory).map_err(|error| workspace_error(&error))?);
    context.out.result(&view, || view.text())?;
    if let Some(warning) = view.warning().filter(|_| !context.out.is_json()) {
        context.out.note(format_args!("note: {warning}"));
    }
    Ok(Exit::Done)
}
