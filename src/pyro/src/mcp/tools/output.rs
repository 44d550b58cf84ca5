//! What a command put out, within the budget of an answer.

use super::super::budget::{ASKED_MAX, DEFAULT, Kind, Part, Shown, Window};
use super::super::tool::{Call, within};
use crate::error::UserError;
use pyro_workspace::journal::{self, CommandRecord, FollowError, Outcome, Output, Piece};
use pyro_workspace::{Directory, ExecutionMode, Record, Until, WorkspaceId};
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Longest wait of a call: some clients give up after a minute.
pub const WAIT_SECONDS_MAX: u64 = 45;

/// A command of a workspace, and the part of its output that is wanted.
pub struct Wanted<'a> {
    /// The workspace.
    pub directory: &'a Directory,
    /// What is recorded of it.
    pub record: &'a Record,
    /// The command.
    pub sequence: u64,
    /// Where to begin.
    pub cursor: u64,
    /// How much.
    pub room: usize,
    /// Which part of what is too much.
    pub part: Part,
}

/// How much guest text a call asks for.
///
/// # Errors
/// When it asks for too much.
pub fn room(max_bytes: Option<usize>) -> Result<usize, UserError> {
    within("max_bytes", max_bytes.unwrap_or(DEFAULT), 100..=ASKED_MAX)
}

impl Wanted<'_> {
    /// What there is now.
    ///
    /// # Errors
    /// When there is no such command.
    pub fn now(&self) -> Result<String, UserError> {
        let commands = journal_of(self.directory, self.record);
        let failed = |error: std::io::Error| self.failed(&error.into());
        // First: what came before the command had ended is all there.
        let command = journal::load(&commands, self.sequence).map_err(failed)?;
        let command = command.ok_or_else(|| self.failed(&FollowError::Missing(self.sequence)))?;
        let mut window = self.window();
        let mut output = Output::new(&commands, &command, self.cursor);
        while !window.is_full()
            && let Some(piece) = output.next_piece().map_err(failed)?
        {
            take(&mut window, &piece);
        }
        Ok(self.text(&command, window))
    }

    /// The same when the command has ended, or when so much time has passed.
    ///
    /// # Errors
    /// When there is no such command.
    pub fn after(&self, call: &Call<'_>, wait: Duration) -> Result<String, UserError> {
        let commands = journal_of(self.directory, self.record);
        let mut window = self.window();
        let until = Until { deadline: Some(Instant::now() + wait), ..call.until() };
        let followed = journal::follow(&commands, self.sequence, self.cursor, until, |piece| {
            if let Piece::Bytes(_, bytes) = &piece {
                call.phase.output(bytes);
            }
            take(&mut window, &piece);
            Ok(())
        });
        let command = match followed {
            Ok(command) => command,
            Err(FollowError::Deadline) => {
                let load = journal::load(&commands, self.sequence);
                let gone = || self.failed(&FollowError::Missing(self.sequence));
                load.map_err(|error| self.failed(&error.into()))?.ok_or_else(gone)?
            }
            Err(error) => return Err(self.failed(&error)),
        };
        Ok(self.text(&command, window))
    }

    fn window(&self) -> Window {
        Window::new(self.part, self.cursor, self.room)
    }

    fn failed(&self, error: &FollowError) -> UserError {
        let (id, sequence) = (self.directory.id(), self.sequence);
        match error {
            FollowError::Missing(_) => {
                UserError::new("no_such_command", format_args!("{id} has no command #{sequence}"))
            }
            FollowError::Cancelled => UserError::new("interrupted", error),
            _ => UserError::new("journal", error),
        }
    }

    fn text(&self, command: &CommandRecord, window: Window) -> String {
        let id = self.directory.id();
        let logs = |cursor: u64, wait: Option<u64>| {
            let mut arguments = json!({ "workspace_id": id, "sequence": self.sequence, "cursor": cursor });
            if let Some(seconds) = wait {
                arguments["wait_seconds"] = json!(seconds);
            }
            format!("workspace_logs {arguments}")
        };
        let Shown { text, bytes, cursor } = window.show(Kind::Output, |cursor| logs(cursor, None));
        let (how, mode) = (how(id, command, cursor), execution_mode(self.record.execution_mode));
        let mut answer = format!("{how}, showing {bytes}, cursor {cursor}{mode}\n{text}");
        let more = match &command.outcome {
            Outcome::Running => {
                format!("[still running; call {}]", logs(cursor, Some(WAIT_SECONDS_MAX)))
            }
            _ if cursor < command.end() => {
                format!("[{} more bytes; call {}]", command.end() - cursor, logs(cursor, None))
            }
            _ => return answer,
        };
        if !answer.ends_with('\n') {
            answer.push('\n');
        }
        answer + &more
    }
}

fn take(window: &mut Window, piece: &Piece) {
    match piece {
        Piece::Bytes(_, bytes) => window.push(bytes),
        Piece::Dropped(count) => window.lose(*count),
    }
}

/// How a command ended, and how much it put out, for a program to read.
fn how(id: &WorkspaceId, command: &CommandRecord, cursor: u64) -> String {
    let seconds = command.duration_ms() as f64 / 1000.0;
    let outcome = match &command.outcome {
        Outcome::Running => format!("running after {seconds:.1}s"),
        Outcome::Ended { exit_code, timed_out: true } => {
            format!("exit={exit_code} after {seconds:.1}s (timed out)")
        }
        Outcome::Ended { exit_code, .. } => format!("exit={exit_code} after {seconds:.1}s"),
        Outcome::NotRun { exit_code, message } => format!("exit={exit_code} not run: {}", line(message)),
        Outcome::Interrupted => format!("interrupted after {seconds:.1}s"),
        Outcome::Lost { message } => format!("lost after {seconds:.1}s: {}", line(message)),
    };
    let output = match command.outcome {
        Outcome::Running => format!("output {cursor} B so far"),
        _ if command.stderr_bytes > 0 => {
            format!("stdout {} B, stderr {} B", command.stdout_bytes, command.stderr_bytes)
        }
        _ => format!("stdout {} B", command.stdout_bytes),
    };
    format!("{outcome}, {id} #{}, {output}", command.sequence)
}

fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Said where it is not the rule.
pub fn execution_mode(mode: ExecutionMode) -> String {
    match mode {
        ExecutionMode::GuestVsock => String::new(),
        mode => format!(", execution_mode={}", mode.as_str()),
    }
}

/// Everything that was run, in order.
///
/// # Errors
/// When the journal cannot be read.
pub fn commands(directory: &Directory, record: &Record) -> Result<Vec<CommandRecord>, UserError> {
    let path = journal_of(directory, record);
    let unreadable = |error| UserError::new("journal", format_args!("{}: {error}", path.display()));
    journal::list(&path).map_err(unreadable)
}

fn journal_of(directory: &Directory, record: &Record) -> PathBuf {
    directory.generation(record.generation).commands()
}
