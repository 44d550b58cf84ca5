//! What both front ends say of files.

use pyro_workspace::diff::FileKind;
use pyro_workspace::live::FileEntry;
use pyro_workspace::patch::display_path;

/// Most files that are looked at for a list.
pub const LISTED_MAX: usize = 100_000;

/// Most bytes of a file that can be read.
pub const READ_MAX: u64 = 1 << 20;

/// Type and permissions, and the path with what the type adds to it, as `ls -lF` shows them.
pub fn columns(entry: &FileEntry) -> (String, String) {
    let path = display_path(&entry.path);
    let (letter, path) = match &entry.kind {
        FileKind::File { .. } => ('-', path),
        FileKind::Directory => ('d', path + "/"),
        FileKind::Symlink { target, .. } => ('l', format!("{path} -> {target}")),
        FileKind::CharacterDevice { .. } => ('c', path),
        FileKind::BlockDevice { .. } => ('b', path),
        FileKind::Fifo => ('p', path),
        FileKind::Socket => ('s', path),
    };
    (format!("{letter}{:04o}", entry.mode), path)
}
