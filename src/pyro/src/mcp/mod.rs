//! The MCP server.

pub mod args;
