//! Sources that are large.

use super::child;
use super::support::{Bench, git_in, never};
use pyro_workspace::{Cancel, Owner, Seed, SeedError};
use std::fs::{self, File};
use std::path::Path;
use std::thread;
use std::time::Duration;
use tar::{EntryType, Header};

/// More than is read before the test cancels it, and a hole, so that it takes no room.
const LARGE: u64 = 7 << 30;

/// An archive with one large file.
fn archive(path: &Path) {
    let mut header = Header::new_ustar();
    header.set_path("large").unwrap();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_size(LARGE);
    header.set_cksum();
    fs::write(path, header.as_bytes()).unwrap();
    File::options().write(true).open(path).unwrap().set_len(LARGE + (2 << 10)).unwrap();
}

#[test]
fn a_seed_can_be_cancelled_while_it_is_read() {
    let bench = Bench::new();
    let sources = tempfile::tempdir().unwrap();
    let (directory, tar) = (sources.path().join("directory"), sources.path().join("large.tar"));
    fs::create_dir(&directory).unwrap();
    File::create(directory.join("large")).unwrap().set_len(LARGE).unwrap();
    archive(&tar);
    for source in [&directory, &tar] {
        let cancel = Cancel::new().unwrap();
        let seeded = thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(100));
                cancel.cancel();
            });
            Seed::of(source).unwrap().layer(&bench.home, Owner::default(), never(&cancel))
        });
        assert!(matches!(seeded, Err(SeedError::Cancelled)), "{}: {seeded:?}", source.display());
    }
    let blobs = fs::read_dir(bench.home.store().layout().join("blobs/sha256")).unwrap();
    assert_eq!(blobs.count(), 0);
}

#[test]
fn many_files_take_little_memory() {
    const FILES: usize = 100_000;
    const DIRECTORIES: usize = 10;
    /// Of what the files hold, 400 MB, only a little; the rest is their names.
    const PEAK: u64 = 96 << 20;
    let bench = Bench::new();
    let source = tempfile::tempdir().unwrap();
    let file = |directory: usize, number: usize| source.path().join(format!("{directory}/file{number}"));
    for directory in 0..DIRECTORIES {
        fs::create_dir(source.path().join(directory.to_string())).unwrap();
        let first = file(directory, 0);
        fs::write(&first, [b'x'; 4 << 10]).unwrap();
        // More names cost less than more files.
        (1..FILES / DIRECTORIES).for_each(|number| fs::hard_link(&first, file(directory, number)).unwrap());
    }
    git_in(source.path(), &["init", "-q"]);
    let (words, peak) = child::told_and_took(&mut child::command(&[], bench.home.path(), source.path()));
    assert_eq!(words, format!("{FILES} entries, skipped "));
    assert!(peak < PEAK, "{peak} bytes of memory");
}
