//! Running one command for one connection: a loop over everything that can happen.
//!
//! One thread, nothing blocks but `poll`. Output is read only when what was read before has gone
//! out, so a slow peer slows the command and memory stays constant; meanwhile the deadline, the
//! peer's disappearance and the command's end are still seen.

use crate::command::Command;
use crate::failure::{Stop, internal, invalid};
use crate::gate::Gate;
use crate::reap::{Child, Exit};
use crate::stdio::{self, Found, Ours, Output};
use crate::users;
use crate::wire::Wire;
use pyro_protocol::{Ended, Exec, Failure, FailureKind, Input, Reply};
use pyro_sys::spawn::Program;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, Signal, getrlimit};
use serde_bytes::ByteBuf;
use std::mem;
use std::time::{Duration, Instant};

/// How long processes that a command left behind may hold its output open after its end. Enough
/// for a filter at the end of a pipeline to finish, too short to be noticed.
const GRACE: Duration = Duration::from_millis(100);

/// How long a killed command may take to die before we say that it does not.
const DEATH: Duration = Duration::from_secs(10);

/// Open files of a command. Higher than the kernel's default of 1024, which builds run into; not
/// so high that programs which close every possible descriptor crawl.
const OPEN_FILES: u64 = 65_536;

/// Runs `exec` to its end and answers on `wire`. If the peer goes away, the command is killed.
pub fn run(wire: &mut Wire, gate: &Gate, exec: &Exec) -> Result<(), Stop> {
    let mut session = Session::start(gate, exec)?;
    session.run(wire).inspect_err(|_| session.child.signal_group(Signal::KILL))
}

/// A running command and its streams.
struct Session<'a> {
    gate: &'a Gate,
    child: Child,
    ours: Ours,
    started: Instant,
    deadline: Option<Instant>,
    /// When the agent killed the command because its time was up.
    killed: Option<Instant>,
    /// The command's end, and until when its streams are still read.
    ended: Option<(Exit, Instant)>,
    /// Holds the bytes on their way from a stream to a frame.
    chunk: Vec<u8>,
}

impl<'a> Session<'a> {
    fn start(gate: &'a Gate, exec: &Exec) -> Result<Self, Failure> {
        let _pass = gate.pass();
        let mut command = Command::new(exec, &users::load())?;
        if exec.create_cwd {
            // It is not the command that is missing.
            command
                .make_cwd()
                .map_err(|failure| invalid(format!("working directory: {}", failure.message)))?;
        }
        if users::groups_are_fixed() {
            command.identity.groups = None;
        }
        let streams = match exec.tty {
            Some(window) => stdio::terminal(window, command.identity.uid),
            None => stdio::pipes(exec.stdin),
        };
        let (theirs, ours) = streams.map_err(|error| internal("cannot make the command's streams", error))?;
        let program = Program {
            candidates: &command.candidates,
            argv: &command.argv,
            env: &command.env,
            cwd: &command.cwd,
            stdio: theirs.all(),
            terminal: exec.tty.is_some(),
            identity: &command.identity,
            limits: &limits(),
            cgroup: None,
        };
        let started = Instant::now();
        let child = Child::start(&program).map_err(|error| command.failure(&error))?;
        let timeout = exec.timeout_ms.map(Duration::from_millis);
        Ok(Self {
            gate,
            child,
            ours,
            started,
            // A deadline beyond what the clock can express is none.
            deadline: timeout.and_then(|timeout| started.checked_add(timeout)),
            killed: None,
            ended: None,
            chunk: Vec::new(),
        })
    }

    fn run(&mut self, wire: &mut Wire) -> Result<(), Stop> {
        let pid = self.child.pid().as_raw_nonzero().get().unsigned_abs();
        wire.push(&Reply::Started { pid })?;
        let exit = loop {
            wire.flush()?;
            if wire.is_flushed() {
                self.forward(wire)?;
            }
            self.obey(wire)?;
            self.feed();
            let now = Instant::now();
            if let Some(exit) = self.over(now)
                && wire.is_flushed()
            {
                break exit;
            }
            self.enforce_deadline(now)?;
            self.wait(wire, now)?;
        };
        wire.push(&Reply::Ended(Ended {
            status: exit.status,
            timed_out: self.killed.is_some(),
            duration_us: exit.at.duration_since(self.started).as_micros() as u64,
        }))?;
        Ok(wire.drain()?)
    }

    /// Moves at most one chunk of each stream to the wire.
    fn forward(&mut self, wire: &mut Wire) -> Result<(), Stop> {
        let Ours { stdout, stderr, .. } = &mut self.ours;
        for (stream, wrap) in [(stdout, Reply::Stdout as fn(ByteBuf) -> Reply), (stderr, Reply::Stderr)] {
            let Some(output) = stream.as_mut().filter(|_| wire.is_flushed()) else { continue };
            match output.read(&mut self.chunk) {
                Found::Bytes => {
                    let reply = wrap(ByteBuf::from(mem::take(&mut self.chunk)));
                    wire.push(&reply)?;
                    if let Reply::Stdout(bytes) | Reply::Stderr(bytes) = reply {
                        self.chunk = bytes.into_vec();
                    }
                    wire.flush()?;
                }
                Found::Nothing => {}
                Found::End => *stream = None,
            }
        }
        Ok(())
    }

    /// Carries out what the peer has sent, as long as there is room for more standard input.
    fn obey(&mut self, wire: &mut Wire) -> Result<(), Stop> {
        while self.takes_input() {
            let Some(input) = wire.next()? else { break };
            match (input, &mut self.ours.input) {
                (Input::Signal(number), _) => match Signal::from_named_raw(number) {
                    Some(signal) => {
                        // It must not wake what is to write nothing.
                        let _pass = self.gate.pass();
                        self.child.signal_group(signal);
                    }
                    None => return Err(invalid(format!("there is no signal {number}")).into()),
                },
                (Input::Stdin(bytes), Some(stream)) => stream.push(&bytes),
                (Input::CloseStdin, Some(stream)) => stream.end(),
                (Input::Resize(window), Some(stream)) => stream.resize(window),
                // The command has closed its standard input, or never had one.
                (Input::Stdin(_) | Input::CloseStdin | Input::Resize(_), None) => {}
                (_, _) => return Err(invalid("this is nothing to send to a command".to_owned()).into()),
            }
        }
        Ok(())
    }

    fn takes_input(&self) -> bool {
        self.ours.input.as_ref().is_none_or(stdio::Input::has_room)
    }

    /// Hands the command its standard input.
    fn feed(&mut self) {
        if let Some(input) = &mut self.ours.input
            && (input.write().is_err() || input.is_finished())
        {
            self.ours.input = None;
        }
    }

    /// Sees whether the command has ended, and its exit once its streams are done with as well.
    fn over(&mut self, now: Instant) -> Option<Exit> {
        let Ours { stdout, stderr, .. } = &mut self.ours;
        let (exit, until) = match self.ended {
            Some(ended) => ended,
            None => {
                let exit = self.child.exit()?;
                stdout.iter_mut().chain(stderr.iter_mut()).for_each(Output::settle);
                *self.ended.insert((exit, now + GRACE))
            }
        };
        let mut streams = stdout.iter().chain(stderr.iter());
        let over = if now < until { streams.next().is_none() } else { !streams.any(Output::is_owed) };
        over.then_some(exit)
    }

    fn enforce_deadline(&mut self, now: Instant) -> Result<(), Stop> {
        if self.ended.is_some() || self.deadline.is_none_or(|deadline| now < deadline) {
            return Ok(());
        }
        match self.killed {
            None => {
                self.child.signal_group(Signal::KILL);
                self.killed = Some(now);
                Ok(())
            }
            Some(killed) if now < killed + DEATH => Ok(()),
            Some(_) => {
                let message = "the command does not end, although it was killed".to_owned();
                Err(Failure { kind: FailureKind::Internal, message }.into())
            }
        }
    }

    /// Sleeps until something happens, and takes in what the peer sent.
    fn wait(&self, wire: &mut Wire, now: Instant) -> Result<(), Stop> {
        let flushed = wire.is_flushed();
        let mut wanted = PollFlags::RDHUP;
        wanted.set(PollFlags::IN, self.takes_input());
        wanted.set(PollFlags::OUT, !flushed);
        let Ours { input, stdout, stderr } = &self.ours;
        let mut fds = Vec::with_capacity(5);
        fds.push(PollFd::new(wire, wanted));
        // A stream that we would not act on is left out: its hang-up would wake us for ever.
        let pending = input.iter().filter(|input| input.is_pending());
        fds.extend(pending.map(|input| PollFd::new(input, PollFlags::OUT)));
        let readable = stdout.iter().chain(stderr).filter(|_| flushed);
        fds.extend(readable.map(|output| PollFd::new(output, PollFlags::IN)));
        let event = self.child.event();
        if self.ended.is_none() {
            fds.push(PollFd::new(&event, PollFlags::IN));
        }
        let timeout = self.next_moment(now).map(|moment| timespec(moment - now));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(internal("cannot wait for the command", error).into()),
        }
        let seen = fds[0].revents();
        drop(fds);
        if seen.intersects(PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR) {
            return Err(Stop::Gone);
        }
        if seen.contains(PollFlags::IN) {
            wire.fill()?;
        }
        Ok(())
    }

    /// When the clock alone will be a reason to act.
    fn next_moment(&self, now: Instant) -> Option<Instant> {
        let moment = match (self.ended, self.killed) {
            // Past the grace time only the peer is waited for.
            (Some((_, until)), _) => Some(until).filter(|&until| now < until),
            (None, Some(killed)) => Some(killed + DEATH),
            (None, None) => self.deadline,
        };
        moment.map(|moment| moment.max(now))
    }
}

fn timespec(duration: Duration) -> Timespec {
    let tv_sec = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    Timespec { tv_sec, tv_nsec: duration.subsec_nanos().into() }
}

/// Resource limits of a command.
fn limits() -> [(Resource, Rlimit); 2] {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let files =
        Rlimit { current: Some(maximum.map_or(OPEN_FILES, |maximum| maximum.min(OPEN_FILES))), maximum };
    // A crash must not fill the writable layer.
    let core = Rlimit { current: Some(0), maximum: getrlimit(Resource::Core).maximum };
    [(Resource::Nofile, files), (Resource::Core, core)]
}
