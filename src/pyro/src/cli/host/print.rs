//! The entry as a file of its own, for those who put it into their configuration themselves.

use super::super::context::Context;
use super::{choices, failed, places, seat};
use crate::error::UserError;
use crate::exit::Exit;
use crate::host::edit::Document;
use crate::host::{Host, Scope};
use crate::mcp::args::ServeArgs;
use serde_json::json;
use std::path::PathBuf;

/// Arguments of `pyro host print-config`.
#[derive(Debug, clap::Args)]
pub struct PrintArgs {
    /// Which host
    #[arg(value_enum)]
    host: Host,
    /// Write it to this file, which must not hold anything else
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Say what would be written, and write nothing
    #[arg(long, requires = "output")]
    dry_run: bool,
    #[command(flatten, next_help_heading = "Stored in the entry, for pyro mcp serve")]
    serve: ServeArgs,
}

/// Runs `pyro host print-config`.
///
/// # Errors
/// When it cannot be written.
pub fn run(context: &Context, args: PrintArgs) -> Result<Exit, UserError> {
    let PrintArgs { host, output, dry_run, serve } = args;
    let fail = |error| failed(host, error);
    let launch = seat(context)?.launch(&choices(serve)?, None).map_err(|error| fail(error.into()))?;
    let config = host.snippet(&launch).map_err(fail)?;
    let scope = if host == Host::ClaudeCode { Scope::Project } else { Scope::User };
    let belongs = host.file(&places()?, scope);
    let Some(output) = output else {
        let object = json!({ "host": host.id(), "file": belongs, "config": config });
        context.out.result(&object, || config.clone())?;
        if !context.out.is_json() {
            context.out.note(format_args!("note: it belongs into {}", belongs.display()));
        }
        return Ok(Exit::Done);
    };
    let document = Document::read(&output).map_err(|error| fail(error.into()))?;
    let same = document.text() == config;
    if !same && !document.text().is_empty() {
        let message = format!("{} is there and holds something else", output.display());
        return Err(UserError::new("exists", message).hint(format!(
            "pyro host connect {host} changes a file that is in use; or choose another FILE"
        )));
    }
    let outcome = if same { "unchanged" } else { "written" };
    if !dry_run {
        document.write(&config).map_err(|error| fail(error.into()))?;
    }
    let object = json!({ "host": host.id(), "file": output, "config": config, "outcome": outcome, "dry_run": dry_run });
    context.out.result(&object, || {
        let would = if dry_run && !same { "would be " } else { "" };
        format!("{host}: {would}{outcome}, {}\n", output.display())
    })?;
    Ok(Exit::Done)
}
