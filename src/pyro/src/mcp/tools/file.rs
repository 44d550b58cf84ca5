//! `workspace_file_list`, `workspace_file_read`, `workspace_file_write`.

use super::super::budget::{DEFAULT, Kind, Part, Shown, Window};
use super::super::tool::{About, Answer, Call, Operation, Reach};
use super::output::{execution_mode, room};
use crate::error::UserError;
use crate::explain::{access_error, place};
use crate::files::{LISTED_MAX, READ_MAX, columns};
use pyro_workspace::diff::FileKind;
use pyro_workspace::live::{FileContent, FileEntry, Listing, list, read, write};
use pyro_workspace::{Depth, Record};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt::Display;

/// Files of a workspace, as a tool shows them: whose, at which path, and by which tool more is shown.
pub struct Shelf<'a> {
    /// The tool.
    pub tool: &'static str,
    /// The workspace.
    pub record: &'a Record,
    /// What was asked for.
    pub path: &'a dyn Display,
}

impl Shelf<'_> {
    /// As many lines as an answer has room for.
    pub fn list(&self, listing: &Listing, depth: Depth, cursor: usize) -> Answer {
        let (mut lines, mut shown) = (String::new(), 0);
        for entry in listing.entries.iter().skip(cursor) {
            let line = line(entry);
            if lines.len() + line.len() > DEFAULT {
                break;
            }
            lines.push_str(&line);
            shown += 1;
        }
        let all = listing.entries.len();
        let end = cursor.min(all) + shown;
        let over = if listing.truncated { " or more" } else { "" };
        let mut text = self.head(&format_args!("entries {all}{over}, showing {shown}, cursor {end}"));
        text.push_str(&lines);
        if end < all {
            let recursive = depth == Depth::All;
            let next = self.next(&json!({ "recursive": recursive, "cursor": end }));
            text.push_str(&format!("[{} more; call {next}]", all - end));
        } else if listing.truncated {
            text.push_str("[there are more files than can be listed: name a directory below]");
        }
        Answer::Text(text)
    }

    /// The part of a file that an answer has room for.
    ///
    /// # Errors
    /// When it is no text.
    pub fn read(
        &self,
        content: &FileContent,
        cursor: Option<usize>,
        room: usize,
    ) -> Result<Answer, UserError> {
        let (path, size, bytes) = (self.path, content.size, &content.bytes[..]);
        if content.as_text().is_none() || bytes.contains(&0) {
            return Err(UserError::new("not_text", format_args!("{path} is not UTF-8 text ({size} bytes)")));
        }
        let start = cursor.unwrap_or_default().min(bytes.len());
        let part = if cursor.is_some() { Part::Beginning } else { Part::Ends };
        let mut window = Window::new(part, start as u64, room);
        window.push(&bytes[start..]);
        let next = |cursor| self.next(&json!({ "cursor": cursor }));
        let Shown { text, bytes: shown, cursor } = window.show(Kind::File, next);
        let mut answer = self.head(&format_args!("size {size} B, showing {shown}, cursor {cursor}"));
        answer.push_str(&text);
        let more = if cursor < bytes.len() as u64 {
            format!("[{} more bytes; call {}]", bytes.len() as u64 - cursor, next(cursor))
        } else if content.is_truncated() {
            format!("[only the first {READ_MAX} bytes of a file can be read]")
        } else {
            return Ok(Answer::Text(answer));
        };
        if !answer.ends_with('\n') {
            answer.push('\n');
        }
        Ok(Answer::Text(answer + &more))
    }

    /// The first line, for a program to read.
    fn head(&self, facts: &dyn Display) -> String {
        let (path, id, mode) = (self.path, &self.record.id, execution_mode(self.record.execution_mode));
        format!("path={path}, {id}, {facts}{mode}\n")
    }

    /// The call that shows what is left.
    fn next(&self, more: &Value) -> String {
        let mut arguments = json!({ "workspace_id": self.record.id, "path": self.path.to_string() });
        for (name, value) in more.as_object().into_iter().flatten() {
            arguments[name] = value.clone();
        }
        format!("{} {arguments}", self.tool)
    }
}

fn line(entry: &FileEntry) -> String {
    let (mode, path) = columns(entry);
    let size = match &entry.kind {
        FileKind::File { size, .. } => size.to_string(),
        _ => "-".into(),
    };
    format!("{mode} {size} {path}\n")
}

/// Arguments of `workspace_file_list`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct List {
    workspace_id: String,
    /// Default /workspace.
    path: Option<String>,
    recursive: Option<bool>,
    /// Entry to begin at.
    cursor: Option<usize>,
}

impl Operation for List {
    const ABOUT: About = About {
        name: "workspace_file_list",
        text: "List files under /workspace: mode, size, path.",
        reach: Reach::Look,
        output: None,
        example: r#"{"workspace_id":"ID","path":"."}"#,
        up_front: false,
    };

    fn run(self, call: &Call<'_>) -> Result<Answer, UserError> {
        let place = place(self.path.as_deref().unwrap_or(".").as_ref())?;
        let depth = if self.recursive == Some(true) { Depth::All } else { Depth::Children };
        call.live(&self.workspace_id, |live| {
            let listing =
                list(live, &place, depth, LISTED_MAX).map_err(|error| access_error(live, &error))?;
            let shelf = Shelf { tool: Self::ABOUT.name, record: live.record(), path: &place };
            Ok(shelf.list(&listing, depth, self.cursor.unwrap_or_default()))
        })
    }
}

/// Arguments of `workspace_file_read`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Read {
    workspace_id: String,
    path: String,
    /// Byte to begin at.
    cursor: Option<usize>,
    /// Up to 30720.
    max_bytes: Option<usize>,
}

impl Operation for Read {
    const ABOUT: About = About {
        name: "workspace_file_read",
        text: "Read a text file under /workspace; of a long one, beginning and end, or a page from cursor.",
        reach: Reach::Look,
        output: None,
        example: r#"{"workspace_id":"ID","path":"README.md"}"#,
        up_front: false,
    };

    fn run(self, call: &Call<'_>) -> Result<Answer, UserError> {
        let place = place(self.path.as_ref())?;
        let room = room(self.max_bytes)?;
        call.live(&self.workspace_id, |live| {
            let content = read(live, &place, READ_MAX).map_err(|error| access_error(live, &error))?;
            let shelf = Shelf { tool: Self::ABOUT.name, record: live.record(), path: &place };
            shelf.read(&content, self.cursor, room)
        })
    }
}

/// Arguments of `workspace_file_write`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Write {
    workspace_id: String,
    path: String,
    /// The whole content.
    text: String,
}

impl Operation for Write {
    const ABOUT: About = About {
        name: "workspace_file_write",
        text: "Write a file under /workspace, replacing what it was; directories are made.",
        reach: Reach::WorkspaceOnce,
        output: Some(
            r#"{"type":"object","properties":{"path":{"type":"string"},"bytes":{"type":"integer"}},"required":["path","bytes"]}"#,
        ),
        example: r#"{"workspace_id":"ID","path":"notes.txt","text":"…"}"#,
        up_front: false,
    };

    fn run(self, call: &Call<'_>) -> Result<Answer, UserError> {
        let place = place(self.path.as_ref())?;
        call.live(&self.workspace_id, |live| {
            let written =
                write(live, &place, self.text.as_bytes()).map_err(|error| access_error(live, &error))?;
            let (id, mode) = (live.directory().id(), live.record().execution_mode.as_str());
            let path = place.to_string();
            let value: Value =
                json!({ "workspace_id": id, "path": path, "bytes": written, "execution_mode": mode });
            Ok(Answer::Record(value))
        })
    }
}
