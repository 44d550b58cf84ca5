//! `pyro host`: chat programs that start the server.

mod doctor;
mod entry;
mod print;

use super::context::Context;
use crate::error::UserError;
use crate::exit::Exit;
use crate::explain::repository_error;
use crate::host::edit::EditError;
use crate::host::places::Places;
use crate::host::state::Seat;
use crate::host::{Host, HostError};
use crate::mcp::args::ServeArgs;
use clap::Subcommand;
use pyro_workspace::Repository;
use std::env;
use std::path::{Path, absolute};

/// Arguments of `pyro host`.
#[derive(Debug, clap::Args)]
pub struct HostArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Have a host start the server: put an entry into its configuration
    ///
    /// The flags of `pyro mcp serve` are stored in the entry. Without any of them, an entry that is there keeps its
    /// own. Nothing else in the configuration is changed.
    Connect(entry::PutArgs),
    /// Take the entry out of a host's configuration
    Disconnect(entry::TargetArgs),
    /// Print the entry, as a file of its own
    PrintConfig(print::PrintArgs),
    /// Say of every host whether it is connected, and prove it
    Doctor,
    /// Put the entry back as it should be, with its own choices
    Repair(entry::PutArgs),
}

/// Runs `pyro host`.
///
/// # Errors
/// A configuration that cannot be read or changed, or a host that refuses.
pub fn run(context: &Context, args: HostArgs) -> Result<Exit, UserError> {
    match args.verb {
        Verb::Connect(args) | Verb::Repair(args) => entry::put(context, args),
        Verb::Disconnect(args) => entry::remove(context, &args),
        Verb::PrintConfig(args) => print::run(context, args),
        Verb::Doctor => doctor::run(context),
    }
}

/// What an entry would start: this program, with this state directory.
fn seat(context: &Context) -> Result<Seat, UserError> {
    let failed =
        |error| UserError::new("program", format_args!("cannot tell which program this is: {error}"));
    let program = env::current_exe().map_err(failed)?;
    if !program.exists() {
        let gone = format!("{} is not there any more", program.display());
        return Err(UserError::new("program", gone).hint("type the same with the pyro that took its place"));
    }
    let home = absolute(context.home_path()).map_err(failed)?;
    Ok(Seat { program, home })
}

fn places() -> Result<Places, UserError> {
    Places::of_process().ok_or_else(|| {
        UserError::new("home", "no home or no current directory").hint("set HOME to your home directory")
    })
}

/// The choices as they are stored: what is relative here is something else where the host starts the server.
fn choices(mut serve: ServeArgs) -> Result<ServeArgs, UserError> {
    if serve.http.is_some() {
        return Err(UserError::usage("a host speaks to the server over its standard input, not over HTTP")
            .hint("leave --http out; pyro mcp serve --http ADDR serves others"));
    }
    if let Some(path) = &serve.project_path {
        let whole = absolute(path).ok().filter(|whole| whole.is_dir());
        let whole = whole.ok_or_else(|| {
            UserError::usage(format_args!("{} is not a directory", path.display()))
                .hint("--project-path takes a checkout or another directory")
        })?;
        serve.project_path = Some(whole);
    }
    check_repository(&serve)?;
    Ok(serve)
}

/// What a host's configuration holds, others may read: programs, backups, whoever it is shown to.
fn check_repository(serve: &ServeArgs) -> Result<(), UserError> {
    let Some(url) = &serve.repo_url else { return Ok(()) };
    let repository =
        Repository::parse(url, serve.repo_ref.as_deref()).map_err(|error| repository_error(&error))?;
    if !Repository::holds_login(url) {
        return Ok(());
    }
    let address = repository.address();
    Err(UserError::usage("the address of --repo-url holds a login, which is not stored in a configuration")
        .hint(format!(
            "have a credential helper keep it (git help credentials), and type --repo-url {address}"
        )))
}

/// Whether a program at this place will soon be another, or none.
fn is_fleeting(program: &Path) -> bool {
    let built = program.components().any(|part| part.as_os_str() == "target");
    built
        || [env::temp_dir().as_path(), Path::new("/tmp"), Path::new("/var/tmp")]
            .iter()
            .any(|it| program.starts_with(it))
}

fn failed(host: Host, error: HostError) -> UserError {
    let hint = match &error {
        HostError::Edit(EditError::Raced(_)) => "type the same again".to_owned(),
        HostError::Edit(EditError::Unparsable { .. }) => {
            format!("mend that file; pyro host print-config {host} shows what belongs into it")
        }
        HostError::Edit(EditError::Io { .. }) => {
            format!("make it readable and writable; pyro host print-config {host} shows what belongs into it")
        }
        HostError::Launch(_) => "choose another place for it, or --home DIR".to_owned(),
        HostError::Program { .. } => format!("{} mcp list shows what it has", host.program()),
    };
    UserError::new("host", error).hint(hint)
}
