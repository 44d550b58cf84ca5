//! `pyro workspace logs`.

use super::super::context::Context;
use super::super::output::Output;
use super::super::streams::Kept;
use super::Addressed;
use super::subject::Subject;
use crate::error::UserError;
use crate::exit::Exit;
use crate::explain::workspace_error;
use jiff::Timestamp;
use pyro_workspace::journal::{self, CommandRecord, FollowError, Piece};
use pyro_workspace::{Cancel, Stream, Until};
use serde::Serialize;
use serde_json::json;
use std::io;
use std::path::Path;
use std::time::Instant;

/// Arguments of `pyro workspace logs`.
#[derive(Debug, clap::Args)]
pub struct LogsArgs {
    #[command(flatten)]
    workspace: Addressed,
    /// Only the command of this number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    sequence: Option<u64>,
    /// Wait for what is still running, and show what it puts out as it comes
    #[arg(long)]
    follow: bool,
}

/// A command, for `--json`.
#[derive(Serialize)]
struct View {
    sequence: u64,
    command: Vec<String>,
    cwd: String,
    detached: bool,
    state: &'static str,
    exit_code: Option<u8>,
    message: Option<String>,
    started_at: Timestamp,
    ended_at: Option<Timestamp>,
    duration_ms: u64,
    /// Where its output ends so far.
    cursor: u64,
    /// Bytes of output that are no longer kept.
    dropped_bytes: u64,
    stdout: Kept,
    stderr: Kept,
}

impl View {
    fn new(record: CommandRecord, shown: Shown) -> Self {
        let [stdout, stderr] = shown.kept.map(Kept::finish);
        Self {
            state: record.outcome.as_str(),
            exit_code: record.outcome.exit_code(),
            message: record.outcome.message().map(str::to_owned),
            duration_ms: record.duration_ms(),
            sequence: record.sequence,
            command: record.argv,
            cwd: record.cwd,
            detached: record.detached,
            started_at: record.started_at,
            ended_at: record.ended_at,
            cursor: shown.cursor,
            dropped_bytes: shown.dropped,
            stdout,
            stderr,
        }
    }
}

/// Where output goes: to our own streams, or into an object.
struct Shown {
    out: Output,
    kept: [Kept; 2],
    cursor: u64,
    dropped: u64,
}

impl Shown {
    const fn new(out: Output) -> Self {
        Self { out, kept: [Kept::new(), Kept::new()], cursor: 0, dropped: 0 }
    }

    fn piece(&mut self, piece: &Piece) -> io::Result<()> {
        match piece {
            Piece::Bytes(stream, bytes) => {
                self.cursor += bytes.len() as u64;
                match stream {
                    _ if self.out.is_json() => self.kept[*stream as usize].push(bytes),
                    Stream::Stdout => self.out.content(bytes)?,
                    Stream::Stderr => self.out.content_err(bytes)?,
                }
            }
            Piece::Dropped(count) => {
                self.cursor += count;
                self.dropped += count;
                // In its place, so that what is left of two lines does not look like one.
                let gap = format!("\n[{count} bytes of output are no longer kept]\n");
                if self.out.is_json() {
                    self.kept.iter_mut().for_each(|kept| kept.gap(gap.as_bytes()));
                } else {
                    self.out.content(gap.as_bytes())?;
                }
            }
        }
        Ok(())
    }
}

/// Shows what was run.
pub fn run(context: &Context, args: &LogsArgs) -> Result<Exit, UserError> {
    let began = Instant::now();
    let directory = args.workspace.find(&context.home()?)?;
    let record = directory.record().map_err(|error| workspace_error(&error))?;
    let commands = directory.generation(record.generation).commands();
    let (id, subject) = (directory.id().as_str(), Subject::new(&record, began));
    let unreadable =
        |error: io::Error| UserError::new("journal", format_args!("the journal cannot be read: {error}"));
    let records = match args.sequence {
        Some(sequence) => match journal::load(&commands, sequence).map_err(unreadable)? {
            Some(record) => vec![record],
            None => {
                return Err(UserError::new("not_found", format_args!("{id} has no command #{sequence}"))
                    .hint(format!("pyro workspace logs {id}")));
            }
        },
        None => journal::list(&commands).map_err(unreadable)?,
    };
    let cancel = Cancel::new()?;
    let armed = context.until_signal(&cancel)?;
    let mut views = Vec::new();
    for record in records {
        views.push(show(context, args.follow, &commands, record, &cancel)?);
    }
    drop(armed);
    if context.out.is_json() {
        match args.sequence {
            Some(_) => context.out.json(&subject.report(views.pop()))?,
            None => context.out.json(&subject.report(json!({ "commands": views })))?,
        }
    } else if views.is_empty() {
        context.out.note(format_args!("nothing was run in {id} yet"));
    }
    Ok(Exit::Done)
}

/// Shows one command.
fn show(
    context: &Context,
    follow: bool,
    commands: &Path,
    record: CommandRecord,
    cancel: &Cancel,
) -> Result<View, UserError> {
    let out = context.out;
    let mut shown = Shown::new(out);
    if !out.is_json() {
        out.note(format_args!("[#{}] {}", record.sequence, record.argv.join(" ")));
    }
    let (sequence, until) = (record.sequence, Until { deadline: None, cancel });
    let followed = match follow {
        true => journal::follow(commands, sequence, 0, until, |piece| shown.piece(&piece)),
        false => read(commands, record, &mut shown),
    };
    let record = followed.map_err(|error| match error {
        FollowError::Output(error) => error.into(),
        FollowError::Cancelled => context.interrupted(UserError::new("interrupted", error)),
        FollowError::Missing(_) => {
            UserError::new("not_found", "the workspace was reset or deleted").hint("pyro workspace list")
        }
        _ => UserError::new("journal", error),
    })?;
    if !out.is_json() {
        let exit_code =
            record.outcome.exit_code().map(|code| format!(" exit_code={code}")).unwrap_or_default();
        let message = record.outcome.message().map(|message| format!(": {message}")).unwrap_or_default();
        let (state, duration_ms) = (record.outcome.as_str(), record.duration_ms());
        out.note(format_args!("[#{sequence}] {state}{exit_code} duration_ms={duration_ms}{message}"));
    }
    Ok(View::new(record, shown))
}

/// Shows what there is so far.
fn read(commands: &Path, record: CommandRecord, shown: &mut Shown) -> Result<CommandRecord, FollowError> {
    let mut output = journal::Output::new(commands, &record, 0);
    while let Some(piece) = output.next_piece()? {
        shown.piece(&piece).map_err(FollowError::Output)?;
    }
    Ok(record)
}
