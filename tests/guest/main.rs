//! The program on real KVM guests: run on this host's KVM where it boots them, else in the lab.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

/// What must hold on every kind of machine.
#[path = "../both/mod.rs"]
mod both;
mod failures;
mod limits;
mod microvm;
mod user;

/// The program, and microVMs as its machines.
fn pyro() -> support::Pyro {
    support::Pyro::new(&[], "guest_vsock")
}
