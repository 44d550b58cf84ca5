//! `workspace_commit`.

use super::super::tool::{About, Answer, Call, Operation, Reach};
use super::record::record;
use crate::catalog::Environment;
use crate::error::UserError;
use crate::explain::snapshot_error;
use pyro_workspace::snapshot::commit_image;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

/// Arguments of `workspace_commit`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    workspace_id: String,
    /// E.g. mine:1; then usable as environment.
    tag: String,
}

impl Operation for Commit {
    const ABOUT: About = About {
        name: "workspace_commit",
        text: "Make an image of a workspace, for workspace_create.",
        reach: Reach::WorkspaceOnce,
        output: Some(
            r#"{"type":"object","properties":{"environment":{"type":"string"}},"required":["environment"]}"#,
        ),
        example: r#"{"workspace_id":"ID","tag":"mine:1"}"#,
        up_front: false,
    };

    fn run(self, call: &Call<'_>) -> Result<Answer, UserError> {
        let environment = Environment::parse(&self.tag).map_err(UserError::usage)?;
        let (home, directory) = call.find(&self.workspace_id)?;
        let image = commit_image(&home, &directory, environment.local(), call.until())
            .map_err(|error| snapshot_error(&error))?;
        Ok(Answer::Record(json!({
            "workspace_id": directory.id(),
            "execution_mode": record(&directory)?.execution_mode.as_str(),
            "environment": environment.to_string(),
            "layers": image.layers.len(),
            "bytes": image.size(),
        })))
    }
}
