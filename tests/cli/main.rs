//! The program as a user meets it, on this host: no virtual machine is needed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

/// Images made by hand and a real registry, from the tests of `pyro-oci`.
#[path = "../../src/oci/tests/images/support/mod.rs"]
#[allow(dead_code, reason = "the table here needs a part of it")]
mod images;
#[path = "../support/mod.rs"]
mod support;

mod host_compat;
mod prune;
mod usage;
mod workspace;
mod workspace_crashes;
mod workspace_disk;
