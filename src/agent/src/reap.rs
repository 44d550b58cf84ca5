//! Children: the commands that we start, and the orphans that PID 1 inherits.
//!
//! One thread waits for all of them. Invariant: a command's process id is in the table from
//! before anyone can wait for it until just before it is reaped, both under the table's lock. So
//! a status cannot get lost, and a signal cannot reach a stranger that was given the same number.

use pyro_protocol::Status;
use pyro_sys::spawn::{Program, SpawnError, Stage};
use rustix::event::{EventfdFlags, eventfd};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

static COMMANDS: Table = Table { running: Mutex::new(BTreeMap::new()), started: Condvar::new() };

struct Table {
    running: Mutex<BTreeMap<i32, Arc<Slot>>>,
    /// Told when a child appears where there may have been none.
    started: Condvar,
}

/// Where the reaper leaves an exit for the command's thread.
struct Slot {
    exit: OnceLock<Exit>,
    event: OwnedFd,
}

/// The end of a process.
#[derive(Clone, Copy, Debug)]
pub struct Exit {
    /// How it ended.
    pub status: Status,
    /// When we saw it.
    pub at: Instant,
}

/// A command that was started.
pub struct Child {
    pid: Pid,
    slot: Arc<Slot>,
}

impl Child {
    /// Starts `program` and waits until it is running.
    pub fn start(program: &Program<'_>) -> Result<Child, SpawnError> {
        let prepare = |error| SpawnError { stage: Stage::Prepare, error };
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|error| prepare(error.into()))?;
        let slot = Arc::new(Slot { exit: OnceLock::new(), event });
        let mut running = COMMANDS.lock();
        let starting = program.start().map_err(prepare)?;
        let pid = starting.pid;
        running.insert(pid.as_raw_pid(), Arc::clone(&slot));
        COMMANDS.started.notify_one();
        drop(running);
        starting.wait()?;
        Ok(Child { pid, slot })
    }

    /// Its process id, which is also its process group and session.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Becomes readable at its exit.
    pub fn event(&self) -> BorrowedFd<'_> {
        self.slot.event.as_fd()
    }

    /// Its exit, once it happened.
    pub fn exit(&self) -> Option<Exit> {
        self.slot.exit.get().copied()
    }

    /// Sends `signal` to its process group, unless it has ended.
    pub fn signal_group(&self, signal: Signal) {
        let running = COMMANDS.lock();
        if running.contains_key(&self.pid.as_raw_pid()) {
            // The group exists, since its leader is not reaped; it may have made itself immune.
            let _ = kill_process_group(self.pid, signal);
        }
    }
}

/// Reaps, for ever.
pub fn run() -> ! {
    loop {
        match pyro_sys::wait::peek() {
            Ok(pid) => reap(pid),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // No child at all. An orphan's ancestors lead to us, so there cannot be one either
            // before we start something.
            Err(_) => COMMANDS.await_start(),
        }
    }
}

fn reap(pid: Pid) {
    let mut running = COMMANDS.lock();
    let slot = running.remove(&pid.as_raw_pid());
    let Ok(Some(ended)) = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) else {
        return;
    };
    drop(running);
    if let Some(slot) = slot {
        let status = match (ended.exit_status(), ended.terminating_signal()) {
            (Some(code), _) => Status::Exited(code as u8),
            (None, Some(signal)) => Status::Signaled(signal as u8),
            (None, None) => return,
        };
        // One exit per process, so the cell is empty; the counter of the event is far from full.
        let _ = slot.exit.set(Exit { status, at: Instant::now() });
        let _ = rustix::io::write(&slot.event, &1_u64.to_ne_bytes());
    }
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, Arc<Slot>>> {
        // No invariant spans a panic: each change under the lock is one insert or remove.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn await_start(&self) {
        let running = self.lock();
        // Whoever is in the table was forked under the lock and is there to be waited for.
        let idle = |running: &mut BTreeMap<_, _>| running.is_empty();
        drop(self.started.wait_while(running, idle).unwrap_or_else(PoisonError::into_inner));
    }
}
