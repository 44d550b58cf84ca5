//! `workspace_start` and `workspace_stop`.

use super::super::tool::{About, Answer, Call, Operation, Reach};
use super::record::{WORKSPACE, workspace};
use crate::error::UserError;
use crate::explain::lifecycle_error;
use crate::start::{claim_stopped, start_again};
use pyro_workspace::stop;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

/// Arguments of `workspace_start`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Start {
    workspace_id: String,
}

impl Operation for Start {
    const ABOUT: About = About {
        name: "workspace_start",
        text: "Boot a stopped or crashed workspace; its files are as they were.",
        reach: Reach::WorkspaceOnce,
        output: Some(WORKSPACE),
        example: r#"{"workspace_id":"ID"}"#,
        up_front: false,
    };

    fn run(self, call: &Call<'_>) -> Result<Answer, UserError> {
        let (home, directory) = call.find(&self.workspace_id)?;
        if let Some(stopped) = claim_stopped(&directory)? {
            call.phase.is("booting the machine");
            start_again(&home, stopped, call.until())?;
        }
        workspace(directory, json!({}))
    }
}

/// Arguments of `workspace_stop`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    workspace_id: String,
}

impl Operation for Stop {
    const ABOUT: About = About {
        name: "workspace_stop",
        text: "Write everything to disk and end the machine; files stay, processes do not.",
        reach: Reach::WorkspaceOnce,
        output: Some(WORKSPACE),
        example: r#"{"workspace_id":"ID"}"#,
        up_front: false,
    };

    fn run(self, call: &Call<'_>) -> Result<Answer, UserError> {
        let (_, directory) = call.find(&self.workspace_id)?;
        stop(&directory).map_err(|error| lifecycle_error(&error))?;
        workspace(directory, json!({}))
    }
}
