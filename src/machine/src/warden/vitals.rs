//! Whether a guest that says nothing has begun to run.
//!
//! Some hosts' KVM cannot enter a stock kernel and emulates it in the host's kernel instead,
//! instruction by instruction, for up to a minute of processor time until it meets one that it does
//! not know. That looks like a slow guest, except that the processor's thread spends all of its
//! time in the host's kernel and none in a guest. Even a guest that is emulated throughout gets a
//! good part of its thread's time.

use rustix::param::clock_ticks_per_second;
use std::fs;

/// Name of the thread that runs the guest's first processor; libkrun's.
const THREAD: &str = "fc_vcpu 0";

/// Processor time, as a part of a second, after which a guest must have had a share.
const PATIENCE: u64 = 2;

/// What the times say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vitals {
    /// Nothing yet.
    Unknown,
    /// The guest runs, or has run.
    Alive,
    /// All the time went into the host's kernel.
    NotEntered,
}

/// Looks at the first processor of the machine in process `pid`.
pub fn look(pid: i32) -> Vitals {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vitals::Unknown };
    let stats = threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
    let ticks = clock_ticks_per_second();
    stats.filter_map(|stat| judge(&stat, ticks)).next().unwrap_or(Vitals::Unknown)
}

/// Judges a line of `/proc/PID/task/TID/stat`; `None` if it is another thread's.
fn judge(stat: &str, ticks: u64) -> Option<Vitals> {
    // The name is in parentheses and may hold anything, even parentheses.
    let (head, tail) = stat.rsplit_once(") ")?;
    let (_, name) = head.split_once('(')?;
    if name != THREAD {
        return None;
    }
    // The fields are numbered from 1 in proc(5), and the first two are behind us.
    let field = |number: usize| tail.split(' ').nth(number - 3)?.parse::<u64>().ok();
    let (user, system, guest) = (field(14)?, field(15)?, field(43)?);
    Some(if guest > 0 {
        Vitals::Alive
    } else if user + system >= ticks / PATIENCE {
        Vitals::NotEntered
    } else {
        Vitals::Unknown
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(user: u64, system: u64, guest: u64, expected: Vitals) {
        let middle = ["0"; 10].join(" ");
        let after = ["0"; 27].join(" ");
        let stat = format!("7 (fc_vcpu 0) R {middle} {user} {system} {after} {guest} 0 0\n");
        assert_eq!(judge(&stat, 100), Some(expected));
    }

    #[test]
    fn guest_time_is_life() {
        check(0, 3, 1, Vitals::Alive);
        check(0, 3, 0, Vitals::Unknown);
        check(0, 60, 0, Vitals::NotEntered);
        check(500, 500, 40, Vitals::Alive);
    }

    #[test]
    fn other_threads_do_not_count() {
        assert_eq!(judge("7 (a) b) R 1 2 3\n", 100), None);
        assert_eq!(judge("", 100), None);
    }
}
