//! `pyro prepare`.

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;

/// Arguments of `pyro prepare`.
#[derive(Debug, clap::Args)]
pub struct PrepareArgs {}

/// Runs `pyro prepare`.
pub fn run(_context: &Context, _args: PrepareArgs) -> Result<Exit, CliError> {
    Err(CliError::new("unsupported", "this is being built"))
}
