//! How a file of a workspace is shown.

use jiff::Timestamp;
use pyro_workspace::patch::display_path;
use pyro_workspace::{Entry, EntryKind};
use serde::Serialize;

/// A file, for `--json`.
#[derive(Serialize)]
pub struct EntryView {
    /// Absolute; odd bytes are quoted as git does.
    path: String,
    kind: &'static str,
    size: Option<u64>,
    /// Permissions in octal.
    mode: String,
    uid: u32,
    gid: u32,
    modified_at: Option<Timestamp>,
    /// Of a link.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
}

impl EntryView {
    /// Of an entry whose path is from the root.
    pub fn of(entry: &Entry) -> Self {
        let size = if let EntryKind::File { size } = entry.kind { Some(size) } else { None };
        let target = if let EntryKind::Symlink(target) = &entry.kind { Some(display_path(target)) } else { None };
        Self {
            path: display_path(&[b"/", &entry.path[..]].concat()),
            kind: match entry.kind {
                EntryKind::File { .. } => "file",
                EntryKind::Directory { .. } => "directory",
                EntryKind::Symlink(_) => "symlink",
                EntryKind::Character(..) => "character_device",
                EntryKind::Block(..) => "block_device",
                EntryKind::Fifo => "fifo",
                EntryKind::Socket => "socket",
                EntryKind::Whiteout => "whiteout",
            },
            size,
            mode: format!("{:04o}", entry.mode),
            uid: entry.uid,
            gid: entry.gid,
            modified_at: i32::try_from(entry.mtime_nanos)
                .ok()
                .and_then(|nanos| Timestamp::new(entry.mtime, nanos).ok()),
            target,
        }
    }

    /// One line: kind, permissions, owner, size, name.
    pub fn line(&self) -> String {
        // As `ls` does.
        let letter = match self.kind {
            "file" => '-',
            "symlink" => 'l',
            "fifo" => 'p',
            other => other.chars().next().unwrap_or('?'),
        };
        let owner = format!("{}:{}", self.uid, self.gid);
        let size = self.size.map(|size| size.to_string()).unwrap_or_default();
        let target = self.target.as_ref().map(|target| format!(" -> {target}")).unwrap_or_default();
        format!("{letter} {} {owner:>9} {size:>10} {}{target}\n", self.mode, self.path)
    }
}
