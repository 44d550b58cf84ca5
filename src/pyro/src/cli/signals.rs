//! Signals: Ctrl-C leaves nothing behind, and a terminal that changes its size says so.
//!
//! While nothing is armed, a terminating signal ends the process at once. While something is armed (a
//! machine runs), the signal cancels that and is remembered, and the main thread unwinds, which removes
//! what is there; a second signal ends the process. All of it happens in signal handlers, which set flags
//! and write a byte: a thread that waits for signals would cost every command more than its own work.

use pyro_workspace::Cancel;
use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGWINCH};
use signal_hook::flag;
use signal_hook::iterator::Signals as Iterator;
use signal_hook::low_level::{pipe, unregister};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What ends a process, unless it is asked to end by itself.
const TERMINATING: [i32; 3] = [SIGHUP, SIGINT, SIGTERM];

type Action = Box<dyn Fn() + Send>;

/// Handles to what signals do.
#[derive(Clone)]
pub struct Signals {
    /// Whether the next terminating signal ends the process.
    ends: Arc<AtomicBool>,
    /// The last one that did not; 0 if there was none.
    caught: Arc<AtomicUsize>,
    resize: Arc<Mutex<Option<Action>>>,
}

/// Disarms when it is dropped.
pub struct Armed {
    signals: Signals,
    triggers: Vec<SigId>,
}

impl Signals {
    /// Takes over the signals of this process.
    ///
    /// # Errors
    /// When signal handlers cannot be installed.
    pub fn install() -> io::Result<Self> {
        let signals =
            Self { ends: Arc::new(AtomicBool::new(true)), caught: Arc::default(), resize: Arc::default() };
        for signal in TERMINATING {
            // In this order: the first signal is remembered, the second one ends the process.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&signals.ends))?;
            flag::register(signal, Arc::clone(&signals.ends))?;
            flag::register_usize(signal, Arc::clone(&signals.caught), signal.unsigned_abs() as usize)?;
        }
        Ok(signals)
    }

    /// From now on a terminating signal cancels instead of ending the process.
    ///
    /// # Errors
    /// When descriptors have run out.
    pub fn arm(&self, cancel: &Cancel) -> io::Result<Armed> {
        let mut armed = Armed { signals: self.clone(), triggers: Vec::with_capacity(TERMINATING.len()) };
        for signal in TERMINATING {
            armed.triggers.push(pipe::register(signal, cancel.trigger()?)?);
        }
        // Unless it was armed before, and a signal came then: who goes on after that is ended by the next.
        self.ends.store(self.caught().is_some(), Ordering::SeqCst);
        Ok(armed)
    }

    /// From now on a new terminal size runs `action`, in a thread that is started for it.
    ///
    /// # Errors
    /// When the signal handler or the thread cannot be made.
    pub fn on_resize(&self, action: impl Fn() + Send + 'static) -> io::Result<()> {
        let mut iterator = Iterator::new([SIGWINCH])?;
        *self.resize() = Some(Box::new(action));
        let signals = self.clone();
        std::thread::Builder::new().name("resize".into()).spawn(move || {
            for _ in iterator.forever() {
                if let Some(action) = &*signals.resize() {
                    action();
                }
            }
        })?;
        Ok(())
    }

    /// The terminating signal that came while something was armed.
    pub fn caught(&self) -> Option<u8> {
        u8::try_from(self.caught.load(Ordering::SeqCst)).ok().filter(|&signal| signal != 0)
    }

    fn resize(&self) -> MutexGuard<'_, Option<Action>> {
        self.resize.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        // First: a signal without a trigger would be lost.
        self.signals.ends.store(true, Ordering::SeqCst);
        for trigger in self.triggers.drain(..) {
            unregister(trigger);
        }
        *self.signals.resize() = None;
    }
}
