//! Images against the real things: a registry, skopeo, umoci, the kernel.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod child;
mod exports;
mod faults;
mod hostile;
mod imports;
mod prunes;
mod pulls;
mod support;
mod trees;
mod writes;
