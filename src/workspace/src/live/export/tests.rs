//! What a hostile machine cannot do to the host that exports from it.

use super::archive::Archive;
use super::stage::Stage;
use super::tree::Tree;
use super::{ExportError, Exported, receive};
use crate::agent::Files;
use crate::agent::tests::{directory, entry, file, frames, walk, with_agent};
use crate::live::Place;
use pyro_protocol::{Entry, EntryKind, Reply};
use serde_bytes::ByteBuf;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

fn data(text: &str) -> Reply {
    Reply::Data(ByteBuf::from(text))
}

fn link(path: &str, target: &str) -> Reply {
    Reply::Entry(entry(path, EntryKind::Symlink(ByteBuf::from(target))))
}

/// Exports what an agent says as files, into a directory of its own; then checks that nothing else is there.
fn files(said: &[Reply], check: impl FnOnce(&Path, Result<Exported, ExportError>)) {
    let above = tempfile::tempdir().unwrap();
    let target = above.path().join("target");
    let exported = with_agent(frames(said), |channel| {
        let stage = Stage::beside(&target)?;
        let files = Files::new(channel, &walk());
        let exported = receive(files, &Place::default(), Tree::new(&stage), || {})?;
        stage.publish().map(|()| exported)
    });
    let failed = exported.is_err();
    check(&target, exported);
    let left = fs::read_dir(above.path()).unwrap().count();
    assert_eq!(left, usize::from(!failed), "something is left beside the target");
}

fn refused(said: &[Reply], why: &str) {
    files(said, |_, exported| {
        let error = exported.unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    });
}

#[test]
fn no_name_leads_out() {
    for path in ["../evil", "/evil", "a/../../evil", "a/./evil", "a//evil", "a\0evil"] {
        let said = [
            Reply::Entry(directory("")),
            Reply::Entry(directory("a")),
            Reply::Entry(file(path, 1)),
            data("x"),
        ];
        refused(&said, "cannot be believed");
    }
}

#[test]
fn nothing_is_made_through_a_link_or_twice() {
    let top = || Reply::Entry(directory(""));
    refused(&[top(), link("a", "b"), Reply::Entry(file("a/evil", 0))], "cannot be believed");
    refused(&[top(), link("a", "b"), Reply::Entry(directory("a"))], "cannot be believed");
    refused(&[Reply::Entry(file("", 0)), Reply::EndOfData, Reply::Entry(file("a", 0))], "cannot be believed");
}

#[test]
fn content_that_does_not_end_as_announced_leaves_nothing() {
    let top = || Reply::Entry(directory(""));
    refused(&[top(), Reply::Entry(file("a", 1)), data("more than one")], "cannot be believed");
    refused(&[top(), Reply::Entry(file("a", 9)), data("less")], "stopped before");
    refused(&[top(), Reply::Entry(file("a", 0)), Reply::EndOfData], "stopped before");
}

#[test]
fn devices_pipes_and_links_elsewhere_are_named_and_not_made() {
    let odd = |path, kind| Reply::Entry(entry(path, kind));
    let said = [
        Reply::Entry(directory("")),
        odd("block", EntryKind::Block(8, 0)),
        odd("character", EntryKind::Character(1, 3)),
        Reply::Entry(Entry { mode: 0o7777, ..file("file", 2) }),
        data("ab"),
        Reply::EndOfData,
        link("link", "/etc"),
        link("near", "file"),
        odd("pipe", EntryKind::Fifo),
        odd("socket", EntryKind::Socket),
        link("up", ".."),
        Reply::Done,
    ];
    files(&said, |target, exported| {
        let exported = exported.unwrap();
        assert_eq!((exported.entries, exported.bytes, exported.skipped_count), (2, 2, 6));
        let named: Vec<&str> = exported.skipped.iter().map(|it| &*it.path).collect();
        assert_eq!(named, ["block", "character", "link", "pipe", "socket", "up"]);
        let mut made: Vec<_> = fs::read_dir(target).unwrap().map(|it| it.unwrap().file_name()).collect();
        made.sort();
        assert_eq!(made, ["file", "near"]);
        assert_eq!(fs::metadata(target.join("file")).unwrap().permissions().mode() & 0o7777, 0o777);
    });
}

#[test]
fn very_many_that_are_skipped_are_counted() {
    let odd = |number| Reply::Entry(entry(&format!("{number:05}"), EntryKind::Fifo));
    let said: Vec<Reply> = std::iter::once(Reply::Entry(directory("")))
        .chain((0..20_000).map(odd))
        .chain([Reply::Done])
        .collect();
    files(&said, |_, exported| {
        let exported = exported.unwrap();
        assert_eq!((exported.skipped_count, exported.skipped.len()), (20_000, super::NAMED_MAX));
    });
}

#[test]
fn directories_that_are_closed_to_all_can_be_removed_again() {
    let closed = |path| Reply::Entry(Entry { mode: 0, ..directory(path) });
    let said = [closed(""), closed("a"), closed("a/b"), Reply::Entry(file("a/b/c", 5)), data("x")];
    refused(&said, "stopped before");
}

#[test]
fn a_tar_cannot_hold_less_than_it_says_nor_what_means_something_else() {
    let said = |more: &[Reply]| {
        let said = [&[Reply::Entry(directory(""))], more, &[Reply::Done]].concat();
        let mut tar = Vec::new();
        let exported = with_agent(frames(&said), |channel| {
            let archive = Archive::new(&mut tar, b"", Path::new("out.tar"));
            receive(Files::new(channel, &walk()), &Place::default(), archive, || {})
        });
        exported.map(|exported| exported.skipped).map_err(|error| error.to_string())
    };
    let cut = [Reply::Entry(file("a", 4)), data("abc"), Reply::EndOfData];
    assert_eq!(said(&cut).unwrap_err(), "a changed while it was read");
    let skipped =
        said(&[Reply::Entry(directory(".wh.x")), Reply::Entry(file(".wh.x/y", 0)), Reply::EndOfData]);
    assert_eq!(skipped.unwrap().len(), 2);
}
