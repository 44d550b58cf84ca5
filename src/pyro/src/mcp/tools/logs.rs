//! `workspace_logs`.

use super::super::budget::Part;
use super::super::terminal::plain;
use super::super::tool::{About, Answer, Call, Operation, Reach, within};
use super::output::{WAIT_SECONDS_MAX, Wanted, commands, room};
use super::record::record;
use crate::error::UserError;
use pyro_workspace::journal::{CommandRecord, Outcome};
use schemars::JsonSchema;
use serde::Deserialize;
use std::fmt::Write as _;
use std::time::Duration;

/// How many commands are listed, the last ones.
const LISTED_MAX: usize = 30;

/// Longest command line that is shown in the list, in characters.
const COMMAND_MAX: usize = 120;

/// Arguments of `workspace_logs`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Logs {
    workspace_id: String,
    /// The command; without it, they are listed.
    sequence: Option<u64>,
    /// Byte of the output to begin at.
    cursor: Option<u64>,
    /// Wait for its end, up to 45.
    wait_seconds: Option<u64>,
    /// Up to 30720.
    max_bytes: Option<usize>,
}

impl Logs {
    /// The list of commands of a workspace.
    pub fn of(workspace: &str) -> Self {
        Self { workspace_id: workspace.into(), ..Self::default() }
    }
}

impl Operation for Logs {
    const ABOUT: About = About {
        name: "workspace_logs",
        text: "Output of a command, also one that still runs or that an earlier session began; or the list of commands.",
        reach: Reach::Look,
        output: None,
        example: r#"{"workspace_id":"ID"}"#,
        up_front: true,
    };

    fn run(self, call: &Call<'_>) -> Result<Answer, UserError> {
        let wait = within("wait_seconds", self.wait_seconds.unwrap_or(0), 0..=WAIT_SECONDS_MAX)?;
        let room = room(self.max_bytes)?;
        let (_, directory) = call.find(&self.workspace_id)?;
        let record = record(&directory)?;
        let Some(sequence) = self.sequence else {
            return Ok(Answer::Text(list(directory.id().as_str(), &commands(&directory, &record)?)));
        };
        let part = match self.cursor {
            // The next page of something long.
            Some(_) if wait == 0 => Part::Beginning,
            _ => Part::Ends,
        };
        let cursor = self.cursor.unwrap_or_default();
        let wanted = Wanted { directory: &directory, record: &record, sequence, cursor, room, part };
        Ok(Answer::Text(match wait {
            0 => wanted.now()?,
            seconds => wanted.after(call, Duration::from_secs(seconds))?,
        }))
    }
}

fn list(id: &str, all: &[CommandRecord]) -> String {
    let shown = &all[all.len().saturating_sub(LISTED_MAX)..];
    let running = all.iter().filter(|it| it.outcome == Outcome::Running).count();
    let mut text = format!("commands={} running={running}, {id}, showing {}\n", all.len(), shown.len());
    for command in shown {
        let state = match command.outcome.exit_code() {
            Some(code) => format!("exit={code}"),
            None => command.outcome.as_str().to_owned(),
        };
        let seconds = command.duration_ms() as f64 / 1000.0;
        let _ = writeln!(
            text,
            "#{} {state} {seconds:.1}s {} B: {}",
            command.sequence,
            command.end(),
            line(&command.argv)
        );
    }
    text
}

/// A command in one line, as it was asked for.
pub fn line(argv: &[String]) -> String {
    let words = match argv {
        [shell, flag, line] if shell == "/bin/sh" && flag == "-c" => line.clone(),
        words => words.join(" "),
    };
    let one: String = plain(words.as_bytes()).split_whitespace().collect::<Vec<_>>().join(" ");
    match one.char_indices().nth(COMMAND_MAX) {
        Some((at, _)) => format!("{}…", &one[..at]),
        None => one,
    }
}
