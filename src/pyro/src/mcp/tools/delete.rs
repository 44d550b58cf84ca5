//! `workspace_delete`.

use super::super::tool::{About, Answer, Call, Operation, Reach};
use super::record::record;
use crate::error::UserError;
use crate::explain::lifecycle_error;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

/// Arguments of `workspace_delete`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Delete {
    workspace_id: String,
}

impl Operation for Delete {
    const ABOUT: About = About {
        name: "workspace_delete",
        text: "Delete a workspace and all that is in it; the host's files are untouched.",
        reach: Reach::WorkspaceOnce,
        output: Some(
            r#"{"type":"object","properties":{"deleted":{"type":"boolean"}},"required":["deleted"]}"#,
        ),
        example: r#"{"workspace_id":"ID"}"#,
        up_front: false,
    };

    fn run(self, call: &Call<'_>) -> Result<Answer, UserError> {
        let (_, directory) = call.find(&self.workspace_id)?;
        let mode = record(&directory)?.execution_mode.as_str();
        pyro_workspace::delete(&directory).map_err(|error| lifecycle_error(&error))?;
        Ok(Answer::Record(json!({
            "workspace_id": directory.id().as_str(),
            "execution_mode": mode,
            "deleted": true,
        })))
    }
}
