//! Accepting connections: one thread each, and nothing that goes wrong in one ends another.

use crate::command::invalid;
use crate::console::say;
use crate::exec;
use crate::wire::Wire;
use pyro_protocol::{Failure, FailureKind, Request};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
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
pub fn run(listener: &OwnedFd) -> ! {
    loop {
        match accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok(socket) => admit(socket),
            Err(Errno::INTR | Errno::CONNABORTED | Errno::PROTO) => {}
            Err(error) => {
                say(&format!("cannot accept a connection: {}", io::Error::from(error)));
                thread::sleep(PAUSE);
            }
        }
    }
}

/// Gives a connection its thread. Without one it is closed, which its peer sees at once.
fn admit(socket: OwnedFd) {
    let Some(counted) = Counted::new() else {
        say("too many connections");
        return;
    };
    let body = move || {
        let _counted = counted;
        if catch_unwind(AssertUnwindSafe(|| converse(socket))).is_err() {
            say("a connection failed");
        }
    };
    if let Err(error) = thread::Builder::new().stack_size(STACK).spawn(body) {
        say(&format!("cannot start a thread: {error}"));
        thread::sleep(PAUSE);
    }
}

fn converse(socket: OwnedFd) {
    let mut wire = Wire::new(socket);
    match request(&mut wire) {
        Ok(Some(Request::Exec(command))) => exec::run(&mut wire, &command),
        Ok(Some(_)) => exec::fail(&mut wire, invalid("not served yet".to_owned())),
        Ok(None) => {}
        Err(failure) => exec::fail(&mut wire, failure),
    }
    wire.linger();
}

/// The first frame; `None` if the peer left without one.
fn request(wire: &mut Wire) -> Result<Option<Request>, Failure> {
    loop {
        if let Some(request) = wire.next().map_err(|error| invalid(error.to_string()))? {
            return Ok(Some(request));
        }
        match poll(&mut [PollFd::new(wire, PollFlags::IN)], Some(&PATIENCE)) {
            Ok(0) => return Err(invalid("no request came")),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => {
                let message = format!("cannot wait for a request: {}", io::Error::from(error));
                return Err(Failure { kind: FailureKind::Internal, message });
            }
        }
        if wire.fill().is_err() {
            return Ok(None);
        }
    }
}
