//! What a user is told of a failure: a code, what and why, and the next command.

use crate::exit::Exit;
use serde_json::{Value, json};
use std::fmt::Display;

/// An error as the user sees it.
#[derive(Debug)]
pub struct UserError {
    /// A word for programs.
    pub code: &'static str,
    /// What failed, and why.
    pub message: String,
    /// The next command to type, or what else to do.
    pub hint: Option<String>,
    /// More for programs, if there is more to say than words.
    pub details: Option<Value>,
    /// How pyro ends.
    pub exit: Exit,
}

impl UserError {
    /// A failure without a hint.
    pub fn new(code: &'static str, message: impl Display) -> Self {
        Self { code, message: message.to_string(), hint: None, details: None, exit: Exit::Failed }
    }

    /// Something was asked wrongly.
    pub fn usage(message: impl Display) -> Self {
        Self { exit: Exit::Usage, ..Self::new("usage", message) }
    }

    /// The same with the next step.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Nobody reads what a command puts out any more, which has killed it.
    pub fn output_closed() -> Self {
        Self { exit: Exit::OUTPUT_CLOSED, ..Self::new("output_closed", "the output was closed") }
    }

    /// What programs are told of it.
    pub fn to_json(&self) -> Value {
        let mut value = json!({"code": self.code, "message": self.message, "hint": self.hint});
        if let Some(details) = &self.details {
            value["details"] = details.clone();
        }
        value
    }

    /// The same, but ending so.
    #[must_use]
    pub fn exit(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }
}

/// Writing to stdout or stderr failed.
impl From<std::io::Error> for UserError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            // `pyro … | head`: the reader has what it wanted.
            std::io::ErrorKind::BrokenPipe => {
                Self { exit: Exit::Done, ..Self::new("output_closed", "the output was closed") }
            }
            _ => Self::new("io", format_args!("cannot write the output: {error}")),
        }
    }
}
