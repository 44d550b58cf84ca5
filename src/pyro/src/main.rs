//! Disposable microVM workspaces for coding agents.
fn main() {}
