//! What a machine must stand, and be good for afterwards.

use super::Pyro;
use super::machine::Machine;
use pyro_workspace::Status;
use std::fs;

pub fn fifty_commands_run_at_once(pyro: &Pyro) {
    let machine = Machine::start(pyro, &[]);
    machine.text("mkfifo /tmp/go");
    let script = |number| format!("read line <> /tmp/go; head -c 100000 /dev/zero; echo {number}");
    let sessions: Vec<_> = (0..50).map(|number| machine.begin(&script(number))).collect();
    // None of them goes on before all have been asked for.
    let _starter = machine.begin("exec 3<> /tmp/go; yes '' | head -n 50 >&3; sleep 1000");
    for (session, number) in sessions.into_iter().zip(0..) {
        let mut output = Vec::new();
        machine.finish(session, |bytes| output.extend_from_slice(bytes));
        assert_eq!(output[100_000..], *format!("{number}\n").as_bytes());
    }
}

/// `bytes` of output reach us, and nobody keeps them.
pub fn output_without_end_takes_no_memory(pyro: &Pyro, bytes: u64) {
    const GROWTH_MAX_KIB: u64 = 16 << 10;
    let machine = Machine::start(pyro, &[]);
    let free = || machine.text("awk '/^MemAvailable/ { print $2 }' /proc/meminfo").trim().parse().unwrap();
    let (ours, theirs): (u64, u64) = (resident_kib(), free());
    let mut received = 0;
    let session = machine.begin(&format!("head -c {bytes} /dev/zero"));
    machine.finish(session, |chunk| received += chunk.len() as u64);
    assert_eq!(received, bytes);
    assert!(resident_kib() < ours + GROWTH_MAX_KIB, "{ours} KiB became {}", resident_kib());
    // Of a machine of namespaces this is the host's memory, which others use too.
    if pyro.execution_mode == "guest_vsock" {
        assert!(free() + GROWTH_MAX_KIB > theirs, "{theirs} KiB available became {}", free());
    }
}

/// Most memory that this process has had.
fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

pub fn orphans_are_reaped(pyro: &Pyro) {
    let machine = Machine::start(pyro, &[]);
    let orphans = "for number in $(seq 100); do (sh -c 'sleep 0.125; exit 3' &); done";
    machine.text(&format!("{orphans} > /dev/null 2>&1"));
    // Ends when none is left, dead or alive; there is no limit but the test runner's.
    machine.text("while ps -eo stat,args | grep -qE '^Z|[s]leep 0.125'; do sleep 0.1; done");
}

pub fn a_timeout_leaves_nothing_of_the_group(pyro: &Pyro) {
    let machine = Machine::start(pyro, &[]);
    let session = machine.begin_for("sleep 4321 & (trap '' TERM; sleep 4321) & sleep 4321", Some(500));
    let ended = machine.wait(session, |_| {});
    assert!(ended.timed_out && ended.status == Status::Signaled(9), "{ended:?}");
    machine.text("while pgrep -f '[s]leep 4321'; do sleep 0.1; done");
}
