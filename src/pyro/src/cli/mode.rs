//! `pyro mode`.

use super::context::Context;
use crate::error::UserError;
use crate::exit::Exit;

/// Arguments of `pyro mode`.
#[derive(Debug, clap::Args)]
pub struct ModeArgs {}

/// Runs `pyro mode`.
pub fn run(_context: &Context, _args: ModeArgs) -> Result<Exit, UserError> {
    Err(UserError::new("unsupported", "this is being built"))
}
