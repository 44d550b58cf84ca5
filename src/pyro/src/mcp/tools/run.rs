//! `vm_run`.

use super::super::budget::{DEFAULT, Kind, Part, Shown, Window};
use super::super::tool::{About, Answer, Call, Operation, Reach, within};
use super::exec::{unattended, words};
use super::output::{WAIT_SECONDS_MAX, execution_mode};
use crate::error::UserError;
use crate::explain::not_run;
use crate::recipe;
use crate::start::{Start, environment, ephemeral, start_here};
use pyro_workspace::{SessionError, Stream, Until, exit_code};
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::{Duration, Instant};

/// How long a machine lives that was made for one command: the command, and as long again to boot where
/// that is slow.
const TTL: Duration = Duration::from_secs(120);

/// Seconds for the command where the call says nothing.
const TIMEOUT_SECONDS: u64 = 30;

/// Arguments of `vm_run`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Line for /bin/sh -c.
    command: Option<String>,
    /// Program and arguments instead.
    argv: Option<Vec<String>>,
    /// OCI image; has a default.
    environment: Option<String>,
    /// Up to 45.
    #[schemars(default = "timeout_default")]
    timeout_seconds: Option<u64>,
}

fn timeout_default() -> Option<u64> {
    Some(TIMEOUT_SECONDS)
}

impl Operation for Run {
    const ABOUT: About = About {
        name: "vm_run",
        text: "Run one shell command in a fresh microVM that is thrown away at once: no files of the project, nothing kept.",
        reach: Reach::Workspace,
        output: None,
        example: r#"{"command":"uname -a"}"#,
        up_front: false,
    };

    fn run(self, call: &Call<'_>) -> Result<Answer, UserError> {
        let timeout = self.timeout_seconds.unwrap_or(TIMEOUT_SECONDS);
        let timeout = within("timeout_seconds", timeout, 1..=WAIT_SECONDS_MAX)?;
        let argv = words(self.command, self.argv)?;
        let session = call.session;
        let home = call.home()?;
        let name = session.environment(self.environment.as_deref());
        let (image, held) = environment(&session.config, call.phase, &home, name)?;
        let began = Instant::now();
        let until = Until { deadline: Some(began + TTL), ..call.until() };
        let spec = ephemeral(session.resources(&recipe::Resources::default()), TTL.as_secs());
        call.phase.is("booting the machine");
        let allow_host_compat = session.allow_host_compat();
        let request = Start { image: &image, spec, until, allow_host_compat };
        let machine = start_here(call.phase, &home, held, &request)?.machine;
        call.phase.is("running");
        let exec = unattended(argv, &image.config.working_dir, &image.config, timeout);
        let lost = |error: &SessionError| match error {
            SessionError::Failed(failure) => not_run(failure),
            SessionError::Cancelled => UserError::new("interrupted", error),
            SessionError::Lost(_) => {
                UserError::new("start", format_args!("{error}: {}", machine.last_words()))
            }
            _ => UserError::new("agent", error),
        };
        let mut window = Window::new(Part::Ends, 0, DEFAULT);
        let mut written = [0_u64; 2];
        let ended = machine.exec(exec).and_then(|session| {
            session.wait(until, |stream: Stream, bytes| {
                written[stream as usize] += bytes.len() as u64;
                window.push(bytes);
                call.phase.output(bytes);
                Ok(())
            })
        });
        let ended = ended.map_err(|error| lost(&error))?;
        let mode = execution_mode(machine.execution_mode());
        machine.discard().map_err(|error| UserError::new("cleanup", error))?;
        let note = |_| "nothing of this machine is left; use a workspace, or write less".to_owned();
        let Shown { text, bytes, cursor } = window.show(Kind::Output, note);
        let [stdout, stderr] = written;
        let stderr = if stderr > 0 { format!(", stderr {stderr} B") } else { String::new() };
        let (code, seconds) = (exit_code(&ended), began.elapsed().as_secs_f64());
        let timed_out = if ended.timed_out { " (timed out)" } else { "" };
        Ok(Answer::Text(format!(
            "exit={code} after {seconds:.1}s{timed_out}, {name}, stdout {stdout} B{stderr}, showing {bytes}, cursor {cursor}{mode}\n{text}"
        )))
    }
}
