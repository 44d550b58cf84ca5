//! What `pyro mcp serve` is told. `pyro host` takes the same and stores it.

use clap::ValueEnum;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Arguments of `pyro mcp serve`.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct ServeArgs {
    /// Serve the tools of this mode (`pyro mode list`)
    #[arg(long, value_name = "MODE", conflicts_with = "profile")]
    pub mode: Option<String>,
    /// Serve this set of tools [default: workspace-core]
    #[arg(long, value_enum)]
    pub profile: Option<Profile>,
    /// Seed workspaces from this checkout or directory [default: PYRO_PROJECT_PATH, else the checkout that
    /// the host is in]
    // Not by clap, for which a variable would be at odds with the two flags below.
    #[arg(long, value_name = "DIR", group = "source")]
    pub project_path: Option<PathBuf>,
    /// Seed workspaces from a clean clone of this repository
    #[arg(long, value_name = "URL", group = "source")]
    pub repo_url: Option<String>,
    /// Branch, tag or commit of the clone [default: the repository's own]
    #[arg(long, value_name = "REF", requires = "repo_url")]
    pub repo_ref: Option<String>,
    /// Workspaces begin empty unless a call names a source
    #[arg(long, group = "source")]
    pub no_project_source: bool,
    /// Environment where a call names none [default: the mode's]
    #[arg(long, env = "PYRO_ENVIRONMENT", value_name = "ENV", hide_env_values = true)]
    pub environment: Option<String>,
    /// Where no microVM boots, use namespaces of this host's kernel instead
    #[arg(long)]
    pub allow_host_compat: bool,
    /// Serve streamable HTTP at this loopback address instead of stdin and stdout
    #[arg(long, value_name = "ADDR")]
    pub http: Option<SocketAddr>,
}

/// A fixed set of tools, for hosts that want no mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    /// One command in a machine that goes with it
    VmRun,
    /// Workspaces: the everyday tools
    #[default]
    WorkspaceCore,
    /// Every tool
    WorkspaceFull,
}

impl fmt::Display for Profile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        out.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}
