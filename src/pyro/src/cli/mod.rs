//! The command line: one file for each verb, each a struct of arguments and a function.

mod context;
mod demo;
mod doctor;
#[cfg(test)]
mod documented;
mod env;
mod host;
mod mcp;
mod mode;
mod output;
mod prepare;
mod progress;
mod run;
mod signals;
mod steps;
mod streams;
mod terminal;
mod workspace;

use crate::error::UserError;
use crate::exit::Exit;
use clap::{CommandFactory, Parser, Subcommand};
use context::Context;
use output::Output;
use pyro_workspace::{Stage, trace};
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::PathBuf;

/// Disposable workspaces for chat-based coding agents: an OCI image, booted as a microVM, in which
/// everything an agent does can be thrown away.
#[derive(Debug, Parser)]
#[command(name = "pyro", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags of every command.
#[derive(Debug, clap::Args)]
struct Global {
    /// State directory [default: $XDG_DATA_HOME/pyro]
    #[arg(long, global = true, env = "PYRO_HOME", value_name = "DIR", hide_env_values = true)]
    home: Option<PathBuf>,
    /// Print one JSON object instead of text
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one command in a fresh machine, then everything is gone
    Run(run::RunArgs),
    /// Show what works on this host, and how to mend what does not
    Doctor(doctor::DoctorArgs),
    /// Create a workspace, run git in it, delete it; each step with its time
    Demo(demo::DemoArgs),
    /// Environments: list, pull, inspect, prune, import, export, remove
    Env(env::EnvArgs),
    /// Workspaces: machines that stay, with files that can be looked at, changed, compared, taken out
    Workspace(workspace::WorkspaceArgs),
    /// Serve the tools to a chat program
    Mcp(mcp::McpArgs),
    /// Chat programs: connect them, show and mend their configuration
    Host(host::HostArgs),
    /// Modes: which tools and which environment go together
    Mode(mode::ModeArgs),
    /// Warm this machine for the daily loop, and prove it
    Prepare(prepare::PrepareArgs),
    /// Answer for a workspace while its machine runs; started by pyro itself
    #[command(hide = true)]
    Supervisor(workspace::SupervisorArgs),
    /// Print a completion script for a shell
    Completion(CompletionArgs),
}

/// Arguments of `pyro completion`.
#[derive(Debug, clap::Args)]
struct CompletionArgs {
    /// Which shell
    shell: clap_complete::Shell,
}

/// Parses the arguments and runs what they ask for.
pub fn run(args: impl Iterator<Item = OsString>) -> Exit {
    let begun = Stage::now("begun");
    let args: Vec<OsString> = args.collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => return refuse(&args, &error),
    };
    // The server has a log of its own.
    if !matches!(cli.command, Command::Mcp(_)) {
        start_log();
    }
    if let Ok(place) = std::env::var("PYRO_FAILPOINT") {
        pyro_workspace::failpoint::arm(&place);
    }
    trace::stage(&begun);
    let out = Output::new(cli.global.json);
    match dispatch(cli, out) {
        Ok(exit) => exit,
        Err(error) if error.code == "output_closed" => error.exit,
        Err(error) => out.error(&error),
    }
}

fn dispatch(cli: Cli, out: Output) -> Result<Exit, UserError> {
    let context = |json_home: Option<PathBuf>| Context::new(out, json_home);
    match cli.command {
        Command::Run(args) => run::run(&context(cli.global.home)?, args),
        Command::Doctor(args) => doctor::run(&context(cli.global.home)?, &args),
        Command::Demo(args) => demo::run(&context(cli.global.home)?, &args),
        Command::Env(args) => env::run(&context(cli.global.home)?, args),
        Command::Workspace(args) => workspace::run(&context(cli.global.home)?, args),
        Command::Mcp(args) => mcp::run(&context(cli.global.home)?, args),
        Command::Host(args) => host::run(&context(cli.global.home)?, args),
        Command::Mode(args) => mode::run(&context(cli.global.home)?, args),
        Command::Prepare(args) => prepare::run(&context(cli.global.home)?, &args),
        Command::Supervisor(args) => workspace::supervisor(&args),
        Command::Completion(args) => {
            let mut script = Vec::new();
            clap_complete::generate(args.shell, &mut Cli::command(), "pyro", &mut script);
            out.content(&script)?;
            Ok(Exit::Done)
        }
    }
}

/// What clap says of arguments that it does not take: help and version are results, the rest is
/// wrong usage, which `--json` wants as an object.
fn refuse(args: &[OsString], error: &clap::Error) -> Exit {
    let own = args.iter().take_while(|arg| *arg != "--");
    if error.use_stderr() && own.into_iter().any(|arg| arg == "--json") {
        let text = error.render().to_string();
        // What is wrong; after a blank line come tips and the usage, which the hint leads to.
        let message = text.trim().trim_start_matches("error: ").split("\n\n").next().unwrap_or_default();
        let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        return Output::new(true).error(&UserError::usage(message).hint(help_for(args)));
    }
    // Who closed the output does not want to know.
    let _ = error.print();
    if error.use_stderr() { Exit::Usage } else { Exit::Done }
}

/// The command that explains what was meant: `pyro env pull --help`.
fn help_for(args: &[OsString]) -> String {
    let root = Cli::command();
    let mut command = &root;
    let mut words = vec!["pyro"];
    for word in args.iter().skip(1) {
        if let Some(verb) = command.get_subcommands().find(|verb| *word == verb.get_name()) {
            command = verb;
            words.push(verb.get_name());
        }
    }
    words.push("--help");
    words.join(" ")
}

/// Diagnostics for us, on stderr, when `PYRO_LOG` asks for them.
fn start_log() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("PYRO_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).without_time();
    log.with_ansi(io::stderr().is_terminal()).init();
}
