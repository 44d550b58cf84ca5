//! Images against the real things: a registry, skopeo, umoci, the kernel.

mod child;
mod exports;
mod faults;
mod hostile;
mod imports;
mod prunes;
mod pulls;
mod support;
mod trees;
