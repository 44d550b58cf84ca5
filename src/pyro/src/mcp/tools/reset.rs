//! `workspace_reset`.

use super::super::tool::{About, Answer, Call, Operation, Reach};
use super::record::{WORKSPACE, name, workspace};
use crate::error::UserError;
use crate::explain::reset_error;
use pyro_workspace::snapshot::BASELINE;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

/// Arguments of `workspace_reset`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reset {
    workspace_id: String,
    /// Default baseline.
    snapshot: Option<String>,
}

impl Operation for Reset {
    const ABOUT: About = About {
        name: "workspace_reset",
        text: "Throw away all changes and the command history of a workspace, and boot it as it was created.",
        reach: Reach::WorkspaceOnce,
        output: Some(WORKSPACE),
        example: r#"{"workspace_id":"ID"}"#,
        up_front: false,
    };

    fn run(self, call: &Call<'_>) -> Result<Answer, UserError> {
        let snapshot = name(self.snapshot)?;
        let (home, directory) = call.find(&self.workspace_id)?;
        call.phase.is("booting the machine");
        let booted = pyro_workspace::reset(&home, &directory, snapshot.as_ref(), call.until())
            .map_err(|error| reset_error(&error))?;
        let to = snapshot.as_ref().map_or(BASELINE, |name| name.as_str());
        workspace(booted.directory, json!({ "reset_to": to }))
    }
}
