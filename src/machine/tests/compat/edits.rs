//! Changing files, all or none.

use crate::support::{Machine, Owner, with_machines};
use crate::wire::{Call, begin_edit, bytes, delete, directory, edit, link, put};
use pyro_protocol::{Edit, Edits, FailureKind, Input, Reply, Request};

/// The tree below `/work`, with everything that an edit may change, and what edits leave behind.
fn tree(machine: &Machine) -> String {
    let list = "cd /work && find . | sort | while read f; do stat -c '%n %F %a %u:%g' \"$f\"; [ -h \"$f\" ] && readlink \"$f\"; [ -f \"$f\" ] && md5sum < \"$f\"; done; ls -a / | grep pyro || true";
    machine.text(list)
}

#[test]
fn files_are_made_replaced_and_removed() {
    with_machines(|machine| {
        machine.text(
            "mkdir -p /work/full/of/things /work/empty; cd /work; echo old > old; chmod 751 old; echo gone > gone
            ln -s nowhere dangling; echo x > full/of/x",
        );
        let long = vec![7; 100_000];
        let edits: [(Edit, &[u8]); 12] = [
            (put("new", None), b"content"),
            (put("script", Some(0o755)), b"#!/bin/sh\n"),
            (put("deep/er/file", None), &long),
            (put("old", None), b"new content"),
            (put("dangling", None), b"now a file"),
            (link("to/link", "../old"), b""),
            (directory("made", Some(0o700)), b""),
            (directory("full", Some(0o711)), b""),
            (delete("gone", false), b""),
            (delete("empty", false), b""),
            (delete("full/of", true), b""),
            (put("full/of", None), b"a file where a directory was"),
        ];
        edit(machine, &edits).unwrap();
        let state = machine.text("cd /work; find . | sort | xargs stat -c '%n %a'; cat new old dangling full/of; readlink to/link; wc -c < deep/er/file");
        let expected = ". 755\n./dangling 644\n./deep 755\n./deep/er 755\n./deep/er/file 644\n./full 711\n./full/of 644\n./made 700\n./new 644\n./old 751\n./script 755\n./to 755\n./to/link 777\ncontentnew contentnow a filea file where a directory was../old\n100000\n";
        assert_eq!(state, expected);
        assert_eq!(machine.text("ls -a / | grep -c pyro || true"), "0\n");
    });
}

#[test]
fn what_is_missing_is_made_for_the_user() {
    let machine = Machine::start(Owner::Root);
    let request = Request::Edit(Edits { beneath: bytes("/a/b"), user: "ann".to_owned() });
    let call = Call::new(&machine, &request);
    for (edit, content) in [(put("c/d", None), true), (link("l", "x"), false), (directory("e", None), false)]
    {
        call.send(&Input::Edit(edit));
        if content {
            call.send(&Input::EndOfData);
        }
    }
    call.send(&Input::Commit);
    assert_eq!(call.reply(), Reply::Done);
    let owners = machine.text("cd /; stat -c '%n %u:%g' a a/b a/b/c a/b/c/d a/b/l a/b/e");
    assert!(
        owners.lines().all(|line| line.ends_with(" 1000:1000")) && owners.lines().count() == 6,
        "{owners}"
    );
    // What is replaced stays whose it was.
    machine.text(
        "mkdir /work; echo x > /work/file; chown 5:6 /work/file; ln -s x /work/link; chown -h 7:8 /work/link",
    );
    let call = Call::new(&machine, &Request::Edit(Edits { beneath: bytes("/work"), user: "ann".to_owned() }));
    call.send(&Input::Edit(put("file", None)));
    call.send(&Input::EndOfData);
    call.send(&Input::Edit(link("link", "y")));
    call.send(&Input::Commit);
    assert_eq!(call.reply(), Reply::Done);
    assert_eq!(machine.text("cd /work; stat -c '%u:%g' file link"), "5:6\n7:8\n");
    // Nothing but a commit makes the directory, too.
    let call = Call::new(&machine, &Request::Edit(Edits { beneath: bytes("/bare"), user: "ann".to_owned() }));
    call.send(&Input::Commit);
    assert_eq!(call.reply(), Reply::Done);
    assert_eq!(machine.text("stat -c '%u:%a' /bare"), "1000:755\n");
    let call = Call::new(&machine, &Request::Edit(Edits { beneath: bytes("/bare"), user: "bob".to_owned() }));
    assert_eq!(call.failure().message, "no user 'bob' in the image");
}

#[test]
fn extended_attributes_stay_with_a_file_that_is_replaced() {
    let machine = Machine::start(Owner::Root);
    machine.text("mkdir /work; echo old > /work/file");
    let upper = machine.path("writable/upper/work/file");
    // From outside, since busybox cannot; before the machine has looked at them.
    rustix::fs::setxattr(&upper, "user.note", b"kept", rustix::fs::XattrFlags::empty()).unwrap();
    edit(&machine, &[(put("file", None), b"new")]).unwrap();
    let mut value = [0; 16];
    let length = rustix::fs::getxattr(&upper, "user.note", &mut value).unwrap();
    assert_eq!(&value[..length], b"kept");
    assert_eq!(machine.text("cat /work/file"), "new");
}

#[test]
fn a_failing_edit_changes_nothing() {
    with_machines(|machine| {
        machine.text(
            "mkdir -p /work/dir/sub /work/keep; cd /work; echo a > a; echo b > dir/b; ln -s dir link; ln -s /etc out
            echo k > keep/k; chmod 700 keep",
        );
        let before = tree(machine);
        let first: [(Edit, &[u8]); 6] = [
            (put("a", Some(0o600)), b"changed"),
            (put("new/file", None), b"x"),
            (delete("dir/b", false), b""),
            (delete("dir/sub", true), b""),
            (directory("keep", Some(0o755)), b""),
            (link("keep/k", "a"), b""),
        ];
        let table: [(Edit, &str); 14] = [
            (put("dir", None), "it is a directory"),
            (link("dir", "x"), "it is a directory"),
            (directory("link", None), "no directory"),
            (put("link/x", None), "a link is on the way"),
            (put("out/passwd", None), "a link is on the way"),
            (put("a/below", None), "no directory"),
            (put("new/file/below", None), "no directory"),
            (delete("missing", false), "no such file"),
            (delete("missing", true), "no such file"),
            (delete("dir/b", false), "no such file"),
            (delete(".", true), "'.'"),
            (put("../x", None), "leads out"),
            (put("", None), "without a path"),
            // Only found out by doing it.
            (delete("keep", false), "not empty"),
        ];
        for (last, words) in table {
            let edits: Vec<_> = first.iter().cloned().chain([(last.clone(), &b"y"[..])]).collect();
            let failure = edit(machine, &edits).unwrap_err();
            assert!(failure.message.contains(words), "{last:?}: {failure:?}");
            assert_eq!(tree(machine), before, "{last:?}");
        }
    });
}

#[test]
fn an_edit_that_is_not_committed_leaves_nothing() {
    with_machines(|machine| {
        machine.text("mkdir /work; echo a > /work/a");
        let before = tree(machine);
        for input in [Some(Input::EndOfData), None] {
            let call = begin_edit(machine);
            call.send(&Input::Edit(put("a", None)));
            call.send(&Input::Data(bytes("half")));
            input.iter().for_each(|input| call.send(input));
            // So that the agent has taken it in before we hang up.
            call.stream.shutdown(std::net::Shutdown::Write).unwrap();
            assert!(pyro_protocol::frame::read::<Reply>(&call.stream).is_err());
            assert_eq!(tree(machine), before);
        }
        // Out of order.
        for inputs in [
            vec![Input::Data(bytes("x"))],
            vec![Input::EndOfData],
            vec![Input::Edit(put("a", None)), Input::Commit],
            vec![Input::Edit(put("a", None)), Input::Edit(put("b", None))],
            vec![Input::Edit(delete("a", false)), Input::Data(bytes("x"))],
            vec![Input::CloseStdin],
        ] {
            let call = begin_edit(machine);
            inputs.iter().for_each(|input| call.send(input));
            assert_eq!(call.failure().kind, FailureKind::Invalid, "{inputs:?}");
            assert_eq!(tree(machine), before, "{inputs:?}");
        }
    });
}

#[test]
fn a_directory_of_the_image_is_removed_and_replaced() {
    with_machines(|machine| {
        // `/home/ann` and `/etc` are in the layer below: overlayfs does not rename them.
        let call = |edits: &[Edit]| {
            let call = Call::new(machine, &Request::Edit(Edits { beneath: bytes("/"), user: String::new() }));
            for edit in edits {
                call.send(&Input::Edit(edit.clone()));
                if matches!(edit, Edit::Write { .. }) {
                    call.send(&Input::EndOfData);
                }
            }
            call.send(&Input::Commit);
            call.files().1
        };
        machine.text("mkdir -p /etc/more/deep; touch /etc/more/deep/x");
        // One that fails is found out before anything is gone for good.
        let failed = call(&[delete("home", true), put("made", None), delete("usr", false)]);
        assert!(matches!(failed, Reply::Failed(_)), "{failed:?}");
        assert_eq!(machine.text("ls -d /home/ann; ls -d /made 2> /dev/null || true"), "/home/ann\n");
        let edits =
            [delete("home", true), put("home/new", None), delete("usr/bin", false), delete("usr", false)];
        assert_eq!(call(&edits), Reply::Done);
        assert_eq!(machine.text("ls /home; ls -d /usr 2> /dev/null || true"), "new\n");
        assert_eq!(call(&[delete("home", true), put("home", None)]), Reply::Done);
        assert_eq!(machine.text("test -f /home && echo file"), "file\n");
    });
}

#[test]
fn a_full_disk_is_a_clear_failure() {
    let machine = Machine::on_small_disk();
    machine.text("mkdir /work; echo a > /work/a");
    let before = tree(&machine);
    let call = begin_edit(&machine);
    call.send(&Input::Edit(put("b", None)));
    call.send(&Input::Data(bytes("x")));
    call.send(&Input::EndOfData);
    call.send(&Input::Edit(put("a", None)));
    let chunk = Input::Data(vec![1; 64 << 10].into());
    for _ in 0..512 {
        if pyro_protocol::frame::write(&call.stream, &chunk).is_err() {
            break;
        }
    }
    let failure = call.failure();
    assert!(failure.message.contains("a: no space is left"), "{failure:?}");
    drop(call);
    assert_eq!(tree(&machine), before);
}

#[test]
fn a_sparse_file_stays_sparse_and_memory_small() {
    let machine = Machine::start(Owner::Root);
    let call = begin_edit(&machine);
    call.send(&Input::Edit(put("sparse", None)));
    let zeros = Input::Data(vec![0; 1 << 19].into());
    (0..512).for_each(|_| call.send(&zeros));
    call.send(&Input::Data(bytes("end")));
    (0..2).for_each(|_| call.send(&zeros));
    call.send(&Input::EndOfData);
    call.send(&Input::Commit);
    assert_eq!(call.reply(), Reply::Done);
    let size: u64 = (514 << 19) + 3;
    assert_eq!(machine.text("stat -c %s /work/sparse").trim(), size.to_string());
    assert!(machine.text("du -k /work/sparse").split('\t').next().unwrap().parse::<u64>().unwrap() < 1024);
}
