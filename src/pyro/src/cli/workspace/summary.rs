//! `pyro workspace summary`.

use super::super::context::Context;
use super::Addressed;
use crate::error::UserError;
use crate::exit::Exit;
use crate::explain::summary_error;
use pyro_workspace::Record;
use pyro_workspace::summary::{CommandSummary, Summary, summary};
use serde::Serialize;
use std::fmt::Write;

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    workspace_id: &'a str,
    name: Option<&'a str>,
    state: &'static str,
    execution_mode: &'static str,
    #[serde(flatten)]
    summary: &'a Summary,
}

/// Sums up a workspace.
pub fn run(context: &Context, args: &Addressed) -> Result<Exit, UserError> {
    let home = context.home()?;
    let directory = args.find(&home)?;
    let (record, summed) = context
        .interruptible(|until| summary(&home, &directory, until).map_err(|error| summary_error(&error)))?;
    let report = Report {
        workspace_id: record.id.as_str(),
        name: record.name.as_ref().map(|name| name.as_str()),
        state: record.state.as_str(),
        execution_mode: record.execution_mode.as_str(),
        summary: &summed,
    };
    context.out.result(&report, || text(&record, &summed))?;
    Ok(Exit::Done)
}

fn text(record: &Record, summary: &Summary) -> String {
    let mut text = String::new();
    let mut fact = |key: &str, value: String| {
        let _ = writeln!(text, "{key:<10} {value}");
    };
    let commands = &summary.commands;
    fact("workspace", format!("{} ({})", record.id, record.state.as_str()));
    fact("outcome", summary.outcome.as_str().into());
    fact(
        "commands",
        format!("{}, of which {} failed and {} still run", commands.count, commands.failed, commands.running),
    );
    for command in &commands.last {
        fact("", line(command));
    }
    match (&summary.changes, &summary.changes_unknown) {
        (Some(changes), _) => {
            let (files, added, removed) = (changes.files, changes.insertions, changes.deletions);
            fact("changes", format!("{files} files, {added} insertions, {removed} deletions"));
            for change in &changes.paths {
                fact("", format!("{} {}", change.status.letter(), change.path));
            }
            if changes.files > changes.paths.len() {
                fact("", format!("and {} more", changes.files - changes.paths.len()));
            }
        }
        (None, why) => fact("changes", format!("not known: {}", why.as_deref().unwrap_or_default())),
    }
    let snapshots: Vec<&str> = summary.snapshots.iter().map(|it| it.name.as_str()).collect();
    fact("snapshots", if snapshots.is_empty() { "none".into() } else { snapshots.join(", ") });
    if summary.exports.is_empty() {
        fact("exports", "none".into());
    }
    for (number, export) in summary.exports.iter().enumerate() {
        let key = if number == 0 { "exports" } else { "" };
        fact(key, format!("{} as {} to {}", export.source, export.format, export.output));
    }
    text
}

fn line(command: &CommandSummary) -> String {
    let status = match command.exit_code {
        Some(code) if command.state == "ended" => format!("exit {code}"),
        _ => command.state.into(),
    };
    // One line, whatever was typed.
    let words: String =
        command.command.join(" ").chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
    format!("#{} {status}, {} ms: {words}", command.sequence, command.duration_ms)
}
