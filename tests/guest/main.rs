//! The program on real KVM guests: run on this host's KVM where it boots them, else in the lab.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod failures;
mod files;
mod limits;
mod microvm;
mod user;
mod workspace;
mod workspace_disk;
