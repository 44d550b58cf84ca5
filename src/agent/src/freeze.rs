//! Letting nobody write for a while, and always again after that.
//!
//! A thread of its own freezes, waits and thaws, so that nothing which befalls a connection, be it
//! a panic, can leave the machine frozen. It writes nothing, and neither does any other thread of
//! ours while the gate is closed.

use crate::Machine;
use crate::failure::{Stop, internal};
use crate::gate::Closed;
use crate::stillness::Stillness;
use crate::wire::Wire;
use pyro_protocol::{Failure, FailureKind, Reply};
use rustix::event::{PollFlags, Timespec};
use rustix::time::{ClockId, clock_gettime};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How long nobody may write. Programs notice a pause of this length, but survive it.
const FREEZE_MAX: Duration = Duration::from_secs(30);

/// How often it is seen whether a freeze has ended by itself.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };

/// How long to wait for the clock of files to move on.
const TICK: Duration = Duration::from_millis(1);

/// Answers a request to freeze, until the peer hangs up.
pub fn run(wire: &mut Wire, machine: &'static Machine) -> Result<(), Stop> {
    let frozen = Frozen::new(machine)?;
    wire.send(&Reply::Done)?;
    wire.drain()?;
    while !wire.wait(PollFlags::RDHUP, Some(&LOOK))? {
        frozen.still()?;
    }
    Ok(())
}

/// A frozen machine, thawed when this is dropped or when it takes too long.
pub struct Frozen(Arc<Shared>);

struct Shared {
    phase: Mutex<Phase>,
    changed: Condvar,
}

enum Phase {
    /// The machine is being frozen.
    Starting,
    /// It could not be.
    Refused(Failure),
    /// It is frozen.
    Holding,
    /// It may go on.
    Released,
    /// It took too long.
    Expired,
}

impl Frozen {
    /// Freezes `machine`, after whatever else has frozen it is over.
    pub fn new(machine: &'static Machine) -> Result<Self, Failure> {
        let shared = Arc::new(Shared { phase: Mutex::new(Phase::Starting), changed: Condvar::new() });
        let watchdog = Arc::clone(&shared);
        thread::Builder::new()
            .name("freezer".to_owned())
            .spawn(move || watchdog.freeze(machine))
            .map_err(|error| internal("cannot start a thread", error))?;
        let phase = shared.wait_while(|phase| matches!(phase, Phase::Starting));
        if let Phase::Refused(failure) = &*phase {
            return Err(failure.clone());
        }
        drop(phase);
        Ok(Self(shared))
    }

    /// Fails if the machine was frozen for too long and is so no more.
    pub fn still(&self) -> Result<(), Failure> {
        if !matches!(*self.0.lock(), Phase::Expired) {
            return Ok(());
        }
        let limit = FREEZE_MAX.as_secs();
        let message = format!("the workspace was not to be written to for more than {limit} s, and goes on");
        Err(Failure { kind: FailureKind::Internal, message })
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let mut phase = self.0.lock();
        if matches!(*phase, Phase::Holding) {
            *phase = Phase::Released;
            self.0.changed.notify_all();
        }
    }
}

impl Shared {
    /// The life of a freeze.
    fn freeze(&self, machine: &'static Machine) {
        let gate: Closed<'_> = machine.gate.close();
        let stillness = match Stillness::new(machine) {
            Ok(stillness) => stillness,
            Err(failure) => {
                drop(gate);
                return self.set(Phase::Refused(failure));
            }
        };
        let since = file_clock();
        self.set(Phase::Holding);
        let waited =
            self.changed.wait_timeout_while(self.lock(), FREEZE_MAX, |phase| matches!(phase, Phase::Holding));
        let mut phase = waited.unwrap_or_else(PoisonError::into_inner).0;
        if matches!(*phase, Phase::Holding) {
            *phase = Phase::Expired;
        }
        drop(phase);
        // What is written from now on must not have the time of what was written before: a file's
        // stamp would not tell the two apart.
        while file_clock() == since {
            thread::sleep(TICK);
        }
        drop(stillness);
        drop(gate);
    }

    fn set(&self, phase: Phase) {
        *self.lock() = phase;
        self.changed.notify_all();
    }

    fn wait_while(&self, condition: impl Fn(&Phase) -> bool) -> MutexGuard<'_, Phase> {
        let waited = self.changed.wait_while(self.lock(), |phase| condition(phase));
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Phase> {
        // Every change under the lock is a single assignment.
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The clock that file systems take times from. It moves in steps of some milliseconds.
fn file_clock() -> (i64, i64) {
    let now = clock_gettime(ClockId::RealtimeCoarse);
    (now.tv_sec, now.tv_nsec)
}
