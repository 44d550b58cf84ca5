//! `pyro`: disposable microVM workspaces for coding agents.

mod catalog;
mod cli;
mod config;
mod mcp;
mod recipe;

fn main() -> std::process::ExitCode {
    cli::run(std::env::args_os()).into()
}
