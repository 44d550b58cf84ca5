//! Diagnostics of the server: on stderr, which few clients show, and in a file, which stays.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The file, under the state directory.
const FILE: &str = "logs/mcp.log";

/// Longest file; then it gets another name, in the place of the one before it.
const LENGTH_MAX: u64 = 1 << 20;

/// Starts the log. Where there can be no file, there is none.
pub fn start(home: &Path) {
    let filter = EnvFilter::try_from_env("PYRO_LOG").unwrap_or_else(|_| EnvFilter::new("warn,pyro=info"));
    let file = LogFile(Arc::new(Mutex::new(Open { path: home.join(FILE), file: None, failed: false })));
    let kept = layer().with_ansi(false).with_writer(move || file.clone());
    let seen = layer().with_ansi(false).without_time().with_writer(io::stderr);
    tracing_subscriber::registry().with(filter).with(seen).with(kept).init();
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
}

/// Opened with the first line that is written to it.
#[derive(Clone)]
struct LogFile(Arc<Mutex<Open>>);

struct Open {
    path: PathBuf,
    file: Option<File>,
    failed: bool,
}

impl Open {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if let Some(file) = &self.file
            && file.metadata()?.len() + line.len() as u64 > LENGTH_MAX
        {
            self.file = None;
            // Another server may have done so just now: then this one's file is short again.
            if fs::metadata(&self.path).is_ok_and(|it| it.len() + line.len() as u64 > LENGTH_MAX) {
                fs::rename(&self.path, self.path.with_extension("log.1"))?;
            }
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                if let Some(directory) = self.path.parent() {
                    fs::create_dir_all(directory)?;
                }
                none.insert(File::options().append(true).create(true).open(&self.path)?)
            }
        };
        file.write_all(line)
    }
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !open.failed {
            // Nobody could be told; and stderr has the same.
            open.failed = open.write(line).is_err();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_never_much_longer_than_its_most_and_the_last_lines_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("logs/mcp.log");
        let mut one = Open { path: path.clone(), file: None, failed: false };
        let mut other = Open { path: path.clone(), file: None, failed: false };
        let line = [b'x'; 1000];
        for _ in 0..1500 {
            one.write(&line).unwrap();
            other.write(&line).unwrap();
        }
        one.write(b"last\n").unwrap();
        let lengths = [&path, &path.with_extension("log.1")].map(|it| fs::metadata(it).unwrap().len());
        assert!(lengths.iter().all(|it| (1000..=LENGTH_MAX + 2000).contains(it)), "{lengths:?}");
        assert!(fs::read(&path).unwrap().ends_with(b"last\n"));
        assert_eq!(fs::read_dir(directory.path().join("logs")).unwrap().count(), 2);
    }
}
