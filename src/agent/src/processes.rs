//! All processes of the machine, stopped and continued by signals.

use crate::failure::invalid;
use pyro_protocol::Failure;
use rustix::process::{Pid, Signal, getpid, kill_process, kill_process_group};
use std::cmp::Reverse;
use std::collections::HashSet;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// How long to wait before looking again.
const PAUSE: Duration = Duration::from_millis(1);

/// Numbers of the calls in which a parent waits until its child executes a program: `clone`,
/// `vfork` and `clone3` of x86_64. It cannot be stopped there, nor can it do anything.
const BIRTHS: [&str; 3] = ["56", "58", "435"];

/// Those that are stopped now.
pub fn stopped() -> HashSet<Pid> {
    all().filter(|&pid| state(format!("/proc/{pid}/stat")) == Some('T')).collect()
}

/// Stops every process but this, and waits until they are.
pub fn stop_all(limit: Duration) -> Result<(), Failure> {
    // To the group of PID 1 means to everybody else. The kernel sends it to all at once, and none
    // of them forks without taking it first. There may be nobody.
    let _ = kill_process_group(Pid::INIT, Signal::STOP);
    let deadline = Instant::now() + limit;
    for pid in all() {
        while !is_still(pid) {
            if Instant::now() > deadline {
                return Err(invalid(format!("process {pid} of the workspace cannot be stopped now")));
            }
            thread::sleep(PAUSE);
        }
    }
    Ok(())
}

/// Lets all processes go on but `others`.
pub fn continue_all_but(others: &HashSet<Pid>) {
    // Children before their parents, which shall not see that they were stopped.
    let mut stopped: Vec<Pid> = all().filter(|pid| !others.contains(pid)).collect();
    stopped.sort_unstable_by_key(|pid| Reverse(pid.as_raw_pid()));
    for pid in stopped {
        let _ = kill_process(pid, Signal::CONT);
    }
}

/// Every process but this.
fn all() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter_map(Pid::from_raw).filter(|&pid| pid != getpid())
}

/// Whether no thread of `pid` does anything.
fn is_still(pid: Pid) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return true };
    threads.flatten().all(|thread| {
        let thread = thread.path();
        match state(thread.join("stat")) {
            Some('R' | 'S') => false,
            Some('D') => {
                let call = fs::read_to_string(thread.join("syscall")).unwrap_or_default();
                call.split(' ').next().is_some_and(|number| BIRTHS.contains(&number))
            }
            // Stopped, traced, dead, or gone.
            Some(_) | None => true,
        }
    })
}

/// The letter after the program's name, which may contain anything.
fn state(path: impl AsRef<std::path::Path>) -> Option<char> {
    let text = fs::read(path).ok()?;
    let end = text.iter().rposition(|&byte| byte == b')')?;
    text.get(end + 2).map(|&letter| char::from(letter))
}
