//! The agent's file requests, as bare frames: what the host's client would never send, too.

use crate::support::Machine;
use pyro_protocol::{
    Changes, Depth, Edit, Edits, Entry, EntryKind, Failure, Input, Read, Reply, Request, Walk, frame,
};
use serde_bytes::ByteBuf;
use std::os::unix::net::UnixStream;

/// A request under way.
pub struct Call {
    pub stream: UnixStream,
}

/// Entries with the content that came with them.
pub type Files = Vec<(Entry, Option<Vec<u8>>)>;

impl Call {
    pub fn new(machine: &Machine, request: &Request) -> Self {
        let stream = machine.connect();
        frame::write(&stream, request).unwrap();
        Self { stream }
    }

    pub fn send(&self, input: &Input) {
        frame::write(&self.stream, input).unwrap();
    }

    pub fn reply(&self) -> Reply {
        frame::read(&self.stream).unwrap()
    }

    /// Everything up to a frame that is no part of a file.
    pub fn files(&self) -> (Files, Reply) {
        let mut files: Files = Vec::new();
        loop {
            match self.reply() {
                Reply::Entry(entry) => files.push((entry, None)),
                Reply::Data(bytes) => {
                    let content = &mut files.last_mut().unwrap().1;
                    content.get_or_insert_default().extend_from_slice(&bytes);
                }
                Reply::EndOfData => {
                    files.last_mut().unwrap().1.get_or_insert_default();
                }
                other => return (files, other),
            }
        }
    }

    /// The failure that the request ends in.
    pub fn failure(&self) -> Failure {
        match self.files().1 {
            Reply::Failed(failure) => failure,
            other => panic!("not a failure: {other:?}"),
        }
    }
}

pub fn bytes(text: &str) -> ByteBuf {
    ByteBuf::from(text)
}

pub fn text(path: &[u8]) -> &str {
    str::from_utf8(path).unwrap()
}

pub fn walk(beneath: &str, path: &str, depth: Depth, content: bool) -> Request {
    Request::Walk(Walk { beneath: bytes(beneath), path: bytes(path), depth, content })
}

pub fn read(beneath: &str, path: &str, offset: u64, limit: u64) -> Request {
    Request::Read(Read { beneath: bytes(beneath), path: bytes(path), offset, limit })
}

pub fn changes(below: &str, freeze: bool) -> Request {
    Request::Changes(Changes { below: bytes(below), freeze })
}

/// An edit beneath `/work`, up to its answer.
pub fn edit(machine: &Machine, edits: &[(Edit, &[u8])]) -> Result<(), Failure> {
    let call = begin_edit(machine);
    for (edit, content) in edits {
        call.send(&Input::Edit(edit.clone()));
        if matches!(edit, Edit::Write { .. }) {
            for chunk in content.chunks(1000) {
                call.send(&Input::Data(ByteBuf::from(chunk)));
            }
            call.send(&Input::EndOfData);
        }
    }
    call.send(&Input::Commit);
    match call.reply() {
        Reply::Done => Ok(()),
        Reply::Failed(failure) => Err(failure),
        other => panic!("not an answer to an edit: {other:?}"),
    }
}

pub fn begin_edit(machine: &Machine) -> Call {
    Call::new(machine, &Request::Edit(Edits { beneath: bytes("/work"), user: String::new() }))
}

pub fn put(path: &str, mode: Option<u32>) -> Edit {
    Edit::Write { path: bytes(path), mode }
}

pub fn link(path: &str, target: &str) -> Edit {
    Edit::Symlink { path: bytes(path), target: bytes(target) }
}

pub fn directory(path: &str, mode: Option<u32>) -> Edit {
    Edit::Directory { path: bytes(path), mode }
}

pub fn delete(path: &str, recursive: bool) -> Edit {
    Edit::Remove { path: bytes(path), recursive }
}

/// One line for each entry: path, kind, content.
pub fn summary(files: &Files) -> Vec<String> {
    let line = |(entry, content): &(Entry, Option<Vec<u8>>)| {
        let kind = match &entry.kind {
            EntryKind::File { size } => format!("file {size}"),
            EntryKind::Directory { opaque: true } => "opaque".to_owned(),
            EntryKind::Directory { opaque: false } => "directory".to_owned(),
            EntryKind::Symlink(target) => format!("link {}", text(target)),
            EntryKind::Character(major, minor) => format!("character {major}:{minor}"),
            EntryKind::Block(major, minor) => format!("block {major}:{minor}"),
            EntryKind::Fifo => "fifo".to_owned(),
            EntryKind::Socket => "socket".to_owned(),
            EntryKind::Whiteout => "whiteout".to_owned(),
        };
        let content = content.as_ref().map(|content| format!(" {:?}", String::from_utf8_lossy(content)));
        format!("{} {kind}{}", entry.path.escape_ascii(), content.unwrap_or_default())
    };
    files.iter().map(line).collect()
}
