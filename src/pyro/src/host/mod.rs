//! Chat programs that start `pyro mcp serve`: where they keep their configuration, what stands in it under pyro's
//! name, what should, and how to put it there.
//!
//! Invariants: what is not pyro's is never changed; nothing is remembered on the side, what should stand there
//! follows from this program, the state directory, and the choices that stand there already.

pub mod check;
pub mod claude;
mod codex;
pub mod edit;
mod json;
pub mod launch;
mod opencode;
pub mod places;
pub mod state;

use edit::{Document, EditError};
use launch::{Launch, LaunchError};
use places::Places;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// The name of the server in every host, by which its tools are called.
pub const NAME: &str = "pyro";

/// A chat program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Host {
    /// Anthropic's Claude Code
    ClaudeCode,
    /// OpenAI's Codex
    Codex,
    /// OpenCode
    #[value(name = "opencode")]
    OpenCode,
}

/// Whose configuration an entry is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// The user's: every project
    User,
    /// The project's, which comes with the checkout
    Project,
    /// The user's, for one project
    #[value(skip)]
    Local,
    /// A plugin of the host
    #[value(skip)]
    Plugin,
}

/// What stands under pyro's name at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Whose.
    pub scope: Scope,
    /// Where.
    pub file: PathBuf,
    /// What.
    pub entry: Entry,
}

/// An entry of a host's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It starts a program.
    Starts(Starts),
    /// It is something else, such as a URL.
    Foreign(String),
    /// A plugin of this name brings a server along.
    Plugin(String),
    /// The file makes no sense, and the host ignores or refuses it.
    Unparsable(String),
}

/// An entry that starts a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Starts {
    /// The program.
    pub launch: Launch,
    /// What is set in its environment.
    pub env: BTreeMap<String, String>,
    /// Whether the user has not switched it off.
    pub enabled: bool,
    /// Whether the host asks nobody before it starts it.
    pub approved: bool,
}

/// Why a host's configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A file could not be read, or not be written.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The command cannot be written down.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The host's program refused.
    #[error("{command} failed: {said}")]
    Program {
        /// What was run.
        command: String,
        /// What it said.
        said: String,
    },
}

impl HostError {
    fn unparsable(path: &Path, reason: impl ToString) -> Self {
        Self::Edit(EditError::unparsable(path, reason))
    }
}

impl Host {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ClaudeCode, Self::Codex, Self::OpenCode];

    /// The name that users type.
    pub const fn id(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude-code",
            Self::Codex => "codex",
            Self::OpenCode => "opencode",
        }
    }

    /// Its program.
    pub const fn program(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude",
            Self::Codex => "codex",
            Self::OpenCode => "opencode",
        }
    }

    /// Whether an entry says itself if it is on. Claude Code keeps that elsewhere, by project.
    pub const fn has_switch(self) -> bool {
        !matches!(self, Self::ClaudeCode)
    }

    /// Every entry that the host would see here, the one that wins first.
    ///
    /// # Errors
    /// When a file cannot be read; one that makes no sense is an [`Entry::Unparsable`].
    pub fn find(self, places: &Places) -> Result<Vec<Found>, HostError> {
        match self {
            Self::ClaudeCode => claude::find(places),
            Self::Codex => codex::find(places),
            Self::OpenCode => opencode::find(places),
        }
    }

    /// The file in which the entry of a scope belongs.
    pub fn file(self, places: &Places, scope: Scope) -> PathBuf {
        match self {
            Self::ClaudeCode => claude::file(places, scope),
            Self::Codex => codex::file(places),
            Self::OpenCode => opencode::file(places),
        }
    }

    /// The text of a document, or what became of it, with the entry in it.
    ///
    /// # Errors
    /// [`EditError::Unparsable`] as [`HostError::Edit`].
    pub fn set(self, document: &Document, text: &str, launch: &Launch) -> Result<String, HostError> {
        let path = document.path();
        match self {
            Self::ClaudeCode => claude::set(path, text, launch),
            Self::Codex => codex::set(path, text, launch),
            Self::OpenCode => opencode::set(path, text, launch),
        }
    }

    /// The text of a document without the entry.
    ///
    /// # Errors
    /// As of [`Host::set`].
    pub fn unset(self, document: &Document) -> Result<String, HostError> {
        let (path, text) = (document.path(), document.text());
        match self {
            Self::ClaudeCode => claude::unset(path, text),
            Self::Codex => codex::unset(path, text),
            Self::OpenCode => opencode::unset(path, text),
        }
    }

    /// A whole file with nothing but the entry.
    ///
    /// # Errors
    /// None that happens: an empty document takes an entry.
    pub fn snippet(self, launch: &Launch) -> Result<String, HostError> {
        let nowhere = Path::new("");
        match self {
            Self::ClaudeCode => claude::set(nowhere, "", launch),
            Self::Codex => codex::set(nowhere, "", launch),
            Self::OpenCode => {
                opencode::set(nowhere, "{\n  \"$schema\": \"https://opencode.ai/config.json\"\n}\n", launch)
            }
        }
    }

    /// What the user may want to allow; pyro does not do it for them.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::ClaudeCode => {
                "to let it use every tool of pyro without asking, add to permissions.allow in ~/.claude/settings.json: \"mcp__pyro\""
            }
            Self::Codex => {
                "to let it export to your files without asking, add below [mcp_servers.pyro]: default_tools_approval_mode = \"approve\""
            }
            Self::OpenCode => {
                "to have it ask first, add to its configuration: \"permission\": {\"pyro_*\": \"ask\"}"
            }
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.id())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::User => "user",
            Self::Project => "project",
            Self::Local => "local",
            Self::Plugin => "plugin",
        })
    }
}
