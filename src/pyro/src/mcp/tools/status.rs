//! `workspace_status`.

use super::super::tool::{About, Answer, Call, Operation, Reach};
use super::record::{Full, WORKSPACE};
use crate::error::UserError;
use crate::explain::workspace_error;
use pyro_workspace::Overview;
use schemars::JsonSchema;
use serde::Deserialize;

/// Arguments of `workspace_status`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Status {
    workspace_id: String,
}

impl Operation for Status {
    const ABOUT: About = About {
        name: "workspace_status",
        text: "State, resources, origin of the files and expiry of a workspace.",
        reach: Reach::Look,
        output: Some(WORKSPACE),
        example: r#"{"workspace_id":"ID"}"#,
        up_front: false,
    };

    fn run(self, call: &Call<'_>) -> Result<Answer, UserError> {
        let (_, directory) = call.find(&self.workspace_id)?;
        let overview = Overview::of(directory).map_err(|error| workspace_error(&error))?;
        Answer::record(&Full::of(&overview))
    }
}
