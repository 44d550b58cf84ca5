//! `workspace_update`.

use super::super::tool::{About, Answer, Call, Operation, Reach, within};
use super::record::{WORKSPACE, labels, name, workspace};
use crate::config::SECONDS_MAX;
use crate::error::UserError;
use crate::explain::workspace_error;
use pyro_workspace::{Update as Change, update};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

/// Arguments of `workspace_update`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Update {
    workspace_id: String,
    /// "" removes it.
    name: Option<String>,
    /// Set; "" removes one.
    labels: Option<BTreeMap<String, String>>,
    ttl_seconds: Option<u64>,
}

impl Operation for Update {
    const ABOUT: About = About {
        name: "workspace_update",
        text: "Change name, labels or time to live of a workspace.",
        reach: Reach::WorkspaceOnce,
        output: Some(WORKSPACE),
        example: r#"{"workspace_id":"ID","ttl_seconds":3600}"#,
        up_front: false,
    };

    fn run(self, call: &Call<'_>) -> Result<Answer, UserError> {
        let ttl_seconds =
            self.ttl_seconds.map(|it| within("ttl_seconds", it, 1..=SECONDS_MAX)).transpose()?;
        let (cleared, set): (BTreeMap<_, _>, _) =
            self.labels.unwrap_or_default().into_iter().partition(|(_, value)| value.is_empty());
        let change = Change {
            name: match self.name {
                Some(text) if text.is_empty() => Some(None),
                text => name(text)?.map(Some),
            },
            labels: labels(Some(set))?,
            clear_labels: labels(Some(cleared))?.into_keys().collect(),
            ttl_seconds,
        };
        let (home, directory) = call.find(&self.workspace_id)?;
        update(&home, &directory, &change).map_err(|error| workspace_error(&error))?;
        workspace(directory, json!({}))
    }
}
