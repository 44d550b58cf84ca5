//! What a supervisor does while its machine runs: wait, and act on what happens.

use super::SupervisorError;
use super::control::{self, Answer, Order};
use crate::command::{self, Detached};
use crate::directory::WorkspaceError;
use crate::failpoint;
use crate::journal;
use crate::reap::{expiry, is_expired};
use crate::record::State;
use crate::running::Running;
use crate::until::{Cancel, Until, Woken};
use jiff::Timestamp;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::Scope;
use std::time::{Duration, Instant};

/// How long the clock on the wall goes unseen: it may be set, and time passes while the host sleeps.
const LOOK_EVERY: Duration = Duration::from_secs(300);

/// Why a machine ends.
enum Ending {
    /// It is gone already.
    Crashed,
    /// It is to be stopped; whoever asked waits.
    Stop(Option<UnixStream>),
    /// It is to be ended, whatever is lost; whoever asked waits.
    Halt(UnixStream),
    /// The workspace is to go; whoever asked waits.
    Delete(Option<UnixStream>),
}

/// Serves until the machine is gone.
pub fn serve(running: Running, listener: &UnixListener, cancel: &Cancel) -> Result<(), SupervisorError> {
    // Detached commands end with their machine; then there is nothing left to write about them.
    let (ending, flushed, crash) = std::thread::scope(|scope| {
        let ending = wait(&running, listener, cancel, scope);
        let flushed = match ending {
            Ok(Ending::Stop(_)) => running.halt(),
            _ => Ok(()),
        };
        let crash = matches!(ending, Ok(Ending::Crashed)).then(|| running.last_words());
        running.machine().kill();
        (ending, flushed, crash)
    });
    failpoint::pass("supervisor.killed");
    match ending.map_err(SupervisorError::Wait)? {
        Ending::Crashed => running.stop(State::Crashed { reason: crash.unwrap_or_default() })?,
        Ending::Stop(front_end) => {
            // Whoever asked may have gone; whoever asks next is told, too.
            let state = match &flushed {
                Ok(()) => State::Stopped,
                Err(problem) => {
                    State::Crashed { reason: format!("it was not written to its disk: {problem}") }
                }
            };
            let stopped = running.stop(state);
            failpoint::pass("supervisor.stopped");
            let answer = match (&flushed, &stopped) {
                (Ok(()), Ok(())) => Answer::Done,
                (Err(problem), Ok(())) => Answer::Failed(format!(
                    "its machine has ended, but what was written last may not be on its disk: {problem}"
                )),
                (_, Err(error)) => Answer::failed(error),
            };
            reply(front_end.as_ref(), &answer);
            stopped?;
        }
        Ending::Halt(front_end) => {
            let halted = running.stop(State::Stopped);
            reply(Some(&front_end), &done(&halted));
            halted?;
        }
        Ending::Delete(front_end) => {
            let deleted = running.discard();
            reply(front_end.as_ref(), &done(&deleted));
            deleted?;
        }
    }
    Ok(())
}

fn done(result: &Result<(), WorkspaceError>) -> Answer {
    result.as_ref().map_or_else(|error| Answer::failed(error), |()| Answer::Done)
}

fn reply(front_end: Option<&UnixStream>, answer: &Answer) {
    if let Some(stream) = front_end {
        control::answer(stream, answer);
    }
}

fn wait<'scope>(
    running: &Running,
    listener: &UnixListener,
    cancel: &Cancel,
    scope: &'scope Scope<'scope, '_>,
) -> std::io::Result<Ending> {
    loop {
        let deadline = match until_expiry(running) {
            Ok(left) => Some(Instant::now() + left.min(LOOK_EVERY)),
            // Deleted under our feet: then there is nothing to answer for.
            Err(WorkspaceError::Gone(_)) => return Ok(Ending::Delete(None)),
            Err(error) => {
                tracing::warn!(%error, "the record cannot be read");
                Some(Instant::now() + LOOK_EVERY)
            }
        };
        let until = Until { deadline, cancel };
        match until.readable(&[listener.as_fd(), running.machine().as_fd()])? {
            Woken::Readable(0) => {
                let (stream, _) = listener.accept()?;
                match control::take(&stream) {
                    None | Some(Order::Wake) => {}
                    Some(Order::Stop) => return Ok(Ending::Stop(Some(stream))),
                    Some(Order::Halt) => return Ok(Ending::Halt(stream)),
                    Some(Order::Delete) => return Ok(Ending::Delete(Some(stream))),
                    Some(Order::Exec(exec)) => detach(running, exec, stream, scope),
                }
            }
            Woken::Readable(_) => return Ok(Ending::Crashed),
            Woken::Cancelled => return Ok(Ending::Stop(None)),
            Woken::Deadline => {
                let directory = running.workspace().directory();
                let commands = running.workspace().generation().commands();
                if journal::is_busy(&commands) {
                    directory.touch();
                } else if directory.record().is_ok_and(|record| is_expired(directory, &record)) {
                    tracing::info!("expired");
                    return Ok(Ending::Delete(None));
                }
            }
        }
    }
}

fn until_expiry(running: &Running) -> Result<Duration, WorkspaceError> {
    let directory = running.workspace().directory();
    let left = expiry(directory, &directory.record()?).duration_since(Timestamp::now());
    Ok(Duration::try_from(left).unwrap_or_default())
}

fn detach<'scope>(
    running: &Running,
    exec: pyro_protocol::Exec,
    front_end: UnixStream,
    scope: &'scope Scope<'scope, '_>,
) {
    let workspace = running.workspace();
    let (run_dir, commands) = (workspace.directory().run_dir(), workspace.generation().commands());
    let directory = workspace.directory().clone();
    scope.spawn(move || {
        let answer = |answer| control::answer(&front_end, &answer);
        match command::detach(&run_dir, &commands, exec) {
            Ok(Detached::Running(command)) => {
                answer(Answer::Running(command.sequence()));
                command.finish();
                // Whoever waits at the other end hears that there is nothing more.
                drop(front_end);
                directory.touch();
            }
            Ok(Detached::NotRun(failure)) => answer(Answer::NotRun(failure)),
            Err(error) => answer(Answer::failed(&error)),
        }
    });
}
