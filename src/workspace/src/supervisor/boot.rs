//! The front end's side of a start.

use super::{HEARD, Word};
use crate::directory::Directory;
use crate::failpoint;
use crate::home::Home;
use crate::running::NotStarted;
use crate::session::Patient;
use crate::until::{Until, Woken};
use crate::workspace::Workspace;
use pyro_machine::launch::{console_tail, pass_nothing_on};
use pyro_protocol::{Step, frame};
use std::fs::File;
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

/// This very program, even if another has been put in its place meanwhile.
const PROGRAM: &str = "/proc/self/exe";

/// A machine that belongs to its supervisor.
#[derive(Clone, Debug)]
pub struct Booted {
    /// The workspace.
    pub directory: Directory,
    /// What its agent did until it was ready.
    pub steps: Vec<Step>,
}

/// Starts the machine of a workspace under a supervisor of its own, which takes the workspace over.
/// This program must run [`super::supervise`] when its arguments are `supervisor HOME ID`.
///
/// # Errors
/// Why there is no machine; nothing runs then, and a workspace that was never started is gone.
pub fn boot(home: &Home, workspace: Workspace, until: Until<'_>) -> Result<Booted, NotStarted> {
    let steps = start(home, &workspace, until)?;
    Ok(Booted { steps, directory: workspace.release() })
}

fn start(home: &Home, workspace: &Workspace, until: Until<'_>) -> Result<Vec<Step>, NotStarted> {
    let (ours, mut child) = spawn(home, workspace).map_err(|error| NotStarted::here(&error))?;
    failpoint::pass("boot.spawned");
    let word = hear(&ours, until);
    let word = word.and_then(|word| match word {
        Word::Started(steps) => {
            let heard = (&ours).write_all(&[HEARD]);
            heard.map(|()| steps).map_err(|error| NotStarted::here(&error))
        }
        Word::Failed(failed) => Err(failed),
    });
    failpoint::pass("boot.heard");
    if word.is_err() {
        // It goes when we do, and takes the machine with it.
        let _ = ours.shutdown(Shutdown::Both);
        let _ = child.wait();
    } else {
        // Whoever lives longer than it must not leave it unburied.
        std::thread::spawn(move || child.wait());
    }
    word.map_err(|failed| failed.or_last_words(|| console_tail(&workspace.directory().supervisor_log())))
}

fn spawn(home: &Home, workspace: &Workspace) -> io::Result<(UnixStream, Child)> {
    let (ours, theirs) = UnixStream::pair()?;
    let log = workspace.directory().supervisor_log();
    let log = File::options().create(true).append(true).mode(0o600).open(log)?;
    pass_nothing_on();
    let child = Command::new(PROGRAM)
        .arg0("pyro")
        .arg("supervisor")
        .arg(home.path())
        .arg(workspace.record().id.as_str())
        .current_dir("/")
        .stdin(OwnedFd::from(theirs))
        .stdout(workspace.share_lock()?)
        .stderr(log)
        .spawn()?;
    Ok((ours, child))
}

fn hear(channel: &UnixStream, until: Until<'_>) -> Result<Word, NotStarted> {
    let mut reader = Patient { stream: channel, until, silence: None, ended: None };
    frame::read(&mut reader).map_err(|error| match reader.ended {
        Some(Woken::Cancelled) => NotStarted::cancelled(),
        Some(_) => NotStarted::here(&io::Error::new(io::ErrorKind::TimedOut, "it took too long")),
        None => NotStarted::vanished(&error),
    })
}
