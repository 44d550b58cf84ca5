//! `pyro workspace start` and `stop`.

use super::super::context::Context;
use super::subject::Subject;
use super::{Addressed, status};
use crate::error::UserError;
use crate::exit::Exit;
use crate::explain::lifecycle_error;
use crate::start::{claim_stopped, start_again};
use pyro_workspace::{Directory, stop as stop_machine};

/// Starts the machine of a stopped workspace.
pub fn start(context: &Context, args: &Addressed) -> Result<Exit, UserError> {
    let home = context.home()?;
    let directory = args.find(&home)?;
    let subject = Subject::of(&directory)?;
    let Some(stopped) = claim_stopped(&directory)? else {
        return done(context, directory, &subject, "start", "it runs already");
    };
    context.interruptible(|until| start_again(&home, stopped, until))?;
    done(context, directory, &subject, "start", "state=started")
}

/// Flushes and ends the machine.
pub fn stop(context: &Context, args: &Addressed) -> Result<Exit, UserError> {
    let directory = args.find(&context.home()?)?;
    let subject = Subject::of(&directory)?;
    let stopped = stop_machine(&directory).map_err(|error| lifecycle_error(&error))?;
    let what = if stopped { "state=stopped" } else { "it was stopped already" };
    done(context, directory, &subject, "stop", what)
}

fn done(
    context: &Context,
    directory: Directory,
    subject: &Subject,
    verb: &str,
    what: &str,
) -> Result<Exit, UserError> {
    if context.out.is_json() {
        return status::show(context, directory);
    }
    subject.sum_up(context, verb, what);
    Ok(Exit::Done)
}
