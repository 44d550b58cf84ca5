//! PID 1 of a workspace: assembles its root and runs commands.
fn main() {}
