//! Signals: Ctrl-C leaves nothing behind, and a terminal that changes its size says so.
//!
//! One thread waits for signals. While nothing is armed, a terminating signal ends the process at
//! once. While something is armed (a machine runs), the signal runs that action and is remembered,
//! and the main thread unwinds, which removes what is there; a second signal ends the process.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGWINCH};
use signal_hook::iterator::Signals as Iterator;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Action = Box<dyn Fn() + Send>;

/// Handles to what signals do.
#[derive(Clone)]
pub struct Signals {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    terminate: Option<Action>,
    resize: Option<Action>,
    caught: Option<u8>,
}

/// Disarms when it is dropped.
pub struct Armed {
    signals: Signals,
}

impl Signals {
    /// Starts the thread.
    ///
    /// # Errors
    /// When signal handlers or the thread cannot be made.
    pub fn install() -> io::Result<Self> {
        let mut iterator = Iterator::new([SIGHUP, SIGINT, SIGTERM, SIGWINCH])?;
        let signals = Self { state: Arc::default() };
        let handle = signals.clone();
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            for signal in iterator.forever() {
                handle.deliver(signal);
            }
        })?;
        Ok(signals)
    }

    /// From now on a terminating signal runs `action` instead of ending the process.
    #[must_use]
    pub fn arm(&self, action: impl Fn() + Send + 'static) -> Armed {
        self.state().terminate = Some(Box::new(action));
        Armed { signals: self.clone() }
    }

    /// From now on a new terminal size runs `action`.
    pub fn on_resize(&self, action: impl Fn() + Send + 'static) {
        self.state().resize = Some(Box::new(action));
    }

    /// The terminating signal that came while something was armed.
    pub fn caught(&self) -> Option<u8> {
        self.state().caught
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn deliver(&self, signal: i32) {
        let mut state = self.state();
        if signal == SIGWINCH {
            if let Some(action) = &state.resize {
                action();
            }
            return;
        }
        let number = u8::try_from(signal).unwrap_or(SIGTERM as u8);
        match (&state.terminate, state.caught) {
            (Some(action), None) => {
                action();
                state.caught = Some(number);
            }
            _ => terminate(number),
        }
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        let mut state = self.signals.state();
        state.terminate = None;
        state.resize = None;
    }
}

#[expect(clippy::exit, reason = "a signal ends the process from its own thread")]
fn terminate(signal: u8) {
    std::process::exit(128 + i32::from(signal));
}
