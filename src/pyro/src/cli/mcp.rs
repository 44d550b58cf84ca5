//! `pyro mcp`.

use super::context::Context;
use crate::error::UserError;
use crate::exit::Exit;

/// Arguments of `pyro mcp`.
#[derive(Debug, clap::Args)]
pub struct McpArgs {}

/// Runs `pyro mcp`.
pub fn run(_context: &Context, _args: McpArgs) -> Result<Exit, UserError> {
    Err(UserError::new("unsupported", "this is being built"))
}
