//! The server as a client meets it: lines of JSON-RPC over pipes, and requests over HTTP.

mod answers;
mod client;
mod http;
mod lifetime;
mod session;
