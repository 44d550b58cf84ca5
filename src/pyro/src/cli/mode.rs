//! `pyro mode`.

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;

/// Arguments of `pyro mode`.
#[derive(Debug, clap::Args)]
pub struct ModeArgs {}

/// Runs `pyro mode`.
pub fn run(_context: &Context, _args: ModeArgs) -> Result<Exit, CliError> {
    Err(CliError::new("unsupported", "this is being built"))
}
