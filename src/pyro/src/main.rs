//! `pyro`: disposable microVM workspaces for coding agents.

mod catalog;
mod cli;
mod config;
mod error;
mod exit;
mod explain;
mod files;
mod host;
mod label;
mod mcp;
mod project;
mod readiness;
mod recipe;
mod start;
mod text;
mod view;

fn main() -> std::process::ExitCode {
    cli::run(std::env::args_os()).into()
}
