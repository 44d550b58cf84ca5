//! The one place that writes to the user: content to stdout, everything else to stderr.

use crate::error::UserError;
use crate::exit::Exit;
use serde::Serialize;
use serde_json::{Value, json};
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

    /// Tells what went wrong: an object on stdout with `--json`, else lines on stderr.
    pub fn error(self, error: &UserError) -> Exit {
        // Where stdout cannot be written, stderr perhaps can.
        let told = self.json && self.json(&json!({ "error": error.to_json() })).is_ok();
        if !told {
            self.note(format_args!("error: {}", error.message));
            if let Some(hint) = &error.hint {
                self.note(format_args!("hint: {hint}"));
            }
        }
        error.exit
    }

    /// A note for the reader, one line on stderr.
    pub fn note(self, text: impl std::fmt::Display) {
        // In one piece, also where stderr is not buffered. Who closed it does not want to know.
        let _ = io::stderr().lock().write_all(format!("{text}\n").as_bytes());
    }
}
