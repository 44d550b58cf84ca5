//! The one place that writes to the user: content to stdout, everything else to stderr.

#![expect(clippy::print_stderr, reason = "this file is where pyro speaks to its user")]

use serde::Serialize;
use serde_json::Value;
use std::io::{self, IsTerminal, Write};

/// How a command speaks.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
}

impl Output {
    /// One JSON object on stdout if `json`, else text.
    pub const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether the result is to be one JSON object.
    pub const fn is_json(self) -> bool {
        self.json
    }

    /// Whether a progress bar can be drawn.
    pub fn can_draw(self) -> bool {
        !self.json && io::stderr().is_terminal()
    }

    /// The result of a command: as JSON, or as the text that `text` makes.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn result(self, value: &impl Serialize, text: impl FnOnce() -> String) -> io::Result<()> {
        if self.json { self.json(value) } else { self.content(text().as_bytes()) }
    }

    /// One JSON object: keys sorted, indented by two.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn json(self, value: &impl Serialize) -> io::Result<()> {
        // By way of `Value`, whose objects are sorted maps.
        let value: Value = serde_json::to_value(value)?;
        let mut text = serde_json::to_string_pretty(&value)?;
        text.push('\n');
        self.content(text.as_bytes())
    }

    /// Content, as it is.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn content(self, bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    /// Where content goes that comes in pieces.
    pub fn stdout(self) -> impl Write {
        io::stdout().lock()
    }

    /// Content for stderr, as it is: a command's own.
    ///
    /// # Errors
    /// When stderr cannot be written.
    pub fn content_err(self, bytes: &[u8]) -> io::Result<()> {
        io::stderr().lock().write_all(bytes)
    }

    /// A note for the reader, one line on stderr.
    pub fn note(self, text: impl std::fmt::Display) {
        // In one piece, also where stderr is not buffered.
        let line = format!("{text}\n");
        eprint!("{line}");
    }
}

/// Rows as aligned columns under `heads`; the last column is not padded.
pub fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = heads.iter().map(|head| head.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let heads: Vec<String> = heads.iter().map(ToString::to_string).collect();
    let mut text = String::new();
    for row in std::iter::once(&heads).chain(rows) {
        let line: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A number of bytes as people read it: powers of 1024, three figures.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{count} B"),
        _ if value < 10.0 => format!("{value:.2} {}", UNITS[unit]),
        _ if value < 100.0 => format!("{value:.1} {}", UNITS[unit]),
        _ => format!("{value:.0} {}", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_has_no_trailing_blanks() {
        let rows = vec![vec!["a".into(), "yes".into()], vec!["longer".into(), String::new()]];
        assert_eq!(table(&["NAME", "X"], &rows), "NAME    X\na       yes\nlonger\n");
    }

    #[test]
    fn bytes_have_three_figures() {
        for (count, text) in
            [(0, "0 B"), (999, "999 B"), (1000, "0.98 KiB"), (5 << 20, "5.00 MiB"), (117 << 20, "117 MiB")]
        {
            assert_eq!(bytes(count), text);
        }
    }
}
