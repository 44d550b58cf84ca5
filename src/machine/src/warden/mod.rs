//! The process outside the jail: it starts the monitor, watches it for its owner, and says how it
//! ended. It reads nothing of the guest but lines of text.

mod console;
mod log;
mod vitals;

use crate::microvm;
use console::Console;
use log::{Line, Lines};
use pyro_machine::confine::namespaces::{self, Owner};
use pyro_machine::report::{End, Failure, Reason, Report};
use pyro_machine::spec::MicroVm;
use pyro_sys::clone::{Child, Clone};
use pyro_sys::trap;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, WaitId, WaitIdOptions, WaitIdStatus, pidfd_send_signal, waitid};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use syscalls::Sysno;
use vitals::Vitals;

/// How often a guest that has shown no sign of life is looked at.
const LOOK_EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 250_000_000 };

/// What libkrun says when KVM gives up on a processor.
const KVM_GAVE_UP: [&str; 2] = ["KVM_EXIT_INTERNAL_ERROR", "KVM_EXIT_FAIL_ENTRY"];

/// Exit status of a monitor that has panicked.
const PANICKED: i32 = 101;

/// Runs the microVM of `spec` to its end, or until `owner` hangs up.
pub fn run(spec: &MicroVm, owner: &UnixStream) -> End {
    match start(spec, owner) {
        Ok(watch) => watch.follow(),
        Err(failure) => End { reason: Reason::NotStarted(failure), console: Vec::new(), peak_kib: 0 },
    }
}

/// A running monitor, and what is known of it.
#[derive(Debug)]
struct Watch<'a> {
    child: Child,
    owner: &'a UnixStream,
    output: OwnedFd,
    lines: Lines,
    console: Console,
    /// The last thing the monitor said that was not a report.
    message: String,
    /// Whether the guest's processor met a triple fault.
    triple_fault: bool,
    /// Decided before the process ended.
    reason: Option<Reason>,
    /// Whether the guest has shown that it runs.
    vitals: Vitals,
    owner_gone: bool,
}

fn start<'a>(spec: &MicroVm, owner: &'a UnixStream) -> Result<Watch<'a>, Failure> {
    let console = named(&format!("open {}", spec.console.display()), Console::open(&spec.console))?;
    let (output, input) = named("make a pipe", pipe_with(PipeFlags::CLOEXEC))?;
    let user = Owner::current();
    let monitor =
        Clone { namespaces: namespaces::FLAGS.bits().into(), cgroup: None, parents: output.as_fd() };
    let child = monitor.run(|| {
        end_on_panic();
        let Err(failure) = attach(&input).and_then(|()| microvm::become_machine(spec, user));
        microvm::tell(&Report::Failed(failure));
        1
    });
    let child = named("make namespaces for the machine", child.map_err(in_words))?;
    Ok(Watch {
        child,
        owner,
        output,
        lines: Lines::default(),
        console,
        message: String::new(),
        triple_fault: false,
        reason: None,
        vitals: Vitals::Unknown,
        owner_gone: false,
    })
}

/// In the child: a thread of libkrun that panics must not leave half a machine behind, nor unwind
/// into what the parent was doing.
#[expect(clippy::exit, reason = "the forked process has no main to return to")]
fn end_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.to_string().replace('\n', " ");
        let _ = std::io::stderr().write_all(format!("{message}\n").as_bytes());
        std::process::exit(PANICKED)
    }));
}

/// In the child: standard output and error go into the pipe, and nothing else stays open.
fn attach(input: &OwnedFd) -> Result<(), Failure> {
    let null = named("open /dev/null", std::fs::File::open("/dev/null"))?;
    named("set standard input", rustix::stdio::dup2_stdin(&null))?;
    named("set standard output", rustix::stdio::dup2_stdout(input))?;
    named("set standard error", rustix::stdio::dup2_stderr(input))?;
    drop(null);
    named("close what the parent has open", pyro_sys::fds::close_from(3))
}

impl Watch<'_> {
    fn follow(mut self) -> End {
        let status = loop {
            let looking = self.vitals == Vitals::Unknown && self.reason.is_none();
            let mut fds = [
                PollFd::new(&self.child.pidfd, PollFlags::IN),
                PollFd::new(&self.output, PollFlags::IN),
                PollFd::new(self.owner, PollFlags::RDHUP),
            ];
            // The owner's end of the stream stays readable for ever: asked once.
            let count = if self.owner_gone { 2 } else { 3 };
            let polled = poll(&mut fds[..count], looking.then_some(&LOOK_EVERY));
            let [ended, output, owner] = fds.map(|fd| !fd.revents().is_empty());
            if let Err(error) = polled
                && error != Errno::INTR
            {
                self.kill(not_watched(error));
                break self.reap();
            }
            if output {
                self.read();
            }
            if owner {
                self.owner_gone = true;
                self.kill(Reason::Killed);
            }
            if ended {
                break self.reap();
            }
            if looking {
                self.look();
            }
        };
        while self.read() {}
        self.say_end(status)
    }

    /// Reads once; false at the end.
    fn read(&mut self) -> bool {
        let mut chunk = [0; 16 << 10];
        let count = match read(&self.output, &mut chunk) {
            Ok(count) => count,
            Err(Errno::INTR) => return true,
            Err(_) => 0,
        };
        for line in self.lines.take(&chunk[..count]) {
            self.hear(line);
        }
        count > 0
    }

    fn hear(&mut self, line: Line) {
        match line {
            Line::Console(text) => self.console.line(&text),
            Line::Monitor(text) => self.message = text,
            Line::TripleFault => self.triple_fault = true,
            Line::Remark => {}
            Line::Report(Report::Failed(failure)) => self.reason = Some(Reason::NotStarted(failure)),
            Line::Report(report @ (Report::Stage(_) | Report::Confined(_))) => tell(self.owner, &report),
            // Not the monitor's to say.
            Line::Report(Report::Ended(_)) => {}
        }
    }

    fn look(&mut self) {
        self.vitals = if self.console.has_spoken() {
            Vitals::Alive
        } else {
            vitals::look(self.child.pid.as_raw_nonzero().get())
        };
        if self.vitals == Vitals::NotEntered {
            self.kill(Reason::KernelNotEntered);
        }
    }

    fn kill(&mut self, reason: Reason) {
        self.reason.get_or_insert(reason);
        // Fails if it has ended by itself, which the next poll finds.
        let _ = pidfd_send_signal(&self.child.pidfd, Signal::KILL);
    }

    fn reap(&self) -> Option<WaitIdStatus> {
        loop {
            match waitid(WaitId::PidFd(self.child.pidfd.as_fd()), WaitIdOptions::EXITED) {
                Err(Errno::INTR) => {}
                status => return status.ok().flatten(),
            }
        }
    }

    fn say_end(mut self, status: Option<WaitIdStatus>) -> End {
        if let Some(line) = std::mem::take(&mut self.lines).rest() {
            self.hear(line);
        }
        let reason = match self.reason.take() {
            // libkrun says more in its log than by its error number.
            Some(Reason::NotStarted(failure)) if !self.message.is_empty() => {
                let reason = format!("{} ({})", self.message, failure.reason);
                Reason::NotStarted(Failure { reason, ..failure })
            }
            Some(reason) => reason,
            None => self.reason_of(status.as_ref()),
        };
        End {
            reason,
            console: self.console.into_last_lines(),
            peak_kib: pyro_sys::usage::peak_of_children_kib(),
        }
    }

    fn reason_of(&self, status: Option<&WaitIdStatus>) -> Reason {
        const SIGSYS: i32 = 31;
        let code = status.and_then(WaitIdStatus::exit_status);
        let signal = status.and_then(WaitIdStatus::terminating_signal);
        let gave_up = KVM_GAVE_UP.iter().any(|words| self.message.contains(words));
        match (code, signal) {
            (Some(0), _) => match self.console.panic() {
                Some(message) => Reason::Panic(message),
                None if self.triple_fault => Reason::TripleFault,
                None => Reason::Guest,
            },
            (Some(_), _) if gave_up && !self.console.has_spoken() => Reason::KernelNotEntered,
            (Some(trap::STATUS), _) => Reason::ForbiddenCall(forbidden_call(&self.message)),
            (Some(status), _) => Reason::Monitor { status, message: self.message.clone() },
            (None, Some(SIGSYS)) => Reason::ForbiddenCall(None),
            (None, signal) => Reason::Signal(signal.unwrap_or_default()),
        }
    }
}

/// The name of the call that the monitor's last words tell of; its number if it has none.
fn forbidden_call(message: &str) -> Option<String> {
    let number: usize = message.strip_prefix(trap::WORDS)?.parse().ok()?;
    Some(Sysno::new(number).map_or_else(|| number.to_string(), |call| call.name().to_owned()))
}

/// Tells the owner, who may be gone.
pub fn tell(mut owner: &UnixStream, report: &Report) {
    let _ = owner.write_all(&report.to_line());
}

/// What the kernel means by its errors about user namespaces.
fn in_words(error: std::io::Error) -> String {
    match Errno::from_io_error(&error) {
        Some(Errno::NOSPC) => {
            "the host allows no more user namespaces (sysctl user.max_user_namespaces)".into()
        }
        Some(Errno::PERM) => "the host does not let this user make user namespaces".into(),
        _ => error.to_string(),
    }
}

fn not_watched(error: Errno) -> Reason {
    Reason::Monitor { status: -1, message: format!("it could not be watched: {error}") }
}

fn named<T>(step: &str, result: Result<T, impl std::fmt::Display>) -> Result<T, Failure> {
    result.map_err(|error| Failure { step: step.into(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::forbidden_call;

    #[test]
    fn a_forbidden_call_has_its_name() {
        assert_eq!(forbidden_call("forbidden system call 59").as_deref(), Some("execve"));
        assert_eq!(forbidden_call("forbidden system call 99999").as_deref(), Some("99999"));
        assert_eq!(forbidden_call("no memory"), None);
    }
}
