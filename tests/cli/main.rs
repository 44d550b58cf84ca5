//! The program as a user meets it, on this host: no virtual machine is needed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod host_compat;
mod usage;
