//! The program as a user meets it, on this host: no virtual machine is needed.

#[path = "../support/mod.rs"]
mod support;

mod host_compat;
mod usage;
