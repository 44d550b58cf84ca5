//! Snapshots: layers made of a writable layer.

mod plan;
