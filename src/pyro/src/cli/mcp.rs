//! `pyro mcp`.

use super::context::Context;
use crate::error::UserError;
use crate::exit::Exit;
use crate::explain::recipe_error;
use crate::mcp::args::ServeArgs;
use crate::mcp::{known_tool, serve};
use pyro_workspace::{Cancel, Until};
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
    let found = |mode: &String| {
        // A project that is not there is told to whoever calls a tool; a server that ends says nothing.
        let places = context.recipes(args.project_path.as_deref()).unwrap_or_else(|_| context.own_recipes());
        places.find(mode, &known_tool).map_err(|error| recipe_error(&error))
    };
    let mode = args.mode.as_ref().map(found).transpose()?;
    let stop = CancellationToken::new();
    let (cancel, signalled) = (Cancel::new()?, stop.clone());
    let _armed = context.until_signal(&cancel)?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        let _ = Until { deadline: None, cancel: &cancel }.readable(&[]);
        signalled.cancel();
    })?;
    serve(context.home_path().into(), context.config.clone(), args, mode, &stop)?;
    Ok(Exit::Done)
}
