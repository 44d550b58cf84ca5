//! What became of the project that workspaces are seeded with.

use super::seed_error;
use crate::error::UserError;
use crate::project::ProjectError;
use pyro_workspace::RepositoryError;

/// Why there are no files of it, with the next step.
pub fn project_error(error: &ProjectError) -> UserError {
    let hint = match error {
        ProjectError::Seed(error) => return seed_error(error),
        ProjectError::Repository(error) => return repository_error(error),
        ProjectError::Template { .. } => "give --project-path with the directory itself",
        ProjectError::Path { .. } => {
            "start the server with --project-path DIR, or with --no-project-source for empty workspaces"
        }
    };
    UserError::new("project", error).hint(hint)
}

/// Why there is no clone, with the next step.
pub fn repository_error(error: &RepositoryError) -> UserError {
    let hint = match error {
        RepositoryError::Address { .. } => {
            "give --repo-url as https://…, ssh://…, git@host:path or /path".into()
        }
        RepositoryError::Name(_) => "give --repo-ref as a branch, a tag or a whole commit".into(),
        RepositoryError::Missing { address, .. } => {
            format!("git ls-remote {address} lists what there is; a commit needs all of its digits")
        }
        RepositoryError::Start(_) => "install git".into(),
        RepositoryError::Refused { address, .. } => {
            format!("git ls-remote {address} must work without asking: see git help credentials")
        }
        RepositoryError::Slow { address, .. } => {
            format!("git ls-remote {address} shows whether it can be reached")
        }
        RepositoryError::Cancelled => return UserError::new("interrupted", error),
        RepositoryError::Cache { .. } => "pyro doctor checks the state directory".into(),
    };
    UserError::new("repository", error).hint(hint)
}
