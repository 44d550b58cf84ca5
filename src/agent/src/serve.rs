//! Accepting connections: one thread each, and nothing that goes wrong in one ends another.

use crate::Machine;
use crate::boot::Purpose;
use crate::console::say;
use crate::failure::{Stop, invalid};
use crate::wire::Wire;
use crate::{changes, edit, exec, freeze, read, walk};
use pyro_protocol::{Failure, Reply, Request};
use rustix::event::Timespec;
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Connections served at once. Each holds a thread and up to eight descriptors.
const CONNECTIONS_MAX: usize = 1024;

/// Stack of a connection's thread; buffers are on the heap.
const STACK: usize = 256 << 10;

/// How long a new connection may take to say what it wants.
const PATIENCE: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };

/// How long to wait when the kernel is out of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(20);

static OPEN: AtomicUsize = AtomicUsize::new(0);

/// Counts a connection for as long as it exists.
struct Counted;

impl Counted {
    fn new() -> Option<Self> {
        let counted = Self;
        (OPEN.fetch_add(1, Ordering::Relaxed) < CONNECTIONS_MAX).then_some(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves, for ever.
pub fn run(listener: &OwnedFd, machine: &'static Machine) -> ! {
    loop {
        match accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok(socket) => admit(socket, machine),
            Err(Errno::INTR | Errno::CONNABORTED | Errno::PROTO) => {}
            Err(error) => {
                say(&format!("cannot accept a connection: {}", io::Error::from(error)));
                thread::sleep(PAUSE);
            }
        }
    }
}

/// Gives a connection its thread. Without one it is closed, which its peer sees at once.
fn admit(socket: OwnedFd, machine: &'static Machine) {
    let Some(counted) = Counted::new() else {
        say("too many connections");
        return;
    };
    let body = move || {
        let _counted = counted;
        if catch_unwind(AssertUnwindSafe(|| converse(socket, machine))).is_err() {
            say("a connection failed");
        }
    };
    if let Err(error) = thread::Builder::new().stack_size(STACK).spawn(body) {
        say(&format!("cannot start a thread: {error}"));
        thread::sleep(PAUSE);
    }
}

fn converse(socket: OwnedFd, machine: &'static Machine) {
    let mut wire = Wire::new(socket);
    if let Err(Stop::Failed(failure)) = answer(&mut wire, machine) {
        // A peer that is gone misses nothing.
        let _ = refuse(&mut wire, failure);
    }
    wire.linger();
}

fn refuse(wire: &mut Wire, failure: Failure) -> Result<(), Stop> {
    wire.push(&Reply::Failed(failure))?;
    Ok(wire.drain()?)
}

/// Answers one request, or walks one after the other.
fn answer(wire: &mut Wire, machine: &'static Machine) -> Result<(), Stop> {
    let mut walked = false;
    loop {
        return match wire.receive(Some(&PATIENCE))? {
            Some(Request::Exec(_) | Request::Edit(_)) if machine.purpose == Purpose::Look => {
                Err(invalid("this machine was started to look at its files, nothing else").into())
            }
            Some(Request::Exec(command)) => exec::run(wire, &machine.gate, &command),
            Some(Request::Walk(walk)) => {
                match walk::run(wire, &walk) {
                    Err(Stop::Failed(failure)) => refuse(wire, failure)?,
                    other => other?,
                }
                walked = true;
                continue;
            }
            Some(Request::Read(read)) => read::run(wire, &read),
            Some(Request::Edit(edits)) => edit::run(wire, &machine.gate, &edits),
            Some(Request::Changes(changes)) => changes::run(wire, machine, &changes),
            Some(Request::Freeze) => freeze::run(wire, machine),
            None if walked => Ok(()),
            None => Err(invalid("no request came").into()),
        };
    }
}
