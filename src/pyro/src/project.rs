//! Where the files of a server's workspaces come from, if a call does not say.

use crate::error::UserError;
use crate::explain::seed_error;
use crate::mcp::args::ServeArgs;
use pyro_workspace::{OriginKind, Seed};
use std::env;
use std::fmt;
use std::path::{Path, PathBuf};

/// The source, found at the start and read when a workspace is made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// None: workspaces begin empty.
    None,
    /// A directory that the user named, or the checkout that the server was started in.
    Directory(PathBuf),
}

impl Source {
    /// What the arguments say, else the checkout around the current directory.
    ///
    /// # Errors
    /// When it cannot be.
    pub fn find(args: &ServeArgs) -> Result<Self, UserError> {
        if args.no_project_source {
            return Ok(Self::None);
        }
        if args.repo_url.is_some() {
            return Err(UserError::new("unsupported", "this is being built"));
        }
        if let Some(path) = &args.project_path {
            return Ok(Self::Directory(path.clone()));
        }
        let here = env::current_dir().ok();
        let root = here.as_deref().and_then(|here| here.ancestors().find(|it| it.join(".git").exists()));
        Ok(root.map_or(Self::None, |root| Self::Directory(root.into())))
    }

    /// The directory of this host, if it is one.
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Self::None => None,
            Self::Directory(path) => Some(path),
        }
    }

    /// Its files; none if there is no source.
    ///
    /// # Errors
    /// When they cannot be had.
    pub fn seed(&self) -> Result<Option<Seed>, UserError> {
        let Self::Directory(path) = self else { return Ok(None) };
        let seed = Seed::of(path).map_err(|error| seed_error(&error))?;
        Ok(Some(seed.named_by(OriginKind::ProjectPath, path.display().to_string())))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => out.write_str("nowhere: there is no project"),
            Self::Directory(path) => path.display().fmt(out),
        }
    }
}
