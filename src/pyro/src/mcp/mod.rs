//! The MCP server.

pub mod args;
mod known;

pub use known::known_tool;
