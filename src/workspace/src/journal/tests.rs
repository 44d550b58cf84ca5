//! What is written is read, but for what is dropped, wherever reading begins.

use super::*;
use crate::session::Stream;
use crate::until::{Cancel, Until};
use pyro_protocol::Exec;
use std::time::{Duration, Instant};

fn exec() -> Exec {
    Exec { argv: vec![b"true".to_vec().into()], cwd: b"/w".to_vec().into(), ..Exec::default() }
}

/// Byte `offset` of the output, and the stream that it is of: chunks of different lengths.
fn sample(chunks: usize) -> Vec<(Stream, Vec<u8>)> {
    let chunk = |number: usize| {
        let stream = if number.is_multiple_of(3) { Stream::Stderr } else { Stream::Stdout };
        let length = number * 7919 % 65_536;
        (stream, (0..length).map(|byte| (byte + number) as u8).collect())
    };
    (0..chunks).map(chunk).collect()
}

fn written(commands: &Path, chunks: &[(Stream, Vec<u8>)]) -> u64 {
    let mut writer = Writer::open(commands, &exec(), false).unwrap();
    chunks.iter().for_each(|(stream, bytes)| writer.output(*stream, bytes));
    let sequence = writer.sequence();
    writer.end(Outcome::Ended { exit_code: 0, timed_out: false }).unwrap();
    sequence
}

/// All bytes from `cursor` on; those that are dropped are `None`.
fn read_all(commands: &Path, sequence: u64, cursor: u64) -> Vec<Option<(Stream, u8)>> {
    let record = load(commands, sequence).unwrap().unwrap();
    let mut output = Output::new(commands, &record, cursor);
    let mut all = Vec::new();
    while let Some(piece) = output.next_piece().unwrap() {
        match piece {
            Piece::Bytes(stream, bytes) => all.extend(bytes.into_iter().map(|byte| Some((stream, byte)))),
            Piece::Dropped(count) => all.resize(all.len() + usize::try_from(count).unwrap(), None),
        }
    }
    assert_eq!(output.cursor(), cursor + all.len() as u64);
    all
}

#[test]
fn output_is_read_as_it_was_written_but_for_its_middle() {
    let directory = tempfile::tempdir().unwrap();
    for chunks in [0, 1, 40, 120, 400] {
        let chunks = sample(chunks);
        let whole: Vec<(Stream, u8)> =
            chunks.iter().flat_map(|(stream, bytes)| bytes.iter().map(|byte| (*stream, *byte))).collect();
        let sequence = written(directory.path(), &chunks);
        let record = load(directory.path(), sequence).unwrap().unwrap();
        assert_eq!(record.end(), whole.len() as u64);
        for cursor in [0, 1, 65_535, 1 << 20, (1 << 20) + 1, whole.len() / 2, whole.len()] {
            let Some(expected) = whole.get(cursor..) else { continue };
            let read = read_all(directory.path(), sequence, cursor as u64);
            assert_eq!(read.len(), expected.len());
            assert!(
                read.iter().zip(expected).all(|(read, expected)| read.is_none_or(|read| read == *expected))
            );
        }
        let read = read_all(directory.path(), sequence, 0);
        assert_eq!(read.iter().filter(|byte| byte.is_none()).count() as u64, record.dropped_bytes);
        let segments = whole.len().div_ceil(1 << 20);
        let files = fs::read_dir(directory.path()).unwrap().flatten();
        let mine = format!("{sequence}.");
        let kept = files.filter(|file| {
            let name = file.file_name().into_string().unwrap();
            name.starts_with(&mine) && name.ends_with(".out")
        });
        assert_eq!(kept.count(), segments.min(4));
    }
}

#[test]
fn numbers_count_up_whatever_the_hint_says() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(written(directory.path(), &[]), 1);
    for hint in ["", "nonsense", "0"] {
        fs::write(directory.path().join("last"), hint).unwrap();
        written(directory.path(), &[]);
    }
    assert_eq!(written(directory.path(), &[]), 5);
    let numbers: Vec<u64> = list(directory.path()).unwrap().iter().map(|record| record.sequence).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
}

#[test]
fn a_command_that_nobody_hears_any_more_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let writer = Writer::open(directory.path(), &exec(), true).unwrap();
    assert_eq!(load(directory.path(), 1).unwrap().unwrap().outcome, Outcome::Running);
    assert!(is_busy(directory.path()));
    drop(writer);
    assert!(matches!(load(directory.path(), 1).unwrap().unwrap().outcome, Outcome::Lost { .. }));
    assert!(!is_busy(directory.path()));
}

#[test]
fn a_line_that_was_cut_short_is_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let sequence = written(directory.path(), &[]);
    let ended = fs::read(path(directory.path(), sequence)).unwrap();
    let started = ended.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    for length in 0..ended.len() {
        fs::write(path(directory.path(), sequence), &ended[..length]).unwrap();
        let found = load(directory.path(), sequence).unwrap().map(|record| record.outcome);
        assert_eq!(found.is_none(), length < started, "{length} bytes: {found:?}");
        assert!(found.is_none_or(|outcome| matches!(outcome, Outcome::Lost { .. })), "{length} bytes");
        assert_eq!(list(directory.path()).unwrap().len(), usize::from(length >= started));
    }
}

#[test]
fn what_a_full_disk_cut_off_hides_nothing_behind_it() {
    let directory = tempfile::tempdir().unwrap();
    let chunks = sample(400);
    let sequence = written(directory.path(), &chunks);
    let whole = read_all(directory.path(), sequence, 0);
    // As if the end of the first segment had not been written.
    let first = File::options().write(true).open(segment(directory.path(), sequence, 0)).unwrap();
    first.set_len(first.metadata().unwrap().len() / 2).unwrap();
    let read = read_all(directory.path(), sequence, 0);
    assert_eq!(read.len(), whole.len());
    let last = read.iter().rposition(Option::is_none).unwrap() + 1;
    assert!(last < whole.len() && read[last..] == whole[last..]);
}

#[test]
fn who_follows_hears_everything_and_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(directory.path(), &exec(), true).unwrap();
    let commands = directory.path().to_owned();
    let follower = std::thread::spawn(move || {
        let mut heard = Vec::new();
        let cancel = Cancel::new().unwrap();
        let record = follow(&commands, 1, 0, Until { deadline: None, cancel: &cancel }, |piece| {
            if let Piece::Bytes(_, bytes) = piece {
                heard.extend(bytes);
            }
            Ok(())
        });
        (heard, record.unwrap())
    });
    let mut all = Vec::new();
    for (stream, bytes) in sample(60) {
        writer.output(stream, &bytes);
        all.extend(bytes);
    }
    writer.end(Outcome::Interrupted).unwrap();
    let (heard, record) = follower.join().unwrap();
    assert!(heard == all, "{} of {} bytes", heard.len(), all.len());
    assert_eq!(record.outcome, Outcome::Interrupted);
    let soon = Some(Instant::now() + Duration::from_millis(1));
    let cancel = Cancel::new().unwrap();
    let missing = follow(directory.path(), 9, 0, Until { deadline: soon, cancel: &cancel }, |_| Ok(()));
    assert!(matches!(missing, Err(FollowError::Missing(9))));
    let _running = Writer::open(directory.path(), &exec(), true).unwrap();
    let late = follow(directory.path(), 2, 0, Until { deadline: soon, cancel: &cancel }, |_| Ok(()));
    assert!(matches!(late, Err(FollowError::Deadline)));
}
