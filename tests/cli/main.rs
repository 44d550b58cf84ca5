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
mod documented;
mod files;
mod host_compat;
mod prune;
mod workspace;
mod workspace_crashes;
mod workspace_disk;
