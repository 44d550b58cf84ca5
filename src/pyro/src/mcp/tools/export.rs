//! `workspace_export`.

use super::super::tool::{About, Answer, Call, Operation, Reach};
use super::create::skipped;
use crate::error::UserError;
use crate::explain::{export_error, place};
use pyro_workspace::live::{self, export};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

/// Arguments of `workspace_export`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Export {
    workspace_id: String,
    /// Under /workspace; "." is all.
    path: String,
    /// Absolute host path.
    output: String,
    /// patch: what has changed there.
    format: Option<Format>,
}

/// What is written.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Format {
    Files,
    Tar,
    Patch,
}

impl Operation for Export {
    const ABOUT: About = About {
        name: "workspace_export",
        text: "Write files of a workspace, or what has changed in them as a patch, to a new path on the host.",
        reach: Reach::Host,
        output: Some(
            r#"{"type":"object","properties":{"output":{"type":"string"},"entries":{"type":"integer"},"bytes":{"type":"integer"}},"required":["output","entries","bytes"]}"#,
        ),
        example: r#"{"workspace_id":"ID","path":".","output":"/tmp/fix.patch","format":"patch"}"#,
        up_front: false,
    };

    fn run(self, call: &Call<'_>) -> Result<Answer, UserError> {
        let place = place(self.path.as_ref())?;
        let output = call.session.host_path(&self.output);
        let format = match self.format {
            None | Some(Format::Files) => live::Format::Files,
            Some(Format::Tar) => live::Format::Tar,
            Some(Format::Patch) => live::Format::Patch,
        };
        call.live(&self.workspace_id, |live| {
            let exported =
                export(live, &place, &output, format).map_err(|error| export_error(live, &error))?;
            let mut value = json!({
                "workspace_id": live.directory().id(),
                "path": place.to_string(),
                "output": output.to_string_lossy(),
                "format": format,
                "entries": exported.entries,
                "bytes": exported.bytes,
                "skipped": exported.skipped_count,
                "execution_mode": live.record().execution_mode.as_str(),
            });
            if exported.skipped_count > 0 {
                value["skipped_first"] = json!(skipped(exported.skipped));
            }
            if exported.has_repository {
                value["note"] =
                    json!("hooks and configuration in its .git are the workspace's: look at them before git is used there");
            }
            Ok(Answer::Record(value))
        })
    }
}
