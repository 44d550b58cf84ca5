//! What the writable layer holds, and holding still while it is looked at.

use crate::support::{End, Machine, Owner, sh, with_machines};
use crate::wire::{Call, begin_edit, bytes, changes, edit, put, summary, text};
use pyro_protocol::{EntryKind, FailureKind, Input, Reply, Request, path};
use std::cmp::Ordering;
use std::collections::BTreeMap;

#[test]
fn the_writable_layer_is_told_as_it_is() {
    with_machines(|machine| {
        machine.text(
            "mkdir -p /work/d; cd /work; echo new > d/file; ln d/file d/hard; ln -s t link; mkfifo pipe
            rm /etc/group; rm -r /home; mkdir /home; echo x > /home/x; echo more >> /etc/passwd
            touch .wh.odd; touch .wh..wh..opq
            nc -l -U /work/sock 2> /dev/null & sleep 0.3; true",
        );
        let call = Call::new(machine, &changes("", false));
        let (files, end) = call.files();
        assert_eq!(end, Reply::Walked);
        assert!(
            files
                .is_sorted_by(|(left, _), (right, _)| path::order(&left.path, &right.path) == Ordering::Less)
        );
        let kinds: BTreeMap<String, EntryKind> =
            files.iter().map(|(entry, _)| (text(&entry.path).to_owned(), entry.kind.clone())).collect();
        let directory = |opaque| EntryKind::Directory { opaque };
        assert_eq!(kinds[""], directory(false));
        assert_eq!(kinds["work"], directory(false));
        assert_eq!(kinds["work/d/file"], EntryKind::File { size: 4 });
        assert_eq!(kinds["work/link"], EntryKind::Symlink(bytes("t")));
        assert_eq!(kinds["work/pipe"], EntryKind::Fifo);
        assert_eq!(kinds["etc"], directory(false));
        assert_eq!(kinds["etc/group"], EntryKind::Whiteout);
        assert!(matches!(kinds["etc/passwd"], EntryKind::File { .. }));
        assert_eq!(kinds["home"], directory(true));
        assert_eq!(kinds["home/x"], EntryKind::File { size: 2 });
        assert!(!kinds.contains_key("home/ann") && !kinds.contains_key("bin/busybox"));
        assert_eq!(
            (&kinds["work/.wh.odd"], &kinds["work/.wh..wh..opq"]),
            (&EntryKind::File { size: 0 }, &EntryKind::File { size: 0 })
        );
        let entry = |name: &str| &files.iter().find(|(entry, _)| text(&entry.path) == name).unwrap().0;
        assert_eq!(entry("work/d/file").stamp, entry("work/d/hard").stamp);
        assert_eq!(entry("work/d/file").stamp.links, 2);
        // Of overlayfs' own attributes nothing is seen.
        assert!(files.iter().all(|(entry, _)| entry.xattrs.is_empty()), "{files:?}");

        // Content is sent for what is asked for, as far as it is there.
        machine.text("echo newer > /work/d/file");
        let paths =
            ["work/d/file", "work", "nothing/here", "work/link", "etc/group", "work/pipe", "etc/passwd"];
        call.send(&Input::Fetch(paths.map(bytes).to_vec()));
        let (fetched, end) = call.files();
        assert_eq!(end, Reply::Fetched);
        let names: Vec<&str> = fetched.iter().map(|(entry, _)| text(&entry.path)).collect();
        assert_eq!(names, ["work/d/file", "etc/passwd"]);
        assert_eq!(fetched[0].1.as_deref(), Some(&b"newer\n"[..]));
        assert_eq!(fetched[0].0.kind, EntryKind::File { size: 6 });
        assert_ne!(fetched[0].0.stamp, entry("work/d/file").stamp);
        call.send(&Input::Fetch(vec![bytes("../x")]));
        assert_eq!(call.failure().kind, FailureKind::Invalid);
    });
}

#[test]
fn only_what_is_below_a_path_can_be_asked_for() {
    with_machines(|machine| {
        machine.text("mkdir -p /work/a/b /work/ab /other; touch /work/a/b/c /work/ab/x /other/y; rm /etc/group; ln -s a /work/l");
        let below = |below: &str| {
            let (files, end) = Call::new(machine, &changes(below, false)).files();
            assert_eq!(end, Reply::Walked);
            summary(&files)
        };
        assert_eq!(
            below("work/a"),
            [" directory", "work directory", "work/a directory", "work/a/b directory", "work/a/b/c file 0"]
        );
        assert_eq!(
            below("work/a/b/c"),
            [" directory", "work directory", "work/a directory", "work/a/b directory", "work/a/b/c file 0"]
        );
        assert_eq!(below("work/none/x"), [" directory", "work directory"]);
        assert_eq!(below("etc/group/x"), [" directory", "etc directory", "etc/group whiteout"]);
        assert_eq!(below("work/l/b"), [" directory", "work directory", "work/l link a"]);
        assert_eq!(below("nothing"), [" directory"]);
        assert_eq!(Call::new(machine, &changes("../x", false)).failure().kind, FailureKind::Invalid);
    });
}

#[test]
fn attributes_are_told_and_the_layers_own_are_not() {
    let machine = Machine::start(Owner::Root);
    machine.text("mkdir -p /work/dir; touch /work/dir/white /work/file /work/moved");
    let set = |path: &str, name: &str, value: &[u8]| {
        let path = machine.path("writable/upper/work").join(path);
        rustix::fs::setxattr(path, name, value, rustix::fs::XattrFlags::empty()).unwrap();
    };
    set("file", "user.b", b"2");
    set("file", "user.a", b"\0\xff");
    set("file", "trusted.overlay.opaque", b"y");
    set("dir", "user.overlay.opaque", b"x");
    set("dir/white", "user.overlay.whiteout", b"");
    let (files, _) = Call::new(&machine, &changes("work", false)).files();
    let entry = |name: &str| &files.iter().find(|(entry, _)| text(&entry.path) == name).unwrap().0;
    assert_eq!(
        entry("work/file").xattrs,
        [(bytes("user.a"), b"\0\xff".to_vec().into()), (bytes("user.b"), bytes("2"))]
    );
    assert_eq!(entry("work/dir").kind, EntryKind::Directory { opaque: false });
    assert_eq!(entry("work/dir/white").kind, EntryKind::Whiteout);
    for name in ["user.overlay.redirect", "user.overlay.metacopy"] {
        set("moved", name, b"/elsewhere");
        let failure = Call::new(&machine, &changes("", false)).failure();
        assert!(failure.message.starts_with("work/moved: "), "{failure:?}");
        rustix::fs::removexattr(machine.path("writable/upper/work/moved"), name).unwrap();
    }
    assert_eq!(Call::new(&machine, &changes("", false)).files().1, Reply::Walked);
}

#[test]
fn nobody_writes_while_it_is_frozen() {
    with_machines(|machine| {
        machine.text("mkdir /work");
        // One that writes all the time, one that is stopped already, one that is to be killed.
        let writer = machine.begin(sh("i=0; while :; do i=$((i+1)); echo $i > /work/count; echo $i; done"));
        writer.until("100\n");
        let stopped = machine.begin(sh("echo $$; kill -STOP $$; echo never"));
        stopped.until("\n");
        for request in [changes("work", true), Request::Freeze] {
            let call = Call::new(machine, &request);
            let (files, end) = call.files();
            assert_eq!(end, if request == Request::Freeze { Reply::Done } else { Reply::Walked });
            let path = machine.path("writable/upper/work/count");
            let count =
                || (std::fs::read(&path).unwrap(), std::fs::metadata(&path).unwrap().modified().unwrap());
            let before = count();
            // Whoever wants to write waits until it is over.
            let waiting = machine.begin(sh("echo late > /work/late"));
            let waiting_edit = begin_edit(machine);
            waiting_edit.send(&Input::Edit(put("edited", None)));
            waiting_edit.send(&Input::EndOfData);
            waiting_edit.send(&Input::Commit);
            std::thread::sleep(std::time::Duration::from_millis(300));
            assert_eq!(count(), before);
            assert!(!machine.path("writable/upper/work/late").exists());
            assert!(!machine.path("writable/upper/work/edited").exists());
            if request != Request::Freeze {
                assert!(files.iter().any(|(entry, _)| text(&entry.path) == "work/count"));
                call.send(&Input::Fetch(vec![bytes("work/count")]));
                assert_eq!(call.files().0[0].1.as_deref(), Some(before.0.as_slice()));
            }
            drop(call);
            assert_eq!(waiting.outcome().code(), 0);
            assert_eq!(waiting_edit.reply(), Reply::Done);
            machine.text("a=$(cat /work/count); while [ \"$a\" = \"$(cat /work/count)\" ]; do :; done; rm /work/late /work/edited");
        }
        // What was stopped before still is.
        assert!(machine.text("ps -o stat,args").lines().any(|line| line.trim().starts_with('T')));
    });
}

#[test]
fn a_freeze_ends_by_itself() {
    let machine = Machine::start(Owner::Root);
    machine.text("mkdir /work");
    let writer = machine.begin(sh("while :; do echo x > /work/x; echo x; done"));
    writer.until("x\n");
    let frozen = Call::new(&machine, &Request::Freeze);
    assert_eq!(frozen.reply(), Reply::Done);
    // A second one has to wait for it, and then has its own time.
    let second = Call::new(&machine, &changes("", true));
    match frozen.reply() {
        Reply::Failed(failure) => assert!(failure.message.contains("30 s"), "{failure:?}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(second.files().1, Reply::Walked);
    drop(second);
    assert!(matches!(machine.sh("echo y > /work/y").end, End::Ended(_)));
    edit(&machine, &[(put("z", None), b"")]).unwrap();
}
