//! `pyro prepare`.

use super::context::Context;
use crate::error::UserError;
use crate::exit::Exit;

/// Arguments of `pyro prepare`.
#[derive(Debug, clap::Args)]
pub struct PrepareArgs {}

/// Runs `pyro prepare`.
pub fn run(_context: &Context, _args: PrepareArgs) -> Result<Exit, UserError> {
    Err(UserError::new("unsupported", "this is being built"))
}
