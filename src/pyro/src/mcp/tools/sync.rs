//! `workspace_sync_push`.

use super::super::tool::{About, Answer, Call, Operation, Reach};
use super::create::skipped;
use crate::error::UserError;
use crate::explain::{place, push_error, seed_error};
use pyro_workspace::Seed;
use pyro_workspace::live::{WORKSPACE, push};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

/// Arguments of `workspace_sync_push`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SyncPush {
    workspace_id: String,
    /// Host directory or tar.
    source: String,
    /// Default /workspace.
    dest: Option<String>,
}

impl Operation for SyncPush {
    const ABOUT: About = About {
        name: "workspace_sync_push",
        text: "Copy a directory or tar of the host into a workspace; files of the same name are replaced.",
        reach: Reach::WorkspaceOnce,
        output: Some(
            r#"{"type":"object","properties":{"entries":{"type":"integer"},"bytes":{"type":"integer"}},"required":["entries","bytes"]}"#,
        ),
        example: r#"{"workspace_id":"ID","source":"/absolute/path"}"#,
        up_front: false,
    };

    fn run(self, call: &Call<'_>) -> Result<Answer, UserError> {
        let dest = place(self.dest.as_deref().unwrap_or(WORKSPACE).as_ref())?;
        let source = call.session.host_path(&self.source);
        call.live(&self.workspace_id, |live| {
            let seed = Seed::of(&source).map_err(|error| seed_error(&error))?;
            let pushed = push(live, &seed, &dest).map_err(|error| push_error(live, &error))?;
            Ok(Answer::Record(json!({
                "workspace_id": live.directory().id(),
                "dest": dest.to_string(),
                "entries": pushed.facts.entries,
                "bytes": pushed.facts.bytes,
                "skipped": skipped(pushed.skipped),
                "execution_mode": live.record().execution_mode.as_str(),
            })))
        })
    }
}
