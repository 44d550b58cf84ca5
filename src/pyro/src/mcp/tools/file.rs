//! `workspace_file_list`, `workspace_file_read`, `workspace_file_write`.

use super::super::budget::{Kind, Part, Shown, Window};
use super::super::tool::{About, Answer, Call, Operation, Reach};
use super::output::{execution_mode, room};
use crate::error::UserError;
use crate::explain::{access_error, place};
use pyro_workspace::diff::FileKind;
use pyro_workspace::live::{FileContent, FileEntry, Listing, list, read, write};
use pyro_workspace::patch::display_path;
use pyro_workspace::{Depth, Directory};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// Most files that are looked at for a list.
pub const LISTED_MAX: usize = 100_000;

/// Most bytes of a file that can be read.
pub const READ_MAX: u64 = 1 << 20;

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
            let next = |cursor| {
                let id = live.directory().id();
                let recursive = depth == Depth::All;
                let arguments = json!({ "workspace_id": id, "path": place.to_string(), "recursive": recursive, "cursor": cursor });
                format!("workspace_file_list {arguments}")
            };
            let cursor = self.cursor.unwrap_or_default();
            Ok(Answer::Text(listed(&place, live.directory(), &listing, cursor, next)?))
        })
    }
}

/// As many lines as an answer has room for.
pub fn listed(
    path: &dyn std::fmt::Display,
    directory: &Directory,
    listing: &Listing,
    cursor: usize,
    next: impl Fn(usize) -> String,
) -> Result<String, UserError> {
    let (mut lines, mut shown, room) = (String::new(), 0, room(None)?);
    for entry in listing.entries.iter().skip(cursor) {
        let line = line(entry);
        if lines.len() + line.len() > room {
            break;
        }
        lines.push_str(&line);
        shown += 1;
    }
    let (all, id, mode) = (listing.entries.len(), directory.id(), execution_mode(directory));
    let end = cursor.min(all) + shown;
    let over = if listing.truncated { " or more" } else { "" };
    let mut text =
        format!("path={path}, {id}, entries {all}{over}, showing {shown}, cursor {end}{mode}\n{lines}");
    if end < all {
        text.push_str(&format!("[{} more; call {}]", all - end, next(end)));
    } else if listing.truncated {
        text.push_str("[there are more files than can be listed: name a directory below]");
    }
    Ok(text)
}

fn line(entry: &FileEntry) -> String {
    let path = display_path(&entry.path);
    let (letter, size, path) = match &entry.kind {
        FileKind::File { size, .. } => ('-', size.to_string(), path),
        FileKind::Directory => ('d', "-".into(), path + "/"),
        FileKind::Symlink { target, .. } => ('l', "-".into(), format!("{path} -> {target}")),
        FileKind::CharacterDevice { .. } => ('c', "-".into(), path),
        FileKind::BlockDevice { .. } => ('b', "-".into(), path),
        FileKind::Fifo => ('p', "-".into(), path),
        FileKind::Socket => ('s', "-".into(), path),
    };
    format!("{letter}{:04o} {size} {path}\n", entry.mode)
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
            let next = |cursor| {
                let id = live.directory().id();
                let arguments = json!({ "workspace_id": id, "path": place.to_string(), "cursor": cursor });
                format!("workspace_file_read {arguments}")
            };
            Ok(Answer::Text(text(&place, live.directory(), &content, self.cursor, room, next)?))
        })
    }
}

/// The part of a file that an answer has room for.
pub fn text(
    path: &dyn std::fmt::Display,
    directory: &Directory,
    content: &FileContent,
    cursor: Option<usize>,
    room: usize,
    next: impl Fn(u64) -> String,
) -> Result<String, UserError> {
    let bytes = &content.bytes[..];
    let is_text = match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none() && content.is_truncated(),
    };
    if !is_text || bytes.contains(&0) {
        return Err(UserError::new(
            "not_text",
            format_args!("{path} is not UTF-8 text ({} bytes)", content.size),
        ));
    }
    let start = cursor.unwrap_or_default().min(bytes.len());
    let part = if cursor.is_some() { Part::Beginning } else { Part::Ends };
    let mut window = Window::new(part, start as u64, room);
    window.push(&bytes[start..]);
    let Shown { text, bytes: shown, cursor } = window.show(Kind::File, &next);
    let (size, id, mode) = (content.size, directory.id(), execution_mode(directory));
    let mut answer =
        format!("path={path}, {id}, size {size} B, showing {shown}, cursor {cursor}{mode}\n{text}");
    let more = if cursor < bytes.len() as u64 {
        format!("[{} more bytes; call {}]", bytes.len() as u64 - cursor, next(cursor))
    } else if content.is_truncated() {
        format!("[only the first {READ_MAX} bytes of a file can be read]")
    } else {
        return Ok(answer);
    };
    if !answer.ends_with('\n') {
        answer.push('\n');
    }
    Ok(answer + &more)
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
