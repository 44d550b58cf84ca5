//! Starts a machine: a microVM through libkrun, or Linux namespaces on hosts without a usable KVM.
//!
//! This library never links libkrun. It describes a machine ([`spec`]) and starts the separate
//! program `pyro-machine` ([`launch`]), which confines itself and becomes the machine.

pub mod spec;
