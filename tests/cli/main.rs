//! The program as a user meets it, on this host: no virtual machine is needed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

/// Images made by hand and a real registry, from the tests of `pyro-oci`.
#[path = "../../src/oci/tests/images/support/mod.rs"]
#[allow(dead_code, reason = "the table here needs a part of it")]
mod images;
#[path = "../support/pages.rs"]
mod pages;
#[path = "../support/mod.rs"]
mod support;

mod bad_input;
/// What must hold on every kind of machine.
#[path = "../both/mod.rs"]
mod both;
mod documented;
mod full_disk;
mod host;
mod host_compat;
mod mcp;
mod modes;
mod odd;
mod prepare;
mod project;
mod prune;
mod workspace_crashes;

/// The program, and namespaces as its machines.
fn pyro() -> support::Pyro {
    support::Pyro::new(&["--allow-host-compat"], "host_compat")
}
