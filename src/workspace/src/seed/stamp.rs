//! What a look at a file shows, without reading it.

use pyro_layer::Time;
use rustix::fs::{FileType, Stat};
use sha2::{Digest as _, Sha256};

/// As long as this stays the same, so does the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub kind: Kind,
    /// Whether its owner may execute it.
    pub executable: bool,
    pub size: u64,
    pub modified: Time,
    /// When anything of it changed last.
    changed: Time,
    inode: u64,
    pub device: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Symlink,
    Directory,
    Other,
}

impl Stamp {
    pub fn of(stat: &Stat) -> Self {
        let time = |seconds: i64, nanos: u64| Time { seconds, nanos: nanos as u32 };
        Self {
            kind: match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => Kind::File,
                FileType::Symlink => Kind::Symlink,
                FileType::Directory => Kind::Directory,
                _ => Kind::Other,
            },
            executable: stat.st_mode & 0o100 != 0,
            size: stat.st_size.cast_unsigned(),
            modified: time(stat.st_mtime, stat.st_mtime_nsec),
            changed: time(stat.st_ctime, stat.st_ctime_nsec),
            inode: stat.st_ino,
            device: stat.st_dev,
        }
    }

    /// Whether a change from now on could leave the stamp as it is, because clocks of file systems
    /// stand still for a while.
    pub fn is_fresh(&self, now: Time) -> bool {
        /// The slowest clock of a kernel ticks 100 times a second.
        const TICK: i128 = 20_000_000;
        /// File systems without nanoseconds; FAT counts every other second.
        const COARSE: i128 = 2_000_000_000;
        let total = |time: Time| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
        let width = if self.changed.nanos == 0 { COARSE } else { TICK };
        total(self.changed) + width > total(now)
    }

    pub fn add_to(&self, hasher: &mut Sha256) {
        let flags = [self.kind as u8, u8::from(self.executable)];
        hasher.update(flags);
        let times = [self.modified, self.changed];
        for time in times {
            hasher.update(time.seconds.to_le_bytes());
            hasher.update(time.nanos.to_le_bytes());
        }
        for number in [self.size, self.inode, self.device] {
            hasher.update(number.to_le_bytes());
        }
    }
}

/// The clock that file systems use.
pub(super) fn now() -> Time {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    Time { seconds: now.tv_sec, nanos: now.tv_nsec as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_within_a_tick_of_the_clock_is_fresh() {
        let check = |changed: (i64, u32), now: (i64, u32), expected: bool| {
            let time = |(seconds, nanos)| Time { seconds, nanos };
            let stat = rustix::fs::stat("/").unwrap();
            let stamp = Stamp { changed: time(changed), ..Stamp::of(&stat) };
            assert_eq!(stamp.is_fresh(time(now)), expected, "{changed:?} {now:?}");
        };
        check((10, 1), (10, 1), true);
        check((10, 1), (10, 20_000_000), true);
        check((10, 1), (10, 20_000_002), false);
        check((10, 999_999_999), (11, 1), true);
        // A clock that went back.
        check((11, 1), (10, 0), true);
        // A file system that counts seconds.
        check((10, 0), (11, 999_999_999), true);
        check((10, 0), (12, 0), false);
    }
}
