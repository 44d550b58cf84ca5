//! `pyro host`.

use super::context::Context;
use crate::error::UserError;
use crate::exit::Exit;

/// Arguments of `pyro host`.
#[derive(Debug, clap::Args)]
pub struct HostArgs {}

/// Runs `pyro host`.
pub fn run(_context: &Context, _args: HostArgs) -> Result<Exit, UserError> {
    Err(UserError::new("unsupported", "this is being built"))
}
