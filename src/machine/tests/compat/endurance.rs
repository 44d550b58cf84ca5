//! Many commands, at once and one after the other.

use crate::support::{Machine, Owner, exec, sh, with_machines};
use std::thread;

/// Descriptors, threads and processes that the machine has while it looks.
const CENSUS: &str = "for part in /proc/1/fd /proc/1/task /proc; do echo $part/[0-9]* | wc -w; done";

#[test]
fn a_hundred_commands_at_once() {
    with_machines(|machine| {
        thread::scope(|scope| {
            let run = |number: usize| {
                let outcome = machine.sh(&format!("echo {number}; sleep 0.1; exit {}", number % 200));
                assert_eq!(outcome.output(), format!("{number}\n"));
                assert_eq!(usize::from(outcome.code()), number % 200);
            };
            for number in 0..100 {
                scope.spawn(move || run(number));
            }
        });
    });
}

#[test]
fn a_thousand_commands_leave_nothing() {
    with_machines(|machine| {
        machine.sh("true");
        let before = settled(machine);
        for number in 0..1000 {
            let outcome = match number % 4 {
                0 => machine.run(exec(&["true"])),
                1 => machine.run(exec(&["nope"])),
                2 => machine.sh("echo out; echo err >&2"),
                _ => {
                    drop(machine.begin(sh("sleep 60")));
                    continue;
                }
            };
            drop(outcome);
        }
        // On a busy host the last threads take their time.
        let after = (0..100).map(|_| settled(machine)).find(|after| *after == before);
        assert_eq!(after.unwrap_or_else(|| settled(machine)), before);
        assert!(!machine.is_running("sleep 60"));
    });
}

/// The census, once two in a row agree: a thread outlives its connection by a moment.
fn settled(machine: &Machine) -> String {
    let mut last = machine.text(CENSUS);
    loop {
        thread::sleep(std::time::Duration::from_millis(200));
        let now = machine.text(CENSUS);
        if now == last {
            return now;
        }
        last = now;
    }
}

#[test]
fn a_machine_out_of_descriptors_recovers() {
    let machine = Machine::start(Owner::Ordinary);
    // More than it serves at once; those over the limit are closed, not kept waiting.
    let held: Vec<_> = (0..1100).map(|_| machine.connect()).collect();
    drop(held);
    let served = (0..1000).find(|_| {
        thread::sleep(std::time::Duration::from_millis(10));
        machine.try_run(exec(&["true"])).is_some()
    });
    assert!(served.is_some(), "the agent does not serve any more");
}
