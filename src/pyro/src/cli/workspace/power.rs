//! `pyro workspace start` and `stop`.

use super::super::context::Context;
use super::{Addressed, status};
use crate::error::UserError;
use crate::exit::Exit;
use crate::explain::{lifecycle_error, not_started};
use pyro_workspace::{Directory, LifecycleError, State, boot, claim, stop as stop_machine};
use std::time::Instant;

/// Starts the machine of a stopped workspace.
pub fn start(context: &Context, args: &Addressed) -> Result<Exit, UserError> {
    let clock = Instant::now();
    let home = context.home()?;
    let directory = args.find(&home)?;
    let workspace = match claim(&directory) {
        Err(LifecycleError::State { state: State::Started { .. }, .. }) => {
            return done(context, directory, "start", "it runs already");
        }
        other => other.map_err(|error| lifecycle_error(&error))?,
    };
    directory.touch();
    // What it was made as it stays: a microVM's disk is none of namespaces.
    context
        .interruptible(|until| boot(&home, workspace, until).map_err(|error| not_started(&error, true)))?;
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
