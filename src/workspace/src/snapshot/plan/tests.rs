use super::*;

/// A writable layer, as lines of `KIND INODE.CHANGE PATH`: `d` directory, `o` opaque directory, `f`
/// file, `l` file with several names, `w` whiteout, `s` socket. The root is always there.
fn layer(lines: &str) -> Vec<Entry> {
    let root = entry("d", 1, 0, "");
    let rest = lines.split_terminator('\n').map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (inode, change) = words[1].split_once('.').expect("inode and change");
        entry(words[0], inode.parse().unwrap(), change.parse().unwrap(), words[2])
    });
    std::iter::once(root).chain(rest).collect()
}

fn entry(kind: &str, inode: u64, ctime: i64, path: &str) -> Entry {
    let (kind, links) = match kind {
        "d" => (EntryKind::Directory { opaque: false }, 2),
        "o" => (EntryKind::Directory { opaque: true }, 2),
        "f" => (EntryKind::File { size: 0 }, 1),
        "l" => (EntryKind::File { size: 0 }, 2),
        "w" => (EntryKind::Whiteout, 1),
        "s" => (EntryKind::Socket, 1),
        other => panic!("no kind {other}"),
    };
    Entry {
        path: path.as_bytes().to_vec().into(),
        kind,
        mode: 0o644,
        uid: 0,
        gid: 0,
        mtime: 0,
        mtime_nanos: 0,
        xattrs: Vec::new(),
        stamp: Stamp { inode, links, ctime, ctime_nanos: 0 },
    }
}

fn check(before: &str, now: &str, expected: &str) {
    let (before, now) = (Seen::of(&layer(before)), layer(now));
    let planned = plan(&before, &now);
    let text = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
    let lines = planned.items.iter().map(|item| match item {
        Item::Directory { entry, opaque: false } => format!("d {}", text(&entry.path)),
        Item::Directory { entry, opaque: true } => format!("o {}", text(&entry.path)),
        Item::Entry(entry) => format!("f {}", text(&entry.path)),
        Item::HardLink { entry, target } => format!("l {} {}", text(&entry.path), text(target)),
        Item::Whiteout(path) => format!("w {}", text(path)),
    });
    let lines: Vec<String> = lines.collect();
    let expected: Vec<&str> = expected.split_terminator('\n').map(str::trim_end).collect();
    assert_eq!(lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>(), expected);
}

#[test]
fn the_first_layer_holds_everything() {
    let now = layer("d 2.1 a\nf 3.1 a/b\nw 4.1 a/c\no 5.1 d\nf 6.1 d/e");
    let planned = plan(&[], &now);
    assert_eq!(planned.items.len(), now.len());
    assert!(planned.items.contains(&Item::Directory { entry: &now[4], opaque: true }));
}

#[test]
fn what_has_not_changed_is_not_told_again() {
    let same = "d 2.1 a\nf 3.1 a/b\nw 4.1 a/c\no 5.1 d\nf 6.1 d/e";
    check(same, same, "");
}

#[test]
fn a_changed_file_comes_with_the_directories_on_its_way() {
    check(
        "d 2.1 a\nd 3.1 a/b\nf 4.1 a/b/c\nd 5.1 z",
        "d 2.1 a\nd 3.1 a/b\nf 4.2 a/b/c\nd 5.1 z",
        "d \nd a\nd a/b\nf a/b/c",
    );
}

#[test]
fn a_name_that_is_gone_is_hidden_with_what_was_in_it() {
    check("d 2.1 a\nf 3.1 a/b\nf 4.1 c", "f 4.1 c", "d \nw a");
    check("d 2.1 a\nf 3.1 a/b\nf 4.1 a.b", "d 2.2 a", "d \nd a\nw a/b\nw a.b");
}

#[test]
fn a_file_of_the_layers_below_that_is_deleted_is_a_whiteout() {
    check("d 2.1 a\nf 3.1 a/b", "d 2.2 a\nw 9.9 a/b", "d \nd a\nw a/b");
    check("w 9.1 x", "w 9.7 x", "");
}

#[test]
fn a_file_in_the_place_of_a_directory_replaces_all_of_it() {
    check("d 2.1 a\nf 3.1 a/b\nf 4.1 a/c", "f 5.1 a", "d \nf a");
    check("f 5.1 a", "d 6.1 a\nf 7.1 a/b", "d \nd a\nf a/b");
}

#[test]
fn a_directory_that_becomes_opaque_is_told_whole() {
    // `sub` was moved from the old `a` into the new one: its file has not changed.
    check(
        "d 2.1 a\nd 3.1 a/sub\nf 4.1 a/sub/f",
        "o 9.1 a\nd 3.2 a/sub\nf 4.1 a/sub/f",
        "d \no a\nd a/sub\nf a/sub/f",
    );
    // One that was opaque before hides nothing of the earlier snapshots.
    check("o 9.1 a\nf 3.1 a/x\nf 4.1 a/y", "o 9.2 a\nf 3.1 a/x", "d \nd a\nw a/y");
}

#[test]
fn names_of_one_inode_stay_together() {
    check("", "l 5.1 a\nl 5.1 b", "d \nf a\nl b a");
    check("l 5.1 a\nl 5.1 b", "l 5.1 a\nl 5.1 b", "");
    // One of them is in a directory that is told whole.
    check("d 2.1 d\nl 5.1 d/a\nl 5.1 z", "o 7.1 d\nl 5.1 d/a\nl 5.1 z", "d \no d\nf d/a\nl z d/a");
}

#[test]
fn what_no_layer_can_hold_is_skipped() {
    let now = layer("f 2.1 .wh.x\ns 3.1 socket\nf 4.1 y");
    let planned = plan(&[], &now);
    assert_eq!(planned.skipped, [b".wh.x".as_slice(), b"socket".as_slice()]);
    assert_eq!(planned.items.len(), 2);
    // A socket in the place of a file: the file is gone.
    check("f 2.1 a", "s 3.1 a", "d \nw a");
}
