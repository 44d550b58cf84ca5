//! `pyro mcp`.

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;

/// Arguments of `pyro mcp`.
#[derive(Debug, clap::Args)]
pub struct McpArgs {}

/// Runs `pyro mcp`.
pub fn run(_context: &Context, _args: McpArgs) -> Result<Exit, CliError> {
    Err(CliError::new("unsupported", "this is being built"))
}
