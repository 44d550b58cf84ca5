//! `pyro workspace start` and `stop`.

use super::super::context::Context;
use super::{Addressed, status};
use crate::error::UserError;
use crate::exit::Exit;
use crate::explain::lifecycle_error;
use crate::start::{claim_stopped, start_again};
use pyro_workspace::{Directory, stop as stop_machine};
use std::time::Instant;

/// Starts the machine of a stopped workspace.
pub fn start(context: &Context, args: &Addressed) -> Result<Exit, UserError> {
    let clock = Instant::now();
    let home = context.home()?;
    let directory = args.find(&home)?;
    let Some(stopped) = claim_stopped(&directory)? else {
        return done(context, directory, "start", "it runs already");
    };
    context.interruptible(|until| start_again(&home, stopped, until))?;
    done(context, directory, "start", format_args!("duration_ms={}", clock.elapsed().as_millis()))
}

/// Flushes and ends the machine.
pub fn stop(context: &Context, args: &Addressed) -> Result<Exit, UserError> {
    let clock = Instant::now();
    let directory = args.find(&context.home()?)?;
    if stop_machine(&directory).map_err(|error| lifecycle_error(&error))? {
        done(context, directory, "stop", format_args!("duration_ms={}", clock.elapsed().as_millis()))
    } else {
        done(context, directory, "stop", "it was stopped already")
    }
}

fn done(
    context: &Context,
    directory: Directory,
    verb: &str,
    what: impl std::fmt::Display,
) -> Result<Exit, UserError> {
    if !context.out.is_json() {
        context.out.note(format_args!("[workspace {verb}] id={} {what}", directory.id()));
        return Ok(Exit::Done);
    }
    status::show(context, directory)
}
