//! `workspace_summary`.

use super::super::tool::{About, Answer, Call, Operation, Reach};
use super::logs::line;
use crate::error::UserError;
use crate::explain::summary_error;
use pyro_workspace::summary::{ChangeSummary, CommandSummary, summary};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// How many exports are named; the rest is counted.
const EXPORTS_MAX: usize = 10;

/// Longest message or path that is repeated, in characters.
const TEXT_MAX: usize = 300;

/// Arguments of `workspace_summary`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    workspace_id: String,
}

impl Summary {
    /// Of a workspace.
    pub fn of(workspace: &str) -> Self {
        Self { workspace_id: workspace.into() }
    }
}

impl Operation for Summary {
    const ABOUT: About = About {
        name: "workspace_summary",
        text: "What was done since create or reset: commands, changed files, exports, outcome.",
        reach: Reach::Look,
        output: Some(
            r#"{"type":"object","properties":{"outcome":{"type":"string"}},"required":["outcome"]}"#,
        ),
        example: r#"{"workspace_id":"ID"}"#,
        up_front: false,
    };

    fn run(self, call: &Call<'_>) -> Result<Answer, UserError> {
        let (home, directory) = call.find(&self.workspace_id)?;
        let (record, summed) =
            summary(&home, &directory, call.until()).map_err(|error| summary_error(&error))?;
        let commands = &summed.commands;
        let snapshots: Vec<&str> = summed.snapshots.iter().map(|it| it.name.as_str()).collect();
        let exports: Vec<Value> = (summed.exports.iter().rev().take(EXPORTS_MAX))
            .map(
                |it| json!({ "source": short(&it.source), "output": short(&it.output), "format": it.format }),
            )
            .collect();
        Ok(Answer::Record(json!({
            "workspace_id": record.id,
            "name": record.name,
            "state": record.state.as_str(),
            "execution_mode": record.execution_mode.as_str(),
            "outcome": summed.outcome,
            "commands": {
                "count": commands.count,
                "failed": commands.failed,
                "running": commands.running,
                "last": commands.last.iter().map(command).collect::<Vec<_>>(),
            },
            "changes": summed.changes.as_ref().map(changes),
            "changes_unknown": summed.changes_unknown.as_deref().map(short),
            "snapshots": snapshots,
            "exports": { "count": summed.exports.len(), "last": exports },
        })))
    }
}

fn command(command: &CommandSummary) -> Value {
    json!({
        "sequence": command.sequence,
        "state": command.state,
        "exit_code": command.exit_code,
        "duration_ms": command.duration_ms,
        "command": line(&command.command),
    })
}

fn changes(changes: &ChangeSummary) -> Value {
    let path =
        |it: &pyro_workspace::summary::ChangedPath| format!("{} {}", it.status.letter(), short(&it.path));
    json!({
        "files": changes.files,
        "insertions": changes.insertions,
        "deletions": changes.deletions,
        "paths": changes.paths.iter().map(path).collect::<Vec<_>>(),
    })
}

fn short(text: &str) -> &str {
    text.char_indices().nth(TEXT_MAX).map_or(text, |(at, _)| &text[..at])
}
