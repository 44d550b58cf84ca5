//! What the host sees of processes.

use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// A process that was seen, told apart from a later one with its number.
#[derive(Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    parent: u32,
    started: String,
}

impl Process {
    fn read(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is in parentheses and may hold blanks.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let dead = matches!(fields[0], "Z" | "X");
        (!dead).then(|| Self { pid, parent: fields[1].parse().unwrap_or(0), started: fields[19].to_owned() })
    }

    /// Kills it.
    pub fn kill(&self) {
        let pid = rustix::process::Pid::from_raw(self.pid.cast_signed()).expect("a process has a number");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it is ours");
    }

    /// Whether it still runs.
    pub fn is_alive(&self) -> bool {
        Self::read(self.pid).is_some_and(|now| now.started == self.started)
    }
}

/// The process that has this among its arguments.
pub fn with_argument(word: &str) -> Process {
    let has = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes())
    };
    pids().filter(has).find_map(Process::read).expect("a process with that argument")
}

/// The processes that have something open below `directory`.
pub fn users_of(directory: &Path) -> Vec<Process> {
    let uses = |pid: &u32| {
        let links = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        links.filter_map(|link| fs::read_link(link.path()).ok()).any(|path| path.starts_with(directory))
    };
    pids().filter(uses).filter_map(Process::read).collect()
}

fn pids() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The processes under `pid`, at any depth.
pub fn descendants(pid: u32) -> Vec<Process> {
    let mut rest: Vec<Process> = pids().filter_map(Process::read).collect();
    let (mut found, mut next) = (Vec::new(), vec![pid]);
    while let Some(parent) = next.pop() {
        let (children, others) = rest.into_iter().partition(|process| process.parent == parent);
        rest = others;
        let children: Vec<Process> = children;
        next.extend(children.iter().map(|child| child.pid));
        found.extend(children);
    }
    found
}

/// The directory of the workspace whose lock the process `pid` holds.
pub fn workspace_of(pid: u32) -> PathBuf {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let files = links.filter_map(|link| fs::read_link(link.path()).ok());
    let mut locks =
        files.filter(|file| file.ends_with("lock") && file.to_string_lossy().contains("/workspaces/"));
    let lock = locks.next().expect("a running pyro holds the lock of its workspace");
    lock.parent().expect("a lock is in a directory").to_owned()
}

/// Hexadecimal digest of `bytes`.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
