//! What a hostile agent may send.

use super::channel::Channel;
use super::claims::{Judge, Scope};
use super::{AgentError, Changed, Editing, Files, Frozen, part_of_file};
use crate::until::{Cancel, Until};
use proptest::collection::vec;
use proptest::prelude::*;
use pyro_protocol::{
    Changes, Depth, Edit, Ended, Entry, EntryKind, Failure, FailureKind, Read, Reply, Stamp, Status, Walk,
    frame, path,
};
use serde_bytes::ByteBuf;
use std::cmp::Ordering;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

/// Lets `client` talk to an agent that says `wire`, whatever it is asked, and hangs up.
pub(crate) fn with_agent<T>(wire: Vec<u8>, client: impl FnOnce(Channel<'_>) -> T) -> T {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let cancel = Cancel::new().unwrap();
    // Nothing here waits for long; if it does, it must be noticed.
    let until = Until { deadline: Some(Instant::now() + Duration::from_secs(60)), cancel: &cancel };
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut questions = theirs.try_clone().unwrap();
            thread::spawn(move || std::io::copy(&mut questions, &mut std::io::sink()));
            let _ = (&theirs).write_all(&wire);
            let _ = theirs.shutdown(std::net::Shutdown::Write);
        });
        client(Channel::over(ours, until))
    })
}

pub(crate) fn frames(replies: &[Reply]) -> Vec<u8> {
    let mut wire = Vec::new();
    replies.iter().for_each(|reply| frame::append(&mut wire, reply).unwrap());
    wire
}

pub(crate) fn entry(path: &str, kind: EntryKind) -> Entry {
    Entry {
        path: ByteBuf::from(path),
        kind,
        mode: 0o644,
        uid: 0,
        gid: 0,
        mtime: 0,
        mtime_nanos: 0,
        xattrs: Vec::new(),
        stamp: Stamp::default(),
    }
}

pub(crate) fn directory(path: &str) -> Entry {
    entry(path, EntryKind::Directory { opaque: false })
}

pub(crate) fn file(path: &str, size: u64) -> Entry {
    entry(path, EntryKind::File { size })
}

pub(crate) fn walk() -> Walk {
    Walk { beneath: ByteBuf::from("/workspace"), depth: Depth::All, content: true, ..Walk::default() }
}

/// Everything that a client can be told, read as far as it goes.
fn all_files(channel: Channel<'_>) -> Result<Vec<(Entry, Vec<u8>)>, AgentError> {
    let mut files = Files::new(channel, &walk());
    let mut all = Vec::new();
    while let Some(entry) = files.next_entry()? {
        let mut content = Vec::new();
        files.content().read_to_end(&mut content).map_err(AgentError::Source)?;
        all.push((entry, content));
    }
    Ok(all)
}

fn layer(channel: Channel<'_>, below: &str, wanted: &[&str]) -> Result<Vec<Entry>, AgentError> {
    let changes = Changes { below: ByteBuf::from(below), freeze: false };
    let mut changed = Changed::new(channel, &changes);
    let mut all = Vec::new();
    while let Some(entry) = changed.next_entry()? {
        all.push(entry);
    }
    let wanted: Vec<ByteBuf> = wanted.iter().map(|path| ByteBuf::from(*path)).collect();
    let mut fetched = changed.fetch(&wanted)?;
    while let Some(entry) = fetched.next_entry()? {
        all.push(entry);
    }
    Ok(all)
}

/// What a client says to a walk's answer, in words.
fn verdict(replies: &[Reply]) -> String {
    match with_agent(frames(replies), all_files) {
        Ok(files) => format!("{} files", files.len()),
        Err(AgentError::Source(error)) => error.to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn an_honest_answer_is_believed() {
    let data = |text: &str| Reply::Data(ByteBuf::from(text));
    let replies = [
        Reply::Entry(directory("")),
        Reply::Entry(directory("a")),
        Reply::Entry(file("a/b", 5)),
        data("con"),
        data("te"),
        Reply::EndOfData,
        Reply::Entry(file("a.b", 9)),
        data("cut"),
        Reply::EndOfData,
        Reply::Entry(entry("link", EntryKind::Symlink(ByteBuf::from("/etc")))),
        Reply::Done,
    ];
    let files = with_agent(frames(&replies), all_files).unwrap();
    let contents: Vec<&[u8]> = files.iter().map(|(_, content)| content.as_slice()).collect();
    assert_eq!(contents, [&b""[..], b"", b"conte", b"cut", b""]);
    // Content that nobody reads is passed over.
    let names = with_agent(frames(&replies), |channel| {
        let mut files = Files::new(channel, &walk());
        std::iter::from_fn(|| files.next_entry().unwrap()).count()
    });
    assert_eq!(names, 5);
}

#[test]
fn a_lie_is_an_error() {
    let start = || Reply::Entry(directory(""));
    let table = [
        (vec![Reply::Done], "something else than a file"),
        (vec![start(), Reply::Entry(directory("b")), Reply::Entry(directory("a"))], "out of order"),
        (vec![start(), Reply::Entry(directory("a")), Reply::Entry(directory("a"))], "out of order"),
        (vec![start(), start()], "out of order"),
        (vec![Reply::Entry(directory("a"))], "without a start"),
        (vec![start(), Reply::Entry(directory("a/b"))], "in no directory"),
        (
            vec![start(), Reply::Entry(entry("a", EntryKind::Fifo)), Reply::Entry(directory("a/b"))],
            "in no directory",
        ),
        (vec![start(), Reply::Entry(directory("../x"))], "a path that is none"),
        (vec![start(), Reply::Entry(directory("/x"))], "a path that is none"),
        (vec![start(), Reply::Entry(directory("a\0b"))], "a path that is none"),
        (vec![start(), Reply::Entry(directory(&"x".repeat(256)))], "longer than names"),
        (vec![start(), Reply::Entry(entry("w", EntryKind::Whiteout))], "only layers"),
        (vec![start(), Reply::Entry(file("f", u64::MAX))], "longer than files"),
        (vec![start(), Reply::Entry(entry("l", EntryKind::Symlink(ByteBuf::new())))], "nowhere"),
        (vec![start(), Reply::Entry(Entry { mode: 0o10_000, ..directory("d") })], "out of range"),
        (vec![start(), Reply::Entry(file("f", 2)), Reply::Data(ByteBuf::from("abc"))], "more content"),
        (vec![start(), Reply::Entry(file("f", 2)), Reply::Data(ByteBuf::new())], "of no length"),
        (vec![start(), Reply::Entry(file("f", 2)), Reply::Done], "else than content"),
        (vec![start(), Reply::Data(ByteBuf::from("x"))], "else than a file"),
        (vec![start(), Reply::Started { pid: 1 }], "else than a file"),
        (vec![start()], "stopped before it had answered"),
        (vec![start(), Reply::Failed(Failure { kind: FailureKind::Internal, message: "why".into() })], "why"),
    ];
    for (replies, words) in table {
        let verdict = verdict(&replies);
        assert!(verdict.contains(words), "{replies:?}: {verdict}");
    }
}

#[test]
fn files_beyond_what_was_asked_for_are_refused() {
    let mut judge = Judge::new(Scope::Tree { levels: 1 });
    judge.admit(&directory("")).unwrap();
    judge.admit(&directory("a")).unwrap();
    judge.admit(&directory("a/b")).unwrap_err();
    let below = |path: &str| -> Result<(), AgentError> {
        let mut judge = Judge::new(Scope::Layer { below: b"work/space".to_vec() });
        judge.admit(&directory("")).unwrap();
        judge.admit(&directory("work"))?;
        judge.admit(&directory(path))
    };
    let refused = ["work/space", "work/spaces", "work/a"].map(|path| below(path).is_err());
    assert_eq!(refused, [false, true, true]);
    let ends = [
        Reply::Entry(directory("")),
        Reply::Walked,
        Reply::Entry(file("b", 0)),
        Reply::EndOfData,
        Reply::Fetched,
    ];
    assert!(with_agent(frames(&ends), |channel| layer(channel, "", &["a", "b"])).is_ok());
    for wanted in [&["a"][..], &["b/c"]] {
        let error = with_agent(frames(&ends), |channel| layer(channel, "", wanted)).unwrap_err();
        assert!(error.to_string().contains("not asked for"), "{error}");
    }
}

#[test]
fn more_entries_than_the_limit_are_refused() {
    let mut judge = Judge::new(Scope::Tree { levels: usize::MAX });
    judge.admit(&directory("")).unwrap();
    for number in 1..super::ENTRIES_MAX {
        judge.admit(&file(&format!("{number:08}"), 0)).unwrap();
    }
    let error = judge.admit(&file("a", 0)).unwrap_err().to_string();
    assert!(error.contains("over 2000000 files"), "{error}");
}

#[test]
fn more_words_than_the_limit_are_refused() {
    let mut judge = Judge::new(Scope::Layer { below: Vec::new() });
    judge.admit(&directory("")).unwrap();
    let value = (ByteBuf::from("user.x"), ByteBuf::from(vec![0; 64 << 10]));
    let mut admitted = 0_u64;
    let error = loop {
        let mut entry = file(&format!("{admitted:012}"), 0);
        entry.xattrs = vec![value.clone()];
        match judge.admit(&entry) {
            Ok(()) => admitted += 64 << 10,
            Err(error) => break error,
        }
        assert!(admitted <= super::claims::TOLD_MAX, "it takes any number");
    };
    assert!(error.to_string().contains("256 MiB"), "{error}");
}

#[test]
fn an_agent_that_falls_silent_is_given_up() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let cancel = Cancel::new().unwrap();
    let soon = Until { deadline: Some(Instant::now() + Duration::from_millis(20)), cancel: &cancel };
    let error = all_files(Channel::over(ours.try_clone().unwrap(), soon)).unwrap_err();
    assert!(matches!(error, AgentError::Unresponsive));
    // Also one that takes nothing any more.
    cancel.cancel();
    let never = Until { deadline: None, cancel: &cancel };
    let mut editing = Editing::new(Channel::over(ours, never));
    let error = editing.write(b"endless", None, std::io::repeat(1)).unwrap_err();
    assert!(matches!(error, AgentError::Cancelled));
    drop(theirs);
}

#[test]
fn an_edit_that_was_given_up_is_not_sent_to_its_end() {
    let failed = [Reply::Failed(Failure { kind: FailureKind::Invalid, message: "no space".into() })];
    let error = with_agent(frames(&failed), |channel| {
        let mut editing = Editing::new(channel);
        editing.write(b"endless", None, std::io::repeat(1)).unwrap_err()
    });
    assert_eq!(error.to_string(), "no space");
}

fn any_bytes() -> impl Strategy<Value = ByteBuf> {
    prop_oneof![
        vec(any::<u8>(), 0..6).prop_map(ByteBuf::from),
        "[ab/.]{0,6}".prop_map(|text| ByteBuf::from(text.into_bytes())),
        "[a-c](/[a-c]){0,3}".prop_map(|text| ByteBuf::from(text.into_bytes())),
        Just(ByteBuf::new()),
    ]
}

fn any_kind() -> impl Strategy<Value = EntryKind> {
    prop_oneof![
        3 => prop_oneof![0..10_u64, any::<u64>()].prop_map(|size| EntryKind::File { size }),
        3 => any::<bool>().prop_map(|opaque| EntryKind::Directory { opaque }),
        1 => any_bytes().prop_map(EntryKind::Symlink),
        1 => (any::<u32>(), any::<u32>()).prop_map(|(major, minor)| EntryKind::Character(major, minor)),
        1 => Just(EntryKind::Whiteout),
        1 => Just(EntryKind::Socket),
    ]
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let xattrs = prop_oneof![4 => Just(Vec::new()), 1 => vec((any_bytes(), any_bytes()), 0..3)];
    (
        any_bytes(),
        any_kind(),
        prop_oneof![0..0o10_000_u32, any::<u32>()],
        xattrs,
        prop_oneof![Just(0), any::<u32>()],
    )
        .prop_map(|(path, kind, mode, xattrs, nanos)| Entry {
            path,
            kind,
            mode,
            xattrs,
            mtime_nanos: nanos,
            ..entry("", EntryKind::Fifo)
        })
}

fn any_reply() -> impl Strategy<Value = Reply> {
    let ended = Ended { status: Status::Exited(0), timed_out: false, duration_us: 0 };
    prop_oneof![
        8 => any_entry().prop_map(Reply::Entry),
        4 => any_bytes().prop_map(Reply::Data),
        4 => Just(Reply::EndOfData),
        1 => Just(Reply::Walked),
        1 => Just(Reply::Fetched),
        1 => Just(Reply::Done),
        1 => Just(Reply::Ended(ended)),
        1 => any_bytes().prop_map(Reply::Stdout),
        1 => Just(Reply::Failed(Failure { kind: FailureKind::Internal, message: String::new() })),
    ]
}

/// Every way to listen to an agent. What it gets past us must keep what is promised.
fn listen_in_every_way(wire: &[u8]) {
    if let Ok(files) = with_agent(wire.to_vec(), all_files) {
        assert!(
            files
                .is_sorted_by(|(left, _), (right, _)| path::order(&left.path, &right.path) == Ordering::Less)
        );
        for (entry, content) in &files {
            assert_eq!(path::check(&entry.path), Ok(()));
            let EntryKind::File { size } = entry.kind else { continue };
            assert!(content.len() as u64 <= size);
        }
    }
    if let Ok(entries) = with_agent(wire.to_vec(), |channel| layer(channel, "a", &["a/b", "a/c"])) {
        assert!(entries.iter().all(|entry| path::check(&entry.path).is_ok()));
    }
    let read = Read { path: ByteBuf::from("a"), limit: 4, ..Read::default() };
    if let Ok((_, content)) = with_agent(wire.to_vec(), |channel| part_of_file(channel, &read)) {
        assert!(content.len() <= 4);
    }
    let _ = with_agent(wire.to_vec(), |channel| {
        let mut editing = Editing::new(channel);
        editing.add(Edit::Remove { path: ByteBuf::from("a"), recursive: true })?;
        editing.commit()
    });
    let _ = with_agent(wire.to_vec(), |channel| Frozen::new(channel).and_then(|mut frozen| frozen.still()));
}

proptest! {
    #[test]
    fn any_frames_are_an_answer_or_an_error(replies in vec(any_reply(), 0..12), start in any::<bool>()) {
        let mut replies = replies;
        if start {
            replies.insert(0, Reply::Entry(directory("")));
        }
        listen_in_every_way(&frames(&replies));
    }

    #[test]
    fn any_bytes_are_an_answer_or_an_error(wire in vec(any::<u8>(), 0..200)) {
        listen_in_every_way(&wire);
    }
}
