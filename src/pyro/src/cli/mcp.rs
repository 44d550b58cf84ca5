//! `pyro mcp`.

use super::context::Context;
use crate::error::UserError;
use crate::exit::Exit;
use crate::mcp::args::ServeArgs;
use crate::mcp::serve;
use tokio_util::sync::CancellationToken;

/// Arguments of `pyro mcp`.
#[derive(Debug, clap::Args)]
pub struct McpArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Serve the tools on stdin and stdout, for a chat program that starts this
    Serve(ServeArgs),
}

/// Runs `pyro mcp`.
///
/// # Errors
/// When it was asked wrongly.
pub fn run(context: &Context, args: McpArgs) -> Result<Exit, UserError> {
    let Verb::Serve(args) = args.verb;
    let stop = CancellationToken::new();
    let signalled = stop.clone();
    let _armed = context.signals.arm(move || signalled.cancel());
    serve(context.home_path().into(), context.config.clone(), &args, None, &stop)?;
    Ok(Exit::Done)
}
