//! `snapshot_create`, `snapshot_list`, `snapshot_delete`.

use super::super::tool::{About, Answer, Call, Operation, Reach};
use super::record::record;
use crate::error::UserError;
use crate::explain::snapshot_error;
use pyro_workspace::snapshot::{create_snapshot, delete_snapshot};
use pyro_workspace::{Name, SnapshotRecord};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// How many files that no layer can hold are named.
const SKIPPED_NAMED: usize = 5;

fn shown(record: &SnapshotRecord) -> Value {
    json!({ "name": record.name, "created_at": record.created_at, "bytes": record.bytes })
}

fn name(text: &str) -> Result<Name, UserError> {
    text.parse().map_err(UserError::usage)
}

/// Arguments of `snapshot_create`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Create {
    workspace_id: String,
    name: String,
}

impl Operation for Create {
    const ABOUT: About = About {
        name: "snapshot_create",
        text: "Keep the files of a workspace as they are now under a name, for workspace_reset, workspace_diff and workspace_fork.",
        reach: Reach::Workspace,
        output: Some(
            r#"{"type":"object","properties":{"name":{"type":"string"},"bytes":{"type":"integer"}},"required":["name"]}"#,
        ),
        example: r#"{"workspace_id":"ID","name":"before"}"#,
        up_front: false,
    };

    fn run(self, call: &Call<'_>) -> Result<Answer, UserError> {
        let name = name(&self.name)?;
        let (home, directory) = call.find(&self.workspace_id)?;
        let made = create_snapshot(&home, &directory, &name, call.until())
            .map_err(|error| snapshot_error(&error))?;
        let mut value = shown(&made.snapshot);
        value["workspace_id"] = json!(directory.id());
        value["execution_mode"] = json!(record(&directory)?.execution_mode.as_str());
        if !made.skipped.is_empty() {
            value["skipped"] = json!(made.skipped.len());
            value["skipped_first"] = json!(made.skipped.iter().take(SKIPPED_NAMED).collect::<Vec<_>>());
        }
        Ok(Answer::Record(value))
    }
}

/// Arguments of `snapshot_list`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct List {
    workspace_id: String,
}

impl Operation for List {
    const ABOUT: About = About {
        name: "snapshot_list",
        text: "List the snapshots of a workspace.",
        reach: Reach::Look,
        output: Some(
            r#"{"type":"object","properties":{"snapshots":{"type":"array","items":{"type":"object"}}},"required":["snapshots"]}"#,
        ),
        example: r#"{"workspace_id":"ID"}"#,
        up_front: false,
    };

    fn run(self, call: &Call<'_>) -> Result<Answer, UserError> {
        let (_, directory) = call.find(&self.workspace_id)?;
        let record = record(&directory)?;
        let all: Vec<Value> = record.snapshots.iter().map(shown).collect();
        Ok(Answer::Record(json!({
            "workspace_id": record.id,
            "execution_mode": record.execution_mode.as_str(),
            "snapshots": all,
        })))
    }
}

/// Arguments of `snapshot_delete`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Delete {
    workspace_id: String,
    name: String,
}

impl Operation for Delete {
    const ABOUT: About = About {
        name: "snapshot_delete",
        text: "Forget a snapshot; what others build on stays.",
        reach: Reach::WorkspaceOnce,
        output: Some(
            r#"{"type":"object","properties":{"name":{"type":"string"},"deleted":{"type":"boolean"}},"required":["name","deleted"]}"#,
        ),
        example: r#"{"workspace_id":"ID","name":"before"}"#,
        up_front: false,
    };

    fn run(self, call: &Call<'_>) -> Result<Answer, UserError> {
        let name = name(&self.name)?;
        let (home, directory) = call.find(&self.workspace_id)?;
        delete_snapshot(&home, &directory, &name).map_err(|error| snapshot_error(&error))?;
        Ok(Answer::Record(json!({
            "workspace_id": directory.id(),
            "execution_mode": record(&directory)?.execution_mode.as_str(),
            "name": name,
            "deleted": true,
        })))
    }
}
