//! What a workspace changed, from the layers below and the entries of a writable layer; and patches.

mod apply;
mod chosen;
mod layers;
mod model;
mod roundtrip;
