//! What a workspace changed, from the layers below and the entries of a writable layer; and patches.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod apply;
mod chosen;
mod layers;
mod model;
mod roundtrip;
