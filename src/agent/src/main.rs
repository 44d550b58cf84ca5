//! PID 1 of a workspace: assembles its root, says so, and runs commands for the host.
//!
//! As `pyro-agent --namespaces` the root stands already, and descriptors 3 and 4 are the sockets
//! to serve on and to report to. Otherwise this is the first process of a microVM.
//!
//! Invariant: PID 1 does not end while there is a root. What fails is told to whoever asked for it.

mod boot;
mod changes;
mod command;
mod console;
mod edit;
mod exec;
mod failure;
mod files;
mod freeze;
mod gate;
mod processes;
mod read;
mod ready;
mod reap;
mod serve;
mod stdio;
mod stillness;
mod upper;
mod users;
mod walk;
mod wire;

use boot::{Booted, Place, Purpose};
use gate::Gate;
use upper::Upper;

/// The machine that this is PID 1 of, for as long as it exists.
struct Machine {
    place: Place,
    purpose: Purpose,
    /// What it has changed; a machine without disks has nothing to change.
    upper: Option<Upper>,
    gate: Gate,
}

fn main() {
    // What `ps` shows; the program's file has no name where the launcher keeps it in memory.
    let _ = rustix::thread::set_name(c"pyro-agent");
    let place = Place::from_arguments(std::env::args_os());
    let mut log = ready::Log::default();
    match place.boot(&mut log) {
        Ok(Booted { listener, upper, purpose }) => {
            let upper = upper.map(|directory| Upper::new(directory, place));
            let machine = Box::leak(Box::new(Machine { place, purpose, upper, gate: Gate::default() }));
            place.report(log, None);
            serve::run(&listener, machine)
        }
        Err(problem) => {
            console::say(&problem.to_string());
            place.report(log, Some(problem.to_string()));
            place.end();
        }
    }
}
