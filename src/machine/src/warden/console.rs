//! The guest's console: a file with a limit, and the last lines in memory.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Bytes that one start of a machine may add to the file. A guest must not fill the host's disk.
const FILE_MAX: usize = 1 << 20;

/// What an end quotes of the console.
const LINES: usize = 20;

/// Longest line that is quoted.
const QUOTED_MAX: usize = 500;

/// What Linux says before the reason of a panic.
const PANIC: &str = "Kernel panic - not syncing";

/// The console of one machine.
#[derive(Debug)]
pub struct Console {
    file: File,
    left: usize,
    last: VecDeque<String>,
}

impl Console {
    /// Opens the file for appending.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        Ok(Self { file, left: FILE_MAX, last: VecDeque::with_capacity(LINES) })
    }

    /// Adds a line.
    pub fn line(&mut self, text: &str) {
        if self.last.len() == LINES {
            self.last.pop_front();
        }
        self.last.push_back(text.chars().take(QUOTED_MAX).collect());
        let wanted = text.len() + 1;
        if wanted <= self.left {
            self.left -= wanted;
            self.write(&format!("{text}\n"));
        } else if self.left > 0 {
            self.left = 0;
            self.write("[pyro: the console has said too much; the rest is not kept]\n");
        }
    }

    /// Whether the guest has said anything.
    pub fn has_spoken(&self) -> bool {
        !self.last.is_empty()
    }

    /// What the guest's kernel has panicked of, if it has.
    pub fn panic(&self) -> Option<String> {
        let message = self.last.iter().find_map(|line| line.split_once(PANIC))?.1;
        Some(message.trim_start_matches([':', ' ']).trim_end().to_owned())
    }

    /// The last lines.
    pub fn into_last_lines(self) -> Vec<String> {
        self.last.into()
    }

    fn write(&mut self, text: &str) {
        // A full disk is no reason to stop the machine; the lines in memory remain.
        let _ = self.file.write_all(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_talkative_guest_does_not_fill_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("console");
        let mut console = Console::open(&path).unwrap();
        for number in 0..2000 {
            console.line(&format!("{number} {}", "x".repeat(1000)));
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.len() < FILE_MAX + 100 && text.ends_with("is not kept]\n"));
        let last = console.into_last_lines();
        assert_eq!(last.len(), LINES);
        assert!(last[LINES - 1].starts_with("1999 ") && last[LINES - 1].len() == QUOTED_MAX);
    }
}
