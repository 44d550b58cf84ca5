//! What a workspace changed, from the layers below and the entries of a writable layer; and patches.

#![allow(clippy::unwrap_used)]

mod apply;
mod chosen;
mod layers;
mod model;
mod roundtrip;
