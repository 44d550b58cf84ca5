//! `pyro doctor`: what works on this host, and how to mend what does not.

mod checks;
mod probe;

use super::context::Context;
use crate::error::UserError;
use crate::exit::Exit;
use serde::Serialize;

/// Arguments of `pyro doctor`.
#[derive(Debug, clap::Args)]
pub struct DoctorArgs {
    /// Also say whether this environment is ready for daily work
    #[arg(long, value_name = "ENV")]
    environment: Option<String>,
    /// Mend what can be mended without being root
    #[arg(long)]
    fix: bool,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// It works.
    Pass,
    /// It does not, and pyro can do without.
    Warn,
    /// It does not, and something will fail.
    Fail,
}

/// One line of the report.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it came out.
    pub verdict: Verdict,
    /// What was found.
    pub detail: String,
    /// The command or step that mends it.
    pub fix: Option<String>,
}

impl Check {
    /// It works.
    pub fn pass(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Pass, detail: detail.into(), fix: None }
    }

    /// It does not, and pyro can do without.
    pub fn warn(name: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Warn, detail: detail.into(), fix: Some(fix.into()) }
    }

    /// It does not, and something will fail.
    pub fn fail(name: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Fail, detail: detail.into(), fix: Some(fix.into()) }
    }

    fn line(&self) -> String {
        let verdict = match self.verdict {
            Verdict::Pass => "PASS",
            Verdict::Warn => "WARN",
            Verdict::Fail => "FAIL",
        };
        let mut line =
            format!("{verdict}  {:<14} {}", self.name, self.detail.replace('\n', "\n                     "));
        if let Some(fix) = &self.fix {
            line.push_str("\n                     -> ");
            line.push_str(fix);
        }
        line.push('\n');
        line
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    ok: bool,
    version: &'static str,
    home: String,
    fixed: Vec<String>,
    checks: Vec<Check>,
}

/// Runs `pyro doctor`.
///
/// # Errors
/// When the report cannot be written.
pub fn run(context: &Context, args: &DoctorArgs) -> Result<Exit, UserError> {
    let out = context.out;
    let fixed = if args.fix { checks::fix(context) } else { Vec::new() };
    let mut report = Vec::new();
    let mut show = |check: Check| -> Result<(), UserError> {
        // A line at a time: the boot takes its while, and a reader wants to know where it stands.
        if !out.is_json() {
            out.content(check.line().as_bytes())?;
        }
        report.push(check);
        Ok(())
    };
    for text in &fixed {
        if !out.is_json() {
            out.note(format_args!("fixed: {text}"));
        }
    }
    show(checks::platform())?;
    show(checks::kvm())?;
    let home = match context.home() {
        Ok(home) => home,
        Err(error) => {
            show(Check::fail("state", error.message, error.hint.unwrap_or_default()))?;
            return finish(context, fixed, report);
        }
    };
    show(checks::firmware(&home))?;
    for check in probe::run(context, &home) {
        show(check)?;
    }
    show(checks::host_compat())?;
    show(checks::network())?;
    show(checks::registry(context))?;
    show(checks::state(&home))?;
    show(checks::project_source())?;
    if let Some(name) = args.environment.as_ref().or(context.config.defaults.environment.as_ref()) {
        show(checks::environment(&home, name))?;
    }
    finish(context, fixed, report)
}

fn finish(context: &Context, fixed: Vec<String>, checks: Vec<Check>) -> Result<Exit, UserError> {
    let ok = checks.iter().all(|check| check.verdict != Verdict::Fail);
    if context.out.is_json() {
        let home = context.home_path().display().to_string();
        context.out.json(&Report { ok, version: env!("CARGO_PKG_VERSION"), home, fixed, checks })?;
    }
    Ok(if ok { Exit::Done } else { Exit::Failed })
}
