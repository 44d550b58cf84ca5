//! Describing and reading files.

use crate::support::{Machine, Owner, with_machines};
use crate::wire::{Call, read, summary, text, walk};
use pyro_protocol::{Depth, EntryKind, FailureKind, Reply, Request, Walk, path};
use std::cmp::Ordering;

#[test]
fn a_walk_describes_a_tree_in_order() {
    with_machines(|machine| {
        machine.text(
            r#"mkdir -p /work/a/b /work/a.b; cd /work; printf one > a/b/c; printf two > a.b/x; ln -s a/b link
            mkfifo pipe; printf '' > empty; printf odd > "$(printf '\377\n.')"; chmod 4711 a.b/x; touch -d @1000 empty"#,
        );
        let call = Call::new(machine, &walk("/work", "", Depth::All, true));
        let (files, end) = call.files();
        assert_eq!(end, Reply::Done);
        let expected = [
            " directory",
            "a directory",
            "a/b directory",
            "a/b/c file 3 \"one\"",
            "a.b directory",
            "a.b/x file 3 \"two\"",
            "empty file 0 \"\"",
            "link link a/b",
            "pipe fifo",
            "\\xff\\n. file 3 \"odd\"",
        ];
        assert_eq!(summary(&files), expected);
        assert!(files.is_sorted_by(|(left, _), (right, _)| {
            path::order(&left.path, &right.path) == Ordering::Less
        }));
        let named =
            |name: &str| files.iter().find(|(entry, _)| *entry.path == *name.as_bytes()).unwrap().0.clone();
        assert_eq!(named("a.b/x").mode, 0o4711);
        assert_eq!((named("empty").mtime, named("empty").mtime_nanos), (1000, 0));
        assert!(named("a").stamp.inode != 0 && named("a.b/x").stamp.links == 1);

        let children = Call::new(machine, &walk("/work", "a", Depth::Children, true)).files().0;
        assert_eq!(summary(&children), [" directory", "b directory"]);
        let start = Call::new(machine, &walk("/work", "a", Depth::Start, true)).files().0;
        assert_eq!(summary(&start), [" directory"]);
        let file = Call::new(machine, &walk("/work", "a/b/c", Depth::All, true)).files().0;
        assert_eq!(summary(&file), [" file 3 \"one\""]);
        let without = Call::new(machine, &walk("/work", "a/b/c", Depth::All, false)).files().0;
        assert_eq!(summary(&without), [" file 3"]);
        // A link on the way is followed, one at the end described.
        assert_eq!(
            summary(&Call::new(machine, &walk("/work", "link/c", Depth::All, false)).files().0),
            [" file 3"]
        );
        assert_eq!(
            summary(&Call::new(machine, &walk("/work", "link", Depth::All, false)).files().0),
            [" link a/b"]
        );
    });
}

#[test]
fn no_path_leads_out() {
    with_machines(|machine| {
        machine.text("mkdir -p /work/in; ln -s /etc /work/absolute; ln -s ../etc /work/up; ln -s /proc/self/root /work/magic; ln -s loop /work/loop");
        let table = [
            ("..", FailureKind::Invalid, "leads out"),
            ("in/../../etc/passwd", FailureKind::Invalid, "leads out"),
            ("/etc/passwd", FailureKind::Invalid, "leads out"),
            ("absolute/passwd", FailureKind::Invalid, "out of the directory"),
            ("up/passwd", FailureKind::Invalid, "out of the directory"),
            ("magic/etc/passwd", FailureKind::Invalid, "out of the directory"),
            ("loop/x", FailureKind::Invalid, "link"),
            ("a//b", FailureKind::Invalid, "empty component"),
            ("in/", FailureKind::Invalid, "empty component"),
            ("in/.", FailureKind::Invalid, "'.'"),
            ("a\0b", FailureKind::Invalid, "NUL"),
            ("nothing", FailureKind::NotFound, "no such file"),
        ];
        for (path, kind, words) in table {
            for request in [walk("/work", path, Depth::All, true), read("/work", path, 0, 10)] {
                let failure = Call::new(machine, &request).failure();
                assert_eq!(failure.kind, kind, "{path:?}: {failure:?}");
                assert!(failure.message.contains(words), "{path:?}: {failure:?}");
            }
        }
        for beneath in ["work", "", "/work/..", "/wo\0rk"] {
            let failure = Call::new(machine, &walk(beneath, "", Depth::All, false)).failure();
            assert_eq!(failure.kind, FailureKind::Invalid, "{beneath:?}");
        }
        let long =
            Walk { beneath: b"/work".to_vec().into(), path: vec![b'a'; 5000].into(), ..Walk::default() };
        assert!(Call::new(machine, &Request::Walk(long)).failure().message.contains("longer than"));
        // A link that stays inside is no way out, for what reads through it.
        machine.text("printf inside > /work/in/file; ln -s in/file /work/good");
        assert_eq!(
            Call::new(machine, &read("/work", "good", 0, 100)).files().0[0].1.as_deref(),
            Some(&b"inside"[..])
        );
    });
}

#[test]
fn a_part_of_a_file_is_read() {
    with_machines(|machine| {
        machine.text("mkdir /work; seq 100000 > /work/numbers; mkfifo /work/pipe; mkdir /work/dir");
        let whole = machine.sh("cat /work/numbers").stdout;
        let size = whole.len() as u64;
        for (offset, limit) in
            [(0, u64::MAX), (0, 0), (5, 10), (size - 3, 100), (size, 1), (u64::MAX, 1), (7, 300_000)]
        {
            let (files, end) = Call::new(machine, &read("/work", "numbers", offset, limit)).files();
            assert_eq!(end, Reply::Done);
            assert_eq!(files[0].0.kind, EntryKind::File { size });
            assert_eq!(text(&files[0].0.path), "numbers");
            let from = offset.min(size) as usize;
            let to = offset.saturating_add(limit).min(size) as usize;
            assert_eq!(files[0].1.as_deref(), Some(&whole[from..to.max(from)]), "{offset} {limit}");
        }
        for path in ["pipe", "dir", ""] {
            let failure = Call::new(machine, &read("/work", path, 0, 10)).failure();
            assert!(failure.message.contains("no regular file"), "{failure:?}");
        }
    });
}

#[test]
fn a_large_tree_takes_little_memory() {
    let machine = Machine::start(Owner::Root);
    machine
        .text("mkdir -p /work/many; cd /work/many; seq 1 100000 | xargs touch; truncate -s 3G /work/sparse");
    let peak = || {
        let status = machine.text("cat /proc/1/status");
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let before = peak();
    let call = Call::new(&machine, &walk("/work", "", Depth::All, false));
    let (files, end) = call.files();
    assert_eq!((files.len(), end), (100_003, Reply::Done));
    // The names of one directory, and buffers.
    assert!(peak() - before < 8 << 10, "{} KiB more", peak() - before);
}
