//! The user's terminal, lent to a command in a machine.

use pyro_workspace::Window;
use rustix::stdio::{stdin, stdout};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};

/// The size of our terminal, or the usual one where there is none.
pub fn window() -> Window {
    match tcgetwinsize(stdout()).or_else(|_| tcgetwinsize(stdin())) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => Window { rows: size.ws_row, columns: size.ws_col },
        _ => Window { rows: 24, columns: 80 },
    }
}

/// A terminal in raw mode: every key goes to the command. Dropping it restores the mode.
pub struct RawTerminal {
    before: Termios,
}

impl RawTerminal {
    /// Switches standard input's terminal to raw mode; `None` if it is not a terminal.
    pub fn enter() -> Option<Self> {
        if !isatty(stdin()) {
            return None;
        }
        let before = tcgetattr(stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self { before })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let _ = tcsetattr(stdin(), OptionalActions::Flush, &self.before);
    }
}
