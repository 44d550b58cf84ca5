//! `workspace_diff`.

use super::super::budget::{Kind, Part, Shown, Window};
use super::super::tool::{About, Answer, Call, Operation, Reach};
use super::output::{execution_mode, room};
use super::record::name;
use crate::error::UserError;
use crate::explain::changes_error;
use pyro_workspace::diff::Change;
use pyro_workspace::live::{Live, diff};
use pyro_workspace::patch::display_path;
use pyro_workspace::snapshot::BASELINE;
use pyro_workspace::{Name, diff as model};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::{self, Write};

/// How many changes are named in statistics; the rest is counted.
const NAMED_MAX: usize = 50;

/// Arguments of `workspace_diff`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Diff {
    workspace_id: String,
    /// Statistics instead of the patch.
    stat: Option<bool>,
    /// Compare with this one; default baseline.
    snapshot: Option<String>,
    /// Byte of the patch to begin at.
    cursor: Option<u64>,
    /// Up to 30720.
    max_bytes: Option<usize>,
}

impl Diff {
    /// The patch of a workspace, as much as any answer has.
    pub fn of(workspace: &str) -> Self {
        let max_bytes = Some(super::super::budget::ASKED_MAX);
        Self { workspace_id: workspace.into(), max_bytes, ..Self::default() }
    }
}

impl Operation for Diff {
    const ABOUT: About = About {
        name: "workspace_diff",
        text: "What has changed in /workspace since create, as a patch for `git apply`.",
        reach: Reach::Look,
        output: None,
        example: r#"{"workspace_id":"ID"}"#,
        up_front: true,
    };

    fn run(self, call: &Call<'_>) -> Result<Answer, UserError> {
        let snapshot = name(self.snapshot.clone())?;
        let room = room(self.max_bytes)?;
        call.live(&self.workspace_id, |live| {
            if self.stat == Some(true) {
                return statistics(live, snapshot.as_ref());
            }
            let part = if self.cursor.is_some() { Part::Beginning } else { Part::Ends };
            let start = self.cursor.unwrap_or_default();
            let mut page = Page { skip: start, length: 0, window: Window::new(part, start, room) };
            let diff = diff(live, snapshot.as_ref(), b"", Some(&mut page))
                .map_err(|error| changes_error(live, &error))?;
            let next = |cursor| {
                let mut arguments = json!({ "workspace_id": live.directory().id(), "cursor": cursor });
                if let Some(name) = &snapshot {
                    arguments["snapshot"] = json!(name);
                }
                format!("workspace_diff {arguments}")
            };
            Ok(Answer::Text(page.text(live, &diff, next)))
        })
    }
}

fn statistics(live: &Live<'_>, snapshot: Option<&Name>) -> Result<Answer, UserError> {
    let diff = diff(live, snapshot, b"", None).map_err(|error| changes_error(live, &error))?;
    let lines = diff.lines();
    let shown: Vec<Value> = diff.changes.iter().take(NAMED_MAX).map(change).collect();
    Ok(Answer::Record(json!({
        "workspace_id": live.directory().id(),
        "base": snapshot.map_or(BASELINE, Name::as_str),
        "files": diff.file_count(),
        "insertions": lines.added,
        "deletions": lines.removed,
        "changes": shown,
        "not_shown": diff.changes.len() - shown.len(),
        "execution_mode": live.record().execution_mode.as_str(),
    })))
}

fn change(change: &Change) -> Value {
    let mut value = json!({ "path": display_path(&change.path), "status": change.status });
    if let Some(from) = &change.renamed_from {
        value["renamed_from"] = json!(display_path(from));
    }
    if let Some(lines) = change.lines {
        value["insertions"] = json!(lines.added);
        value["deletions"] = json!(lines.removed);
    }
    value
}

/// A patch, of which a part is kept.
struct Page {
    skip: u64,
    length: u64,
    window: Window,
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.length += bytes.len() as u64;
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
        self.skip -= skipped as u64;
        self.window.push(&bytes[skipped..]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Page {
    fn text(self, live: &Live<'_>, diff: &model::Diff, next: impl Fn(u64) -> String) -> String {
        let (files, lines, length) = (diff.file_count(), diff.lines(), self.length);
        let (id, mode) = (live.directory().id(), execution_mode(live.record().execution_mode));
        let Shown { text, bytes, cursor } = self.window.show(Kind::File, &next);
        let mut answer = format!(
            "files={files} insertions={} deletions={}, {id}, patch {length} B, showing {bytes}, cursor {cursor}{mode}\n{text}",
            lines.added, lines.removed
        );
        if cursor < length {
            answer.push_str(&format!("[{} more bytes; call {}]\n", length - cursor, next(cursor)));
        }
        let unseen = diff.changes.iter().filter(|change| !change.in_patch);
        for change in unseen.take(NAMED_MAX) {
            let path = display_path(&change.path);
            answer.push_str(&format!("[{} {path} is not in the patch]\n", change.status.as_str()));
        }
        answer
    }
}
