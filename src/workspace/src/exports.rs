//! What was taken out of a workspace: one line for each export, kept with what a reset throws away.

use crate::directory::{Directory, Generation};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

/// The file, in the directory of the generation.
const FILE: &str = "exports.jsonl";

/// As much of it as is read: thousands of exports.
const READ_MAX: u64 = 4 << 20;

/// An export that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportNote {
    /// When it was done.
    pub at: Timestamp,
    /// What was exported: a path of the workspace, or `disk`.
    pub source: String,
    /// In which form.
    pub format: String,
    /// Where to on this host; what is not UTF-8 is replaced.
    pub output: String,
    /// How long it is, if it is one file.
    pub bytes: Option<u64>,
}

/// Notes that `source` was exported to `output` just now. An export whose note fails is none the worse.
pub fn made(directory: &Directory, source: &str, format: &str, output: &Path) {
    let file = output.symlink_metadata().ok().filter(std::fs::Metadata::is_file);
    let line = ExportNote {
        at: Timestamp::now(),
        source: source.into(),
        format: format.into(),
        output: output.to_string_lossy().into_owned(),
        bytes: file.map(|file| file.len()),
    };
    let noted = directory
        .record()
        .map_err(io::Error::other)
        .and_then(|record| note(&directory.generation(record.generation), &line));
    if let Err(error) = noted {
        tracing::warn!(%error, "the summary will not have this export");
    }
}

/// Notes an export. The file only grows, by whole lines.
fn note(generation: &Generation, note: &ExportNote) -> io::Result<()> {
    let mut line = serde_json::to_vec(note)?;
    line.push(b'\n');
    // In one piece, so that two who append at once do not meet in a line.
    File::options().append(true).create(true).open(path(generation))?.write_all(&line)
}

/// The exports of a generation, in order. A line that somebody was killed in is left out.
///
/// # Errors
/// When they cannot be read.
pub fn list(generation: &Generation) -> io::Result<Vec<ExportNote>> {
    let file = match File::open(path(generation)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let lines = BufReader::new(file.take(READ_MAX)).split(b'\n');
    lines.filter_map(|line| line.map(|line| serde_json::from_slice(&line).ok()).transpose()).collect()
}

fn path(generation: &Generation) -> PathBuf {
    generation.path().join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Home, WorkspaceId};

    #[test]
    fn exports_are_read_in_order_and_torn_lines_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::open(directory.path()).unwrap();
        let generation = Directory::of(&home, &WorkspaceId::random().unwrap()).generation(0);
        assert_eq!(list(&generation).unwrap(), []);
        std::fs::create_dir_all(generation.path()).unwrap();
        let of = |source: &str| ExportNote {
            at: Timestamp::UNIX_EPOCH,
            source: source.into(),
            format: "tar".into(),
            output: "/x".into(),
            bytes: Some(1),
        };
        note(&generation, &of("one")).unwrap();
        note(&generation, &of("line\nfeed")).unwrap();
        let mut file = File::options().append(true).open(path(&generation)).unwrap();
        file.write_all(b"{\"at\":").unwrap();
        assert_eq!(list(&generation).unwrap(), [of("one"), of("line\nfeed")]);
    }
}
