//! Pseudo-terminals.

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Both ends of a new pseudo-terminal.
#[derive(Debug)]
pub struct Pty {
    /// The end that plays the keyboard and the screen; does not block.
    pub master: OwnedFd,
    /// The end that a program sees.
    pub slave: OwnedFd,
}

/// Makes a pseudo-terminal of `rows` by `columns` from the `devpts` at `/dev/pts`.
///
/// # Errors
/// What the kernel says: `ENOENT` if no `devpts` is mounted there, `ENOSPC` if all are in use.
pub fn open(rows: u16, columns: u16) -> io::Result<Pty> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let master = rustix::fs::open("/dev/pts/ptmx", flags, Mode::empty())?;
    unlockpt(&master)?;
    let slave = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    resize(&master, rows, columns)?;
    Ok(Pty { master, slave })
}

/// Tells the terminal, and so its foreground processes, a new size.
///
/// # Errors
/// What the kernel says.
pub fn resize(master: impl AsFd, rows: u16, columns: u16) -> io::Result<()> {
    Ok(tcsetwinsize(master, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })?)
}
