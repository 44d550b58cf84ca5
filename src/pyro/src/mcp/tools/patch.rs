//! `workspace_patch_apply`.

use super::super::tool::{About, Answer, Call, Operation, Reach};
use crate::error::UserError;
use crate::explain::patch_error;
use pyro_workspace::live::{Carry, PatchedFile, patch};
use pyro_workspace::patch::display_path;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// How many files are named; the rest is counted.
const NAMED_MAX: usize = 50;

/// Arguments of `workspace_patch_apply`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    workspace_id: String,
    /// Unified diff, as `git diff` or `diff -u` write it.
    patch: String,
    /// Only see whether it fits.
    check: Option<bool>,
}

impl Operation for Apply {
    const ABOUT: About = About {
        name: "workspace_patch_apply",
        text: "Edit files under /workspace by a unified diff: add, change, delete, rename. All or nothing; paths are relative to /workspace.",
        reach: Reach::Workspace,
        output: Some(
            r#"{"type":"object","properties":{"applied":{"type":"boolean"},"files":{"type":"array"}},"required":["applied"]}"#,
        ),
        example: r#"{"workspace_id":"ID","patch":"--- a/file\n+++ b/file\n@@ -1 +1 @@\n-old\n+new\n"}"#,
        up_front: true,
    };

    fn run(self, call: &Call<'_>) -> Result<Answer, UserError> {
        let carry = if self.check == Some(true) { Carry::Nothing } else { Carry::Out };
        call.live(&self.workspace_id, |live| {
            let patched =
                patch(live, self.patch.as_bytes(), carry).map_err(|error| patch_error(live, &error))?;
            let files: Vec<Value> = patched.files.iter().take(NAMED_MAX).map(file).collect();
            let lines = patched.lines();
            Ok(Answer::Record(json!({
                "workspace_id": live.directory().id(),
                "applied": carry == Carry::Out,
                "files": files,
                "not_shown": patched.files.len() - files.len(),
                "insertions": lines.added,
                "deletions": lines.removed,
                "execution_mode": live.record().execution_mode.as_str(),
            })))
        })
    }
}

fn file(file: &PatchedFile) -> Value {
    let mut value = json!({ "path": display_path(&file.path), "status": file.status });
    if let Some(from) = &file.from {
        value["from"] = json!(from);
    }
    value
}
