//! What there is to say of every host.

use super::super::context::Context;
use super::{failed, places, seat};
use crate::error::UserError;
use crate::exit::Exit;
use crate::host::check::{Answered, check};
use crate::host::places::Places;
use crate::host::state::{Finding, Seat, State};
use crate::host::{Entry, Found, Host, Scope};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::PathBuf;

/// How a host stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// Connected, and the server answers.
    Ok,
    /// Not connected.
    Missing,
    /// Connected, but not as it should be.
    Drifted,
    /// The host is not installed; what is in its configuration is as it should be, if there is any.
    Unavailable,
}

#[derive(Serialize)]
struct Report {
    host: &'static str,
    status: Status,
    program: Option<PathBuf>,
    entries: Vec<Line>,
    fix: Option<String>,
}

#[derive(Serialize)]
struct Line {
    #[serde(flatten)]
    finding: Finding,
    server: Option<Answered>,
    fix: Option<String>,
}

/// Runs `pyro host doctor`.
///
/// # Errors
/// When the report cannot be written.
pub fn run(context: &Context) -> Result<Exit, UserError> {
    let (seat, places) = (seat(context)?, places()?);
    let hosts: Result<Vec<Report>, UserError> =
        Host::ALL.into_iter().map(|host| look(host, &seat, &places)).collect();
    let hosts = hosts?;
    let ok = hosts.iter().all(|host| host.status != Status::Drifted);
    let report = serde_json::json!({ "ok": ok, "hosts": hosts });
    context.out.result(&report, || hosts.iter().map(Report::text).collect())?;
    Ok(if ok { Exit::Done } else { Exit::Failed })
}

fn look(host: Host, seat: &Seat, places: &Places) -> Result<Report, UserError> {
    let program = places.program(host);
    let found = host.find(places).unwrap_or_else(|error| {
        // Of the others there is still something to say.
        vec![Found {
            scope: Scope::User,
            file: host.file(places, Scope::User),
            entry: Entry::Unparsable(error.to_string()),
        }]
    });
    let findings = seat.judge(&found).map_err(|error| failed(host, error.into()))?;
    let entries: Vec<Line> = findings.into_iter().map(|finding| prove(host, finding)).collect();
    let status = match &program {
        _ if entries.iter().any(|line| line.finding.state != State::Ok) => Status::Drifted,
        None => Status::Unavailable,
        Some(_) if entries.is_empty() => Status::Missing,
        Some(_) => Status::Ok,
    };
    let fix = match status {
        Status::Missing => Some(format!("pyro host connect {host}")),
        _ => None,
    };
    Ok(Report { host: host.id(), status, program, entries, fix })
}

/// Starts what the entry starts, if nothing is wrong with it so far.
fn prove(host: Host, mut finding: Finding) -> Line {
    let server = finding.proof.take().and_then(|proof| {
        let checked = check(&proof.launch, &proof.directory, &proof.env);
        checked
            .map_err(|silent| {
                finding.state = State::NotStarting;
                finding.detail = Some(silent.to_string());
            })
            .ok()
    });
    let fix = mending(host, &finding);
    Line { finding, server, fix }
}

/// The next step, where there is one to take.
fn mending(host: Host, finding: &Finding) -> Option<String> {
    let scope = match finding.scope {
        Scope::Project => " --scope project",
        _ => "",
    };
    let reachable =
        finding.scope == Scope::User || (finding.scope == Scope::Project && host == Host::ClaudeCode);
    Some(match finding.state {
        State::Ok => return None,
        State::Disabled if !host.has_switch() => {
            format!("switch it on in {}, with /mcp", host.program())
        }
        State::Disabled | State::StalePath | State::ArgsDiffer if reachable => {
            format!("pyro host repair {host}{scope}")
        }
        State::Shadowed if reachable => {
            format!("keep one of the two; pyro host disconnect {host}{scope} takes this one out")
        }
        State::Foreign if reachable => {
            format!("rename it, or pyro host repair {host}{scope} --force replaces it")
        }
        State::PendingApproval => format!("start {} in this project and approve it", host.program()),
        State::NotStarting => "pyro doctor".to_owned(),
        State::Unparsable => {
            format!("mend the file; pyro host print-config {host} shows what belongs into it")
        }
        _ if finding.scope == Scope::Local && host == Host::ClaudeCode => {
            "claude mcp remove pyro -s local".to_owned()
        }
        _ => format!("change it in {} by hand", finding.file.display()),
    })
}

/// Where the second column ends and what is indented begins.
const INDENT: &str = "                          ";

impl Report {
    fn text(&self) -> String {
        let status = serde_json::to_value(self.status).unwrap_or_default();
        let head = format!("{:<12} {:<12} ", self.host, status.as_str().unwrap_or_default());
        let mut lines: Vec<String> = Vec::new();
        if self.program.is_none() {
            let program = self.entries.first().map_or("", |_| "; its configuration:");
            lines.push(format!("its program is not on PATH{program}"));
        } else if self.entries.is_empty() {
            lines.push("not connected".into());
        }
        for line in &self.entries {
            line.text(&mut lines);
        }
        lines.extend(self.fix.iter().map(|fix| format!("-> {fix}")));
        format!("{head}{}\n", lines.join(&format!("\n{INDENT}")))
    }
}

impl Line {
    fn text(&self, lines: &mut Vec<String>) {
        let finding = &self.finding;
        let state = serde_json::to_value(finding.state).unwrap_or_default();
        let mut line =
            format!("{}, {}: {}", finding.scope, finding.file.display(), state.as_str().unwrap_or_default());
        if let Some(server) = &self.server {
            let _ = write!(line, ", {} tools", server.tools.len());
        }
        if let Some(detail) = &finding.detail {
            let _ = write!(line, ", {}", detail.replace('\n', &format!("\n{INDENT}  ")));
        }
        lines.push(line);
        if let (Some(has), Some(wants)) = (&finding.has, &finding.wants) {
            lines.extend([format!("- {has}"), format!("+ {wants}")]);
        }
        lines.extend(self.fix.iter().map(|fix| format!("-> {fix}")));
    }
}
