//! Running git against somebody's server: it asks nobody, and ends when it should.

use super::RepositoryError;
use super::address::{Address, Login};
use crate::seed::forget_git_variables;
use crate::until::{Until, Woken};
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Most output that is kept: git answers with lines, and a server may send anything.
const OUTPUT_MAX: usize = 1 << 20;

/// Most characters of its words that are repeated.
const WORDS_MAX: usize = 300;

/// How long git has to remove what it has begun.
const GOING: Duration = Duration::from_secs(2);

/// What makes git ask nobody and start nothing but what the user has set up for fetching.
const VARIABLES: &[(&str, &str)] = &[
    ("GIT_ALLOW_PROTOCOL", "file:git:http:https:ssh"),
    ("GIT_ASKPASS", "false"),
    ("GIT_TERMINAL_PROMPT", "0"),
    // ssh reads passwords from the terminal, whatever its standard input is, but for these.
    ("SSH_ASKPASS", "false"),
    ("SSH_ASKPASS_REQUIRE", "force"),
    ("LC_ALL", "C"),
];

/// Settings for this run, over the user's: what would run programs in a fresh clone, hang, or stay behind.
const SETTINGS: &[(&str, &str)] = &[
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("init.templateDir", ""),
    ("submodule.recurse", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("maintenance.auto", "false"),
    ("gc.auto", "0"),
    ("advice.detachedHead", "false"),
    // Less than a kilobyte a second for half a minute is a connection that is gone.
    ("http.lowSpeedLimit", "1000"),
    ("http.lowSpeedTime", "30"),
];

/// Gives git the login of an address, and keeps other helpers from remembering it.
const HELPER: &str = "!f() { test \"$1\" = get || exit 0; printf 'username=%s\\npassword=%s\\n' \"$PYRO_GIT_USER\" \"$PYRO_GIT_PASSWORD\"; }; f";

/// git, in a directory, for an address.
pub(super) struct Git<'a> {
    pub address: &'a Address,
    pub directory: &'a Path,
    pub until: Until<'a>,
}

/// What it did.
pub(super) struct Ran {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Git<'_> {
    /// Runs it, for `limit` at most.
    pub fn run(&self, words: &[&str], limit: Duration) -> Result<Ran, RepositoryError> {
        let own = Instant::now() + limit;
        let deadline = self.until.deadline.map_or(own, |given| given.min(own));
        let until = Until { deadline: Some(deadline), cancel: self.until.cancel };
        let mut child = self.command(words).spawn().map_err(RepositoryError::Start)?;
        let heard = hear(&mut child, until);
        if !matches!(heard, Ok(Heard::End(..))) {
            end(&mut child);
        }
        match heard.map_err(RepositoryError::Start)? {
            Heard::End(stdout, stderr) => {
                let status = child.wait().map_err(RepositoryError::Start)?;
                Ok(Ran { status, stdout, stderr })
            }
            Heard::Cancelled => Err(RepositoryError::Cancelled),
            Heard::Deadline => Err(RepositoryError::Slow { address: self.address.shown.clone(), limit }),
        }
    }

    /// The same for what must succeed: its output.
    pub fn read(&self, words: &[&str], limit: Duration) -> Result<Vec<u8>, RepositoryError> {
        let ran = self.run(words, limit)?;
        if ran.status.success() { Ok(ran.stdout) } else { Err(self.refused(&ran)) }
    }

    /// What its failure means.
    pub fn refused(&self, ran: &Ran) -> RepositoryError {
        RepositoryError::Refused { address: self.address.shown.clone(), words: words(&ran.stderr) }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.current_dir(self.directory).args(words);
        forget_git_variables(&mut command);
        command.envs(VARIABLES.iter().copied());
        let mut settings = SETTINGS.to_vec();
        // For this server alone, and not for those that it sends git to.
        let own = |setting: &str| format!("credential.{}.{setting}", self.address.origin());
        let (helper, username) = (own("helper"), own("username"));
        match &self.address.login {
            Some(Login { user, password: Some(password) }) => {
                // An empty one makes git forget those that came before.
                settings.extend([("credential.helper", ""), (&helper, HELPER)]);
                command.env("PYRO_GIT_USER", user).env("PYRO_GIT_PASSWORD", password);
            }
            Some(Login { user, password: None }) => settings.push((&username, user)),
            None => {}
        }
        command.env("GIT_CONFIG_COUNT", settings.len().to_string());
        for (number, (key, value)) in settings.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{number}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{number}"), value);
        }
        // The state directory may lie in a checkout, whose settings are not ours.
        command.env("GIT_CEILING_DIRECTORIES", self.directory.parent().unwrap_or(self.directory));
        // A group of its own, so that all of it can be ended.
        command.process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

enum Heard {
    /// Both streams have ended: this is what came.
    End(Vec<u8>, Vec<u8>),
    Deadline,
    Cancelled,
}

/// Listens until the process has closed its streams.
fn hear(child: &mut Child, until: Until<'_>) -> io::Result<Heard> {
    let streams = [child.stdout.take().map(OwnedFd::from), child.stderr.take().map(OwnedFd::from)];
    let mut open: Vec<(usize, File)> =
        streams.into_iter().enumerate().filter_map(|(stream, fd)| Some((stream, fd?.into()))).collect();
    let mut kept = [Vec::new(), Vec::new()];
    while !open.is_empty() {
        let fds: Vec<_> = open.iter().map(|(_, file)| file.as_fd()).collect();
        let number = match until.readable(&fds)? {
            Woken::Readable(number) => number,
            Woken::Deadline => return Ok(Heard::Deadline),
            Woken::Cancelled => return Ok(Heard::Cancelled),
        };
        let (stream, file) = &mut open[number];
        let mut piece = [0; 8192];
        let count = file.read(&mut piece)?;
        let kept = &mut kept[*stream];
        kept.extend_from_slice(&piece[..count]);
        // Of progress and complaints the last matter.
        let over = kept.len().saturating_sub(OUTPUT_MAX);
        kept.drain(..over);
        if count == 0 {
            open.remove(number);
        }
    }
    let [stdout, stderr] = kept;
    Ok(Heard::End(stdout, stderr))
}

/// Ends it and what it has started, giving it time to clean up.
fn end(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let signal = |signal| group.map(|group| kill_process_group(group, signal));
    signal(Signal::TERM);
    let deadline = Instant::now() + GOING;
    while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    // Also for those that it has left behind.
    signal(Signal::KILL);
    // It is dead, so this does not wait.
    let _ = child.wait();
}

/// What git complained of, in a line; servers speak through it, too.
fn words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines = || text.split(['\n', '\r']).map(str::trim);
    let complaint = lines().find_map(|line| line.strip_prefix("fatal: "));
    let complaint = complaint.or_else(|| lines().rfind(|line| !line.is_empty())).unwrap_or("it says nothing");
    let seen = complaint.chars().filter(|it| !it.is_control());
    seen.take(WORDS_MAX).collect()
}

/// Waits for a moment; says whether there is still time, and nobody has had enough.
pub(super) fn pause(until: Until<'_>, moment: Duration) -> io::Result<bool> {
    let next = Instant::now() + moment;
    let deadline = Some(until.deadline.map_or(next, |given| given.min(next)));
    let woken = Until { deadline, ..until }.readable(&[])?;
    Ok(woken == Woken::Deadline && until.deadline.is_none_or(|given| Instant::now() < given))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_complaint_is_one_line_that_steers_no_terminal() {
        let stderr = b"Cloning into 'x'...\rreceiving 10%\rremote: \x1b[31mgo away\x1b[0m\nfatal: no \x1b]0;way\x07\nmore\n";
        assert_eq!(words(stderr), "no ]0;way");
        assert_eq!(words(b"ssh: no such host\n\n"), "ssh: no such host");
        assert_eq!(words(b""), "it says nothing");
    }
}
