//! `workspace_exec`.

use super::super::budget::{DEFAULT, Part};
use super::super::tool::{About, Answer, Call, Operation, Reach, within};
use super::output::{WAIT_SECONDS_MAX, Wanted};
use crate::config::SECONDS_MAX;
use crate::error::UserError;
use crate::explain::{lifecycle_error, store_error};
use pyro_oci::RunConfig;
use pyro_workspace::{Bytes, Exec as Request, Until, detach, image, running, variables};
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::{Duration, Instant};

/// How long a command may run where the call says nothing: long enough for a build, since nobody waits
/// for it in front of a terminal.
const TIMEOUT_SECONDS: u64 = 600;

/// How long only the end of a command is waited for, and not what it puts out: progress is told later.
const QUICK: Duration = Duration::from_secs(1);

/// What tells programs that they write for a reader without a terminal.
const QUIET: [(&str, &str); 5] =
    [("TERM", "dumb"), ("PAGER", "cat"), ("GIT_PAGER", "cat"), ("NO_COLOR", "1"), ("CI", "1")];

/// Arguments of `workspace_exec`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exec {
    workspace_id: String,
    /// Line for /bin/sh -c.
    command: Option<String>,
    /// Program and arguments instead.
    argv: Option<Vec<String>>,
    /// Default /workspace.
    cwd: Option<String>,
    /// Then it is killed.
    #[schemars(default = "timeout_default")]
    timeout_seconds: Option<u64>,
    /// Then the call returns; up to 45.
    #[schemars(default = "yield_default")]
    yield_seconds: Option<u64>,
}

fn timeout_default() -> Option<u64> {
    Some(TIMEOUT_SECONDS)
}

fn yield_default() -> Option<u64> {
    Some(WAIT_SECONDS_MAX)
}

impl Operation for Exec {
    const ABOUT: About = About {
        name: "workspace_exec",
        text: "Run a shell command in a workspace: tests, builds, git. Returns exit code and output, of long output beginning and end. After yield_seconds it returns `running`; the command goes on, and workspace_logs waits for it.",
        reach: Reach::Workspace,
        output: None,
        example: r#"{"workspace_id":"ID","command":"ls -la"}"#,
        up_front: true,
    };

    fn run(self, call: &Call<'_>) -> Result<Answer, UserError> {
        let defaults = &call.session.config.defaults;
        let timeout = self.timeout_seconds.or(defaults.timeout_seconds).unwrap_or(TIMEOUT_SECONDS);
        let timeout = within("timeout_seconds", timeout, 1..=SECONDS_MAX)?;
        let wait = self.yield_seconds.unwrap_or(WAIT_SECONDS_MAX);
        let wait = Duration::from_secs(within("yield_seconds", wait, 0..=WAIT_SECONDS_MAX)?);
        let argv = words(self.command, self.argv)?;
        let cwd = self.cwd.unwrap_or_else(|| "/workspace".into());
        if !cwd.starts_with('/') {
            return Err(UserError::usage(format_args!("cwd is {cwd:?}, but has to be an absolute path")));
        }
        let (home, directory) = call.find(&self.workspace_id)?;
        let record = running(&directory).map_err(|error| lifecycle_error(&error))?;
        let config = image(&home, &record).map_err(|error| store_error(&error))?.config;
        let exec = unattended(argv, &cwd, &config, timeout);
        // The supervisor hears it to its end: it goes on if this server, or whoever waits, does not.
        let sent = detach(&directory, exec).map_err(|error| lifecycle_error(&error))?;
        let begun = Instant::now();
        // What comes of it, and what it was that ended this wait, the journal tells.
        let _ = sent.ended(Until { deadline: Some(begun + wait.min(QUICK)), ..call.until() });
        let wait = wait.saturating_sub(begun.elapsed());
        let (sequence, room, part) = (sent.sequence(), DEFAULT, Part::Ends);
        let wanted = Wanted { directory: &directory, record: &record, sequence, cursor: 0, room, part };
        let text = wanted.after(call, wait)?;
        directory.touch();
        Ok(Answer::Text(text))
    }
}

/// The words of a command: of a line for a shell, or as they are.
///
/// # Errors
/// When there are none, or both.
pub fn words(command: Option<String>, argv: Option<Vec<String>>) -> Result<Vec<Bytes>, UserError> {
    let words = match (command, argv) {
        (Some(line), None) => vec!["/bin/sh".into(), "-c".into(), line],
        (None, Some(words)) if !words.is_empty() => words,
        _ => return Err(UserError::usage("exactly one of command and argv is needed")),
    };
    Ok(words.into_iter().map(|word| word.into_bytes().into()).collect())
}

/// A command without input, as the image's user, for a reader without a terminal.
pub fn unattended(argv: Vec<Bytes>, cwd: &str, config: &RunConfig, timeout_seconds: u64) -> Request {
    let quiet = QUIET.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Request {
        argv,
        env: variables(config, &quiet, false),
        cwd: cwd.as_bytes().to_vec().into(),
        create_cwd: true,
        user: config.user.clone(),
        timeout_ms: Some(timeout_seconds * 1000),
        ..Request::default()
    }
}
