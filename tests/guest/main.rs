//! The program on real KVM guests: run on this host's KVM where it boots them, else in the lab.

#[path = "../support/mod.rs"]
mod support;

mod microvm;
