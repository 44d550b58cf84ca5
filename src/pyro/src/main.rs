//! `pyro`: disposable microVM workspaces for coding agents.

mod catalog;
mod cli;
mod config;

fn main() -> std::process::ExitCode {
    cli::run(std::env::args_os()).into()
}
