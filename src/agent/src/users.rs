//! Who a command runs as, from the image's own `/etc/passwd` and `/etc/group`.

use pyro_protocol::users::{Account, Users};
use pyro_sys::spawn::Identity;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::process::{Gid, Uid};
use std::fs::File;
use std::io::Read;
use std::sync::OnceLock;

/// Most bytes read of a user database. One that an image carries is a few KiB.
const DATABASE_MAX: u64 = 4 << 20;

/// Whether supplementary groups cannot be changed here: so in a user namespace that was made
/// without privileges.
pub fn groups_are_fixed() -> bool {
    static FIXED: OnceLock<bool> = OnceLock::new();
    let look = || std::fs::read("/proc/self/setgroups").is_ok_and(|text| text.starts_with(b"deny"));
    *FIXED.get_or_init(look)
}

/// The users of the current root. A file that is missing is empty.
pub fn load() -> Users {
    Users { passwd: read("/etc/passwd"), group: read("/etc/group") }
}

/// As whom the kernel knows an account.
pub fn identity(account: &Account) -> Identity {
    Identity {
        uid: Uid::from_raw(account.uid),
        gid: Gid::from_raw(account.gid()),
        groups: Some(account.groups.iter().copied().map(Gid::from_raw).collect()),
    }
}

/// Reads a regular file; an image may hold anything in its place, also a pipe that never speaks.
fn read(path: &str) -> Vec<u8> {
    let mut text = Vec::new();
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    if let Ok(fd) = rustix::fs::open(path, flags, Mode::empty())
        && let Ok(status) = rustix::fs::fstat(&fd)
        && FileType::from_raw_mode(status.st_mode) == FileType::RegularFile
    {
        // One read for all of it, and one for its end.
        text.reserve(status.st_size.clamp(0, DATABASE_MAX as i64) as usize + 1);
        // What was read before an error is all there is to go by.
        let _ = File::from(fd).take(DATABASE_MAX).read_to_end(&mut text);
    }
    text
}
