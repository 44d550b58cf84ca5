//! Starting `pyro-machine`, and what its owner holds of it.
//!
//! A machine belongs to the process that launched it, through one socket: the spec goes down,
//! reports come up, and when the owner's end closes, for whatever reason, the machine is killed.

use crate::report::{Confinement, End, Reason, Report, Stage};
use crate::spec::Spec;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{MemfdFlags, Timespec, memfd_create};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};
use std::env;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// The program's file name.
const PROGRAM: &str = "pyro-machine";

/// How long a machine that was told to go may take: the kernel has to free the guest's memory.
const KILL_GRACE: Duration = Duration::from_secs(5);

/// How long [`Machine::end`] waits for a machine that seems to be going.
const END_GRACE: Duration = Duration::from_secs(2);

/// How much of a console's file [`console_tail`] reads, and how much of it it shows.
const TAIL_BYTES: u64 = 16 << 10;
const TAIL_LINES: usize = 20;

/// How much of the program's own error output is kept: enough for a dynamic linker's complaint.
const COMPLAINT_MAX: usize = 2 << 10;

/// Why there is no machine.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// `pyro-machine` is not where it should be.
    #[error("{PROGRAM} is neither beside {} nor where PYRO_MACHINE says", .0.display())]
    NoProgram(PathBuf),
    /// This process has run out of something.
    #[error("prepare to start {PROGRAM}: {0}")]
    Prepare(#[source] io::Error),
    /// The program could not be executed.
    #[error("start {}: {source}", program.display())]
    Spawn {
        /// What was to be executed.
        program: PathBuf,
        /// Why it was not.
        source: io::Error,
    },
    /// The program went away before it had read what to do.
    #[error("tell {PROGRAM} what to do: {0}")]
    Tell(#[source] io::Error),
}

/// A machine, from its launch on. Dropping it kills it.
#[derive(Debug)]
pub struct Machine {
    pidfd: OwnedFd,
    channel: UnixStream,
    complaint: File,
    inbox: Mutex<Inbox>,
    end: OnceLock<End>,
}

#[derive(Debug, Default)]
struct Inbox {
    partial: Vec<u8>,
    reports: Vec<Report>,
}

/// Finds the program: beside this process's own, else what `PYRO_MACHINE` names, else in
/// `../libexec/pyro`.
///
/// # Errors
/// [`LaunchError::NoProgram`].
pub fn program() -> Result<PathBuf, LaunchError> {
    let own = env::current_exe().map_err(LaunchError::Prepare)?;
    let beside = own.parent().unwrap_or(Path::new("/"));
    let named = env::var_os("PYRO_MACHINE").filter(|name| !name.is_empty()).map(PathBuf::from);
    [Some(beside.join(PROGRAM)), named, Some(beside.join("../libexec/pyro").join(PROGRAM))]
        .into_iter()
        .flatten()
        .find(|path| path.is_file())
        .ok_or(LaunchError::NoProgram(own))
}

/// Keeps what is open here from all programs that are started from now on. Whoever started us may have left
/// more open than the usual three: locks and pipes, which would last as long as a machine does.
pub fn pass_nothing_on() {
    // A kernel before 5.11 cannot; it is no worse off than before.
    let _ = pyro_sys::fds::close_on_exec_from(3);
}

/// Starts `program` as the machine of `spec`, and returns at once: whether the machine came up is
/// what its agent says on the ready socket, and [`Machine::end`] otherwise. The program keeps `held`
/// open until nothing is left of the machine: a lock that must not be free before.
///
/// # Errors
/// [`LaunchError`]; nothing runs then.
pub fn launch(program: &Path, spec: &Spec, held: Option<OwnedFd>) -> Result<Machine, LaunchError> {
    let spawned = Report::stage("spawned");
    pass_nothing_on();
    let (ours, theirs) = UnixStream::pair().map_err(LaunchError::Prepare)?;
    let complaint = memfd_create("pyro-machine", MemfdFlags::CLOEXEC)
        .map_err(|error| LaunchError::Prepare(error.into()))?;
    let complaint = File::from(complaint);
    let child = Command::new(program)
        .env_clear()
        .current_dir("/")
        .stdin(OwnedFd::from(theirs))
        .stdout(held.map_or_else(Stdio::null, Stdio::from))
        .stderr(complaint.try_clone().map_err(LaunchError::Prepare)?)
        .spawn()
        .map_err(|source| LaunchError::Spawn { program: program.to_owned(), source })?;
    let pid = Pid::from_child(&child);
    // The child is not reaped by anyone else, so its number is still its own.
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|error| LaunchError::Prepare(error.into()))?;
    let mut line = serde_json::to_vec(spec).expect("a spec has only plain fields");
    line.push(b'\n');
    (&ours).write_all(&line).map_err(LaunchError::Tell)?;
    let inbox = Mutex::new(Inbox { partial: Vec::new(), reports: vec![spawned] });
    Ok(Machine { pidfd, channel: ours, complaint, inbox, end: OnceLock::new() })
}

impl AsFd for Machine {
    /// Becomes readable when the machine has ended, and not before.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Machine {
    /// Waits for the end, at most for `limit`; `None` if the machine still runs then.
    pub fn wait(&self, limit: Option<Duration>) -> Option<&End> {
        if let Some(end) = self.end.get() {
            return Some(end);
        }
        let deadline = limit.map(|limit| Instant::now() + limit);
        loop {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], timeout.as_ref()) {
                Ok(0) => return None,
                Ok(_) => return Some(self.end.get_or_init(|| self.reap())),
                // A descriptor that cannot be polled cannot happen; waiting again would spin.
                Err(error) if error != Errno::INTR => return None,
                Err(_) => {}
            }
        }
    }

    /// How the machine ended. For a machine that is going, or about to: one that runs on is said to
    /// after two seconds.
    #[must_use]
    pub fn end(&self) -> End {
        self.wait(Some(END_GRACE)).cloned().unwrap_or_else(|| End {
            reason: Reason::Vanished("it still runs, but does not answer".into()),
            console: Vec::new(),
            peak_kib: 0,
        })
    }

    /// Kills the machine and waits until nothing is left of it.
    pub fn kill(&self) -> Option<&End> {
        // Fails if the other side has hung up first, which is as good.
        let _ = self.channel.shutdown(Shutdown::Write);
        self.wait(Some(KILL_GRACE)).or_else(|| {
            let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
            self.wait(Some(KILL_GRACE))
        })
    }

    /// The points of the start that were reached so far, from the launch on.
    #[must_use]
    pub fn stages(&self) -> Vec<Stage> {
        let stage = |report: &Report| match report {
            Report::Stage(stage) => Some(stage.clone()),
            _ => None,
        };
        self.reports(|reports| reports.iter().filter_map(stage).collect())
    }

    /// How the machine is confined, once it is.
    #[must_use]
    pub fn confinement(&self) -> Option<Confinement> {
        let confinement = |report: &Report| match report {
            Report::Confined(confinement) => Some(*confinement),
            _ => None,
        };
        self.reports(|reports| reports.iter().find_map(confinement))
    }

    fn reports<T>(&self, look: impl FnOnce(&[Report]) -> T) -> T {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        inbox.collect(&self.channel);
        look(&inbox.reports)
    }

    /// The program has ended: what did it say?
    fn reap(&self) -> End {
        let status = waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED);
        let said = |report: &Report| match report {
            Report::Ended(end) => Some(end.clone()),
            _ => None,
        };
        self.reports(|reports| reports.iter().rev().find_map(said)).unwrap_or_else(|| {
            let mut text = self.complaint();
            if text.is_empty()
                && let Ok(Some(status)) = status
            {
                text = match (status.terminating_signal(), status.exit_status()) {
                    (Some(signal), _) => format!("killed by signal {signal}"),
                    (_, Some(code)) => format!("exit status {code}"),
                    _ => format!("{status:?}"),
                };
            }
            End { reason: Reason::Vanished(text.trim().into()), console: Vec::new(), peak_kib: 0 }
        })
    }

    /// The beginning of what the program wrote to its error output. From the start, whatever the
    /// position is: the program shares it and has moved it.
    fn complaint(&self) -> String {
        let mut bytes = [0; COMPLAINT_MAX];
        let length = self.complaint.read_at(&mut bytes, 0).unwrap_or_default();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Inbox {
    /// Takes what has come without waiting for more.
    fn collect(&mut self, channel: &UnixStream) {
        let mut chunk = [0; 4096];
        loop {
            match rustix::net::recv(channel, &mut chunk, rustix::net::RecvFlags::DONTWAIT) {
                Ok((0, _)) | Err(Errno::AGAIN) => break,
                Ok((count, _)) => self.partial.extend_from_slice(&chunk[..count]),
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            self.reports.extend(Report::from_line(&line));
        }
    }
}

/// The last lines of a console's file, without anything that a terminal would obey. Empty if there
/// is none.
#[must_use]
pub fn console_tail(path: &Path) -> Vec<String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let first = lines.len().saturating_sub(TAIL_LINES);
    lines[first..].iter().map(|line| harmless(line)).collect()
}

fn harmless(line: &str) -> String {
    line.chars().filter(|character| !character.is_control() || *character == '\t').collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Namespaces, Purpose};

    fn anything() -> Spec {
        Spec::Namespaces(Namespaces {
            agent: "/a".into(),
            lower: Vec::new(),
            writable: "/w".into(),
            mem_mib: 1,
            vcpus: 1,
            run_dir: "/r".into(),
            console: "/c".into(),
            hostname: "h".into(),
            purpose: Purpose::Work,
        })
    }

    fn script(text: &str) -> (tempfile::TempDir, PathBuf) {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("program");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        (directory, path)
    }

    #[test]
    fn the_program_gets_the_spec_and_an_empty_environment() {
        let (directory, program) = script(r#"read line; echo "$line" > "${0%/*}/spec"; env > "${0%/*}/env""#);
        let machine = launch(&program, &anything(), None).unwrap();
        machine.wait(None).unwrap();
        let got = std::fs::read_to_string(directory.path().join("spec")).unwrap();
        assert_eq!(got, serde_json::to_string(&anything()).unwrap() + "\n");
        let env = std::fs::read_to_string(directory.path().join("env")).unwrap();
        assert!(env.lines().all(|line| line.starts_with("PWD=") || line.starts_with("_=")), "{env}");
    }

    #[test]
    fn the_last_report_is_the_end() {
        let end = End { reason: Reason::Guest, console: vec!["bye".into()], peak_kib: 1 };
        let line = String::from_utf8(Report::Ended(end.clone()).to_line()).unwrap();
        let (_directory, program) = script(&format!("read line; printf '%s' '{line}' >&0"));
        let machine = launch(&program, &anything(), None).unwrap();
        assert_eq!(machine.end(), end);
        assert_eq!(machine.stages()[0].name, "spawned");
    }

    #[test]
    fn a_program_that_only_complains_is_quoted() {
        let (_directory, program) = script("read line; echo 'libfoo.so: not found' >&2; exit 127");
        let machine = launch(&program, &anything(), None).unwrap();
        assert_eq!(machine.end().reason, Reason::Vanished("libfoo.so: not found".into()));
    }

    #[test]
    fn killing_reaches_a_program_that_watches_its_owner() {
        let (_directory, program) = script("read line; cat > /dev/null; echo gone >&2");
        let machine = launch(&program, &anything(), None).unwrap();
        assert_eq!(machine.kill().unwrap().reason, Reason::Vanished("gone".into()));
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = launch(Path::new("/nowhere/pyro-machine"), &anything(), None).unwrap_err();
        assert!(error.to_string().starts_with("start /nowhere/pyro-machine: "), "{error}");
    }

    #[test]
    fn a_tail_is_short_and_harmless() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("console");
        assert!(console_tail(&path).is_empty());
        let text: String = (0..5000).map(|number| format!("line {number}\x1b[2J\r\n")).collect();
        std::fs::write(&path, text).unwrap();
        let tail = console_tail(&path);
        assert_eq!(tail.len(), TAIL_LINES);
        assert_eq!(tail[TAIL_LINES - 1], "line 4999[2J");
    }
}
