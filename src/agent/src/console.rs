//! The machine's console: for what cannot be told over a connection.

use std::io::Write;

/// Writes one line. A console that takes nothing is not worth failing for.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "pyro-agent: {line}");
}
