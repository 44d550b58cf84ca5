//! `pyro host`.

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;

/// Arguments of `pyro host`.
#[derive(Debug, clap::Args)]
pub struct HostArgs {}

/// Runs `pyro host`.
pub fn run(_context: &Context, _args: HostArgs) -> Result<Exit, CliError> {
    Err(CliError::new("unsupported", "this is being built"))
}
