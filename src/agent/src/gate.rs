//! Who may write: everybody, or, while the machine is frozen, nobody.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Passed by whoever starts a process or changes a file, closed by whoever freezes the machine.
#[derive(Default)]
pub struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    inside: usize,
    closed: bool,
}

/// Leave to write, until dropped.
pub struct Pass<'a>(&'a Gate);

/// Nobody has leave to write, until this is dropped.
pub struct Closed<'a>(&'a Gate);

impl Gate {
    /// Waits until the gate is open. A freeze ends by itself, so this wait does too.
    pub fn pass(&self) -> Pass<'_> {
        self.wait_while(|state| state.closed).inside += 1;
        Pass(self)
    }

    /// Waits until nobody else has closed it, then until nobody is inside. A pass is never held
    /// while the peer is waited for.
    pub fn close(&self) -> Closed<'_> {
        self.wait_while(|state| state.closed).closed = true;
        let closed = Closed(self);
        drop(self.wait_while(|state| state.inside > 0));
        closed
    }

    fn wait_while(&self, condition: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.changed.wait_while(self.lock(), |state| condition(state));
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is a single assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.0.lock().inside -= 1;
        self.0.changed.notify_all();
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.lock().closed = false;
        self.0.changed.notify_all();
    }
}
