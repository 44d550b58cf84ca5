//! Waiting for what a command puts out, and for its end.

use super::{CommandRecord, Outcome, Output, Piece, load};
use crate::until::{Until, Woken};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Why a command was not followed to its end.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// There is no such command, or no longer: the workspace was reset or deleted.
    #[error("there is no command {0}")]
    Missing(u64),
    /// The journal cannot be read.
    #[error("the journal cannot be read: {0}")]
    Journal(#[from] io::Error),
    /// The output could not be passed on.
    #[error("the output cannot be written: {0}")]
    Output(#[source] io::Error),
    /// Time was up.
    #[error("the command still runs")]
    Deadline,
    /// The wait was cancelled.
    #[error("interrupted")]
    Cancelled,
}

/// Passes the output of a command from `cursor` on to `sink`, as it comes, until the command has ended.
///
/// # Errors
/// [`FollowError`].
pub fn follow(
    commands: &Path,
    sequence: u64,
    cursor: u64,
    until: Until<'_>,
    mut sink: impl FnMut(Piece) -> io::Result<()>,
) -> Result<CommandRecord, FollowError> {
    let look = || load(commands, sequence)?.ok_or(FollowError::Missing(sequence));
    let mut record = look()?;
    let mut output = Output::new(commands, &record, cursor);
    let mut drain = |output: &mut Output| -> Result<(), FollowError> {
        while let Some(piece) = output.next_piece()? {
            sink(piece).map_err(FollowError::Output)?;
        }
        Ok(())
    };
    let mut watch = None;
    loop {
        drain(&mut output)?;
        if record.outcome != Outcome::Running {
            // What was not kept at the very end has nothing behind it that would tell.
            if let Some(dropped) = record.end().checked_sub(output.cursor()).filter(|dropped| *dropped > 0) {
                sink(Piece::Dropped(dropped)).map_err(FollowError::Output)?;
            }
            return Ok(record);
        }
        match &watch {
            // Once more, for what happened before there was somebody watching.
            None => watch = Some(Watch::new(commands)?),
            Some(watch) => watch.wait(until)?,
        }
        record = look()?;
        output.know(&record);
    }
}

/// Hears of changes in a directory.
struct Watch {
    /// There until it is dropped.
    inotify: Option<OwnedFd>,
}

impl Drop for Watch {
    /// The kernel takes ten milliseconds and more to close one, in which it waits for others: nobody waits
    /// for that here. Where there can be no thread, it is closed at once.
    fn drop(&mut self) {
        let inotify = self.inotify.take();
        drop(std::thread::Builder::new().name("unwatch".into()).spawn(move || drop(inotify)));
    }
}

impl Watch {
    fn new(directory: &Path) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        // Output is written to a segment; an end replaces a record, and a killed writer closes one.
        let events =
            WatchFlags::MODIFY | WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE | WatchFlags::DELETE_SELF;
        inotify::add_watch(&inotify, directory, events | WatchFlags::ONLYDIR)?;
        Ok(Self { inotify: Some(inotify) })
    }

    /// Waits for a change, and forgets all that there were.
    fn wait(&self, until: Until<'_>) -> Result<(), FollowError> {
        let inotify = self.inotify.as_ref().expect("it is there until the watch is dropped");
        match until.readable(&[inotify.as_fd()])? {
            Woken::Readable(_) => {}
            Woken::Deadline => return Err(FollowError::Deadline),
            Woken::Cancelled => return Err(FollowError::Cancelled),
        }
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(inotify, &mut buffer);
        while reader.next().is_ok_and(|event| !event.events().contains(ReadFlags::QUEUE_OVERFLOW)) {}
        Ok(())
    }
}
