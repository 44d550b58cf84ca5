//! `workspace_list`.

use super::super::tool::{About, Answer, Call, Operation, Reach};
use super::record::Brief;
use crate::error::UserError;
use crate::explain::workspace_error;
use pyro_workspace::{list, reap};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

/// Most workspaces that are listed.
const LISTED_MAX: usize = 30;

/// Arguments of `workspace_list`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct List {}

impl Operation for List {
    const ABOUT: About = About {
        name: "workspace_list",
        text: "List the workspaces, the one used last first.",
        reach: Reach::Look,
        output: Some(
            r#"{"type":"object","properties":{"workspaces":{"type":"array"}},"required":["workspaces"]}"#,
        ),
        example: "{}",
        up_front: false,
    };

    fn run(self, call: &Call<'_>) -> Result<Answer, UserError> {
        let home = call.home()?;
        reap(&home);
        let all = list(&home).map_err(|error| workspace_error(&error))?;
        let shown: Vec<Brief> = all.iter().take(LISTED_MAX).map(Brief::of).collect();
        let mut value = json!({ "workspaces": shown });
        if all.len() > shown.len() {
            value["not_shown"] = json!(all.len() - shown.len());
        }
        Ok(Answer::Record(value))
    }
}
