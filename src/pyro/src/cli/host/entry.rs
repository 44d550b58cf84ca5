//! Putting the entry into a host's configuration, and taking it out.

use super::super::context::Context;
use super::{check_repository, choices, failed, is_fleeting, places, seat};
use crate::error::UserError;
use crate::exit::Exit;
use crate::host::check::check;
use crate::host::edit::{Document, Written};
use crate::host::launch::Launch;
use crate::host::places::Places;
use crate::host::state::{Proof, Seat, State};
use crate::host::{Entry, Host, HostError, Scope, Starts, claude};
use crate::mcp::args::ServeArgs;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

/// Arguments of `pyro host disconnect`.
#[derive(Debug, clap::Args)]
pub struct TargetArgs {
    /// Which host
    #[arg(value_enum)]
    host: Host,
    /// Whose configuration; a project's only with claude-code
    #[arg(long, value_enum, default_value_t = Scope::User)]
    scope: Scope,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Also where something else is called pyro
    #[arg(long)]
    force: bool,
}

/// Arguments of `pyro host connect` and `pyro host repair`.
#[derive(Debug, clap::Args)]
pub struct PutArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten, next_help_heading = "Stored in the entry, for pyro mcp serve")]
    serve: ServeArgs,
}

/// What was done, or would be.
#[derive(Serialize)]
struct Report {
    host: &'static str,
    scope: Scope,
    file: PathBuf,
    outcome: Outcome,
    dry_run: bool,
    before: Option<String>,
    after: Option<String>,
    backup: Option<PathBuf>,
    notes: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Connected,
    Changed,
    Disconnected,
    Unchanged,
}

/// The place of an entry, and what is there.
struct Site<'a> {
    target: &'a TargetArgs,
    places: Places,
    document: Document,
    old: Option<Entry>,
}

/// A change that is ready to be made.
enum Change {
    /// The file's new text.
    File(String),
    /// What Claude Code is told.
    Claude { program: PathBuf, old: Option<Value>, entry: Option<Value> },
}

/// Puts the entry there.
///
/// # Errors
/// A command that does not work, a configuration that makes no sense or holds something else, a host that refuses.
pub fn put(context: &Context, args: PutArgs) -> Result<Exit, UserError> {
    let PutArgs { target, serve } = args;
    let serve = choices(serve)?;
    let seat = seat(context)?;
    let fail = |error| failed(target.host, error);
    let site = Site::open(&target, &seat, &serve)?;
    let old = site.starts().map(|starts| &starts.launch);
    if let Some(kept) = old.filter(|_| serve == ServeArgs::default()).and_then(|old| old.choices().ok()) {
        check_repository(&kept)?;
    }
    let launch = wanted(&seat, &serve, old).map_err(fail)?;
    let mut report = site.report(old.map_or(Outcome::Connected, |_| Outcome::Changed), Some(&launch));
    let is_on = |starts: &Starts| starts.enabled || !target.host.has_switch();
    if site.starts().is_some_and(|starts| starts.launch == launch && is_on(starts)) {
        report.outcome = Outcome::Unchanged;
    } else {
        let none = BTreeMap::new();
        let env = site.starts().map_or(&none, |starts| &starts.env);
        let proof = Proof::new(target.scope, site.places.project(), &launch, env);
        check(&launch, &proof.directory, &proof.env).map_err(|silent| {
            UserError::new("server", format_args!("{launch}: {silent}")).hint(
                "nothing was written; pyro doctor says what works here, pyro mode list which modes there are",
            )
        })?;
        let change = site.plan(&launch)?;
        if !target.dry_run {
            report.backup = site.apply(change)?;
        }
    }
    if is_fleeting(&seat.program) {
        let program = seat.program.display();
        report
            .notes
            .push(format!("{program} may be gone tomorrow; install pyro elsewhere and connect from there"));
    }
    if !target.dry_run {
        let found = target.host.find(&site.places).map_err(fail)?;
        let judged = seat.judge(&found).map_err(|error| fail(error.into()))?;
        let odd = judged.into_iter().filter(|finding| finding.state != State::Ok);
        let detail = odd.map(|it| {
            format!("{} entry in {}: {}", it.scope, it.file.display(), it.detail.unwrap_or_default())
        });
        report.notes.extend(detail);
    }
    if report.outcome != Outcome::Unchanged {
        report.notes.push(target.host.advice().to_owned());
    }
    report.show(context)
}

/// Takes the entry out.
///
/// # Errors
/// A configuration that makes no sense or holds something else, a host that refuses.
pub fn remove(context: &Context, target: &TargetArgs) -> Result<Exit, UserError> {
    let site = Site::open(target, &seat(context)?, &ServeArgs::default())?;
    let mut report = site.report(Outcome::Disconnected, None);
    if site.old.is_none() {
        report.outcome = Outcome::Unchanged;
        return report.show(context);
    }
    let change = site.plan_removal()?;
    if !target.dry_run {
        report.backup = site.apply(change)?;
    }
    report.show(context)
}

/// What was asked for, else what is there, mended.
fn wanted(seat: &Seat, serve: &ServeArgs, old: Option<&Launch>) -> Result<Launch, HostError> {
    Ok(match old {
        Some(old) if *serve == ServeArgs::default() => seat.mended(old)?,
        old => seat.launch(serve, old)?,
    })
}

impl<'a> Site<'a> {
    fn open(target: &'a TargetArgs, seat: &Seat, serve: &ServeArgs) -> Result<Self, UserError> {
        let host = target.host;
        if target.scope == Scope::Project && host != Host::ClaudeCode {
            return Err(UserError::usage(format_args!("pyro writes no project's configuration of {host}"))
                .hint(format!("leave --scope out, or put there what pyro host print-config {host} shows")));
        }
        let fail = |error| failed(host, error);
        let places = places()?;
        let file = host.file(&places, target.scope);
        let document = Document::read(&file).map_err(|error| fail(error.into()))?;
        let found = host.find(&places).map_err(fail)?;
        let old = found.into_iter().find(|found| found.scope == target.scope && found.file == file);
        let old = old.map(|found| found.entry);
        match &old {
            Some(Entry::Unparsable(why)) => {
                let launch = wanted(seat, serve, None).map_err(fail)?;
                let snippet = host.snippet(&launch).map_err(fail)?;
                let hint = format!(
                    "mend that file first, which was left as it is; this belongs into it:\n{snippet}"
                );
                return Err(UserError::new("host", why).hint(hint.trim_end()));
            }
            Some(entry) if !target.force && !is_ours(entry) => {
                let message =
                    format!("{} has something else that is called pyro: {}", file.display(), text(entry));
                return Err(UserError::new("host", message)
                    .hint("rename that entry, or type the same with --force to replace it"));
            }
            _ => {}
        }
        Ok(Self { target, places, document, old })
    }

    fn starts(&self) -> Option<&Starts> {
        match &self.old {
            Some(Entry::Starts(starts)) if starts.launch.is_ours() => Some(starts),
            _ => None,
        }
    }

    fn report(&self, outcome: Outcome, after: Option<&Launch>) -> Report {
        let TargetArgs { host, scope, dry_run, force: _ } = *self.target;
        Report {
            host: host.id(),
            scope,
            file: self.document.path().into(),
            outcome,
            dry_run,
            before: self.old.as_ref().map(text),
            after: after.map(ToString::to_string),
            backup: None,
            notes: Vec::new(),
        }
    }

    /// Claude Code's own state, which it alone writes.
    fn is_claudes(&self) -> bool {
        self.target.host == Host::ClaudeCode && self.target.scope == Scope::User
    }

    /// How the entry gets there; nothing is touched yet.
    fn plan(&self, launch: &Launch) -> Result<Change, UserError> {
        let host = self.target.host;
        let fail = |error| failed(host, error);
        if self.is_claudes() {
            let old = claude::users(&self.document).map_err(fail)?;
            // Of an entry that is not ours nothing is kept.
            let entry = claude::merged(self.starts().and(old.as_ref()), launch);
            let program = self.program(&claude::add_words(&entry))?;
            return Ok(Change::Claude { program, old, entry: Some(entry) });
        }
        let fresh = self.starts().is_none() && self.old.is_some();
        let bare = fresh.then(|| host.unset(&self.document)).transpose().map_err(fail)?;
        let before = bare.as_deref().unwrap_or(self.document.text());
        Ok(Change::File(host.set(&self.document, before, launch).map_err(fail)?))
    }

    /// How it goes.
    fn plan_removal(&self) -> Result<Change, UserError> {
        if self.is_claudes() {
            let program = self.program(&claude::remove_words())?;
            return Ok(Change::Claude { program, old: None, entry: None });
        }
        let after = self.target.host.unset(&self.document);
        Ok(Change::File(after.map_err(|error| failed(self.target.host, error))?))
    }

    /// Does it; what was there before is in the backup.
    fn apply(&self, change: Change) -> Result<Option<PathBuf>, UserError> {
        let done = match change {
            Change::File(after) => {
                self.document.write(&after).map_err(HostError::from).map(|written| match written {
                    Written::Changed { backup } => Some(backup),
                    Written::Created | Written::Unchanged => None,
                })
            }
            Change::Claude { program, old, entry } => {
                self.document.back_up().map_err(HostError::from).and_then(|backup| {
                    match entry {
                        Some(entry) => claude::add(&program, old.as_ref(), &entry)?,
                        None => claude::remove(&program)?,
                    }
                    Ok(backup)
                })
            }
        };
        done.map_err(|error| failed(self.target.host, error))
    }

    /// The host's program, or what to type where it is.
    fn program(&self, words: &[String]) -> Result<PathBuf, UserError> {
        let host = self.target.host;
        self.places.program(host).ok_or_else(|| {
            let words = std::iter::once(host.program()).chain(words.iter().map(String::as_str));
            let typed = shlex::try_join(words).unwrap_or_default();
            let message = format!("{} is not on PATH, and its configuration is its own", host.program());
            UserError::new("host_missing", message).hint(format!("install it, or type where it is: {typed}"))
        })
    }
}

fn is_ours(entry: &Entry) -> bool {
    matches!(entry, Entry::Starts(starts) if starts.launch.is_ours())
}

fn text(entry: &Entry) -> String {
    match entry {
        Entry::Starts(starts) => starts.launch.to_string(),
        Entry::Foreign(what) | Entry::Plugin(what) | Entry::Unparsable(what) => what.clone(),
    }
}

impl Report {
    fn show(&self, context: &Context) -> Result<Exit, UserError> {
        context.out.result(self, || {
            let done = match self.outcome {
                Outcome::Connected => "connected",
                Outcome::Changed => "changed",
                Outcome::Disconnected => "disconnected",
                Outcome::Unchanged => "unchanged",
            };
            let would = if self.dry_run && self.outcome != Outcome::Unchanged { "would be " } else { "" };
            let mut text = format!("{}: {would}{done}, {}\n", self.host, self.file.display());
            if self.outcome != Outcome::Unchanged {
                for (sign, line) in [('-', &self.before), ('+', &self.after)] {
                    let _ = line.as_ref().map(|line| writeln!(text, "{sign} {line}"));
                }
            }
            if let Some(backup) = &self.backup {
                let _ = writeln!(text, "backup: {}", backup.display());
            }
            text
        })?;
        if !context.out.is_json() {
            self.notes.iter().for_each(|note| context.out.note(format_args!("note: {note}")));
        }
        Ok(Exit::Done)
    }
}
