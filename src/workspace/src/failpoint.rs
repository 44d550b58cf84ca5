//! Places at which a test can have the process die as if it had been killed: one before and after
//! every step that changes what is on the disk.
//!
//! Always compiled, so that what is tested is what users run; unarmed, each is one atomic load.

use rustix::process::{Signal, getpid, kill_process};
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::sync::OnceLock;

/// Where to die.
#[derive(Debug)]
struct Armed {
    name: String,
    marker: PathBuf,
}

static ARMED: OnceLock<Armed> = OnceLock::new();

/// Has the first process that passes a place die there. `text` is the name of the place, `@`, and the
/// path of a file that is made then: whoever passes when the file exists goes on.
pub fn arm(text: &str) {
    if let Some((name, marker)) = text.split_once('@') {
        // Armed once, at the start of the program.
        let _ = ARMED.set(Armed { name: name.into(), marker: marker.into() });
    }
}

/// The place `name`.
pub(crate) fn pass(name: &str) {
    let Some(armed) = ARMED.get().filter(|armed| armed.name == name) else { return };
    if OpenOptions::new().write(true).create_new(true).open(&armed.marker).is_ok() {
        // Nothing is unwound, flushed or dropped.
        let _ = kill_process(getpid(), Signal::KILL);
    }
}
