//! The MCP server: what chat programs start, and through which their models use workspaces.
//!
//! Which tools there are is decided at the start and never changes. A call runs the same library as the
//! command line does, on a thread of its own; nothing is kept here between calls, so that a new server
//! finds everything that an earlier one began.

pub mod args;
mod budget;
mod error;
mod known;
mod log;
mod narrow;
mod progress;
mod resources;
mod schema;
mod serve;
mod server;
mod session;
mod terminal;
#[cfg(test)]
mod tests;
mod tool;
mod tools;

pub use known::known_tool;
pub use serve::serve;
