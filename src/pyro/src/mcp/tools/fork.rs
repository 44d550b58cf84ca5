//! `workspace_fork`.

use super::super::tool::{About, Answer, Call, Operation, Reach};
use super::record::{WORKSPACE, name, workspace};
use crate::error::UserError;
use crate::explain::reset_error;
use pyro_workspace::fork;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

/// Arguments of `workspace_fork`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fork {
    workspace_id: String,
    /// Default: as it is now.
    snapshot: Option<String>,
    /// Unique name of the new one.
    name: Option<String>,
}

impl Operation for Fork {
    const ABOUT: About = About {
        name: "workspace_fork",
        text: "Make a new workspace with the files of another, as they are now or at a snapshot.",
        reach: Reach::Workspace,
        output: Some(WORKSPACE),
        example: r#"{"workspace_id":"ID"}"#,
        up_front: false,
    };

    fn run(self, call: &Call<'_>) -> Result<Answer, UserError> {
        let (snapshot, name) = (name(self.snapshot)?, name(self.name)?);
        let (home, directory) = call.find(&self.workspace_id)?;
        call.phase.is("booting the machine");
        let booted = fork(&home, &directory, snapshot.as_ref(), name, call.until())
            .map_err(|error| reset_error(&error))?;
        workspace(booted.directory, json!({ "forked_from": directory.id() }))
    }
}
