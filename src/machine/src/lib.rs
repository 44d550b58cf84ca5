//! Starts a machine: a microVM through libkrun, or Linux namespaces on hosts without a usable KVM.
//!
//! This library never links libkrun. It describes a machine ([`spec`]) and starts the separate
//! program `pyro-machine` ([`launch`]), which confines itself ([`confine`]) and becomes the machine,
//! and which says how that went ([`report`]).

pub mod compat;
pub mod confine;
pub mod firmware;
pub mod launch;
pub mod report;
pub mod spec;
