//! `pyro workspace patch`.

use super::super::context::Context;
use super::Addressed;
use super::live::on;
use crate::error::UserError;
use crate::exit::Exit;
use crate::explain::patch_error;
use pyro_workspace::live::{Carry, Patched, patch};
use pyro_workspace::patch::{PATCH_MAX, display_path};
use serde::Serialize;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Arguments of `pyro workspace patch`.
#[derive(Debug, clap::Args)]
pub struct PatchArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Apply a patch to the files in /workspace: all of it, or nothing
    Apply(ApplyArgs),
}

/// Arguments of `pyro workspace patch apply`.
#[derive(Debug, clap::Args)]
struct ApplyArgs {
    #[command(flatten)]
    workspace: Addressed,
    /// The patch: of git, or any unified one
    #[arg(long, value_name = "T", required_unless_present = "patch_file", allow_hyphen_values = true)]
    patch: Option<String>,
    /// A file with the patch; `-` reads standard input
    #[arg(long, value_name = "F", conflicts_with = "patch")]
    patch_file: Option<PathBuf>,
    /// Only see whether it fits
    #[arg(long)]
    check: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
pub struct Report<'a> {
    applied: bool,
    #[serde(flatten)]
    patched: &'a Patched,
}

impl<'a> Report<'a> {
    /// Of what was done, or would be.
    pub fn of(patched: &'a Patched, carry: Carry) -> Self {
        Self { applied: carry == Carry::Out, patched }
    }

    /// A line for each file.
    pub fn text(&self) -> String {
        let line = |file: &pyro_workspace::live::PatchedFile| {
            let path = display_path(&file.path);
            let from = file.from.as_ref().map(|from| format!("{from} => ")).unwrap_or_default();
            format!(
                "{:<9} {from}{path} (+{} -{})\n",
                file.status.as_str(),
                file.lines.added,
                file.lines.removed
            )
        };
        self.patched.files.iter().map(line).collect()
    }

    /// What is said of it in one line.
    pub fn sum(&self) -> String {
        let (files, lines) = (self.patched.files.len(), self.patched.lines());
        let Self { applied, .. } = self;
        format!("applied={applied} files={files} insertions={} deletions={}", lines.added, lines.removed)
    }
}

/// Whether something is carried out.
pub const fn carry(check: bool) -> Carry {
    if check { Carry::Nothing } else { Carry::Out }
}

/// Runs `pyro workspace patch`.
pub fn run(context: &Context, args: PatchArgs) -> Result<Exit, UserError> {
    let Verb::Apply(args) = args.verb;
    let text = match (args.patch, &args.patch_file) {
        (Some(text), _) => text.into_bytes(),
        (None, file) => read(file.as_deref().unwrap_or(Path::new("-")))?,
    };
    let carry = carry(args.check);
    let done = on(context, &args.workspace, |live| {
        patch(live, &text, carry).map_err(|error| patch_error(live, &error))
    })?;
    let report = Report::of(&done.result, carry);
    context.out.result(&done.report(&report), || report.text())?;
    done.sum_up(context, "patch apply", report.sum());
    Ok(Exit::Done)
}

/// All of a file, or of standard input, as long as it can be a patch.
fn read(path: &Path) -> Result<Vec<u8>, UserError> {
    let mut bytes = Vec::new();
    let limit = PATCH_MAX as u64 + 1;
    let read = if path == Path::new("-") {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|error| {
        UserError::new("input", format_args!("{}: {error}", path.display())).hint("see that it can be read")
    })?;
    Ok(bytes)
}
