//! Machines of namespaces: the real launcher, the real agent, over their real socket.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "what cannot be tested here is said aloud")]

mod changes;
mod commands;
mod edits;

mod endurance;
mod files;
mod isolation;
mod streams;
mod support;
mod wire;
