//! A workspace as a record: what a model goes on with, and no more.

use super::super::tool::Answer;
use crate::catalog::display_name;
use crate::error::UserError;
use crate::explain::workspace_error;
use crate::view::{SOON, Seed};
use jiff::Timestamp;
use pyro_workspace::{Directory, Name, Overview, Record};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Schema of a workspace's record: the parts that a caller goes on with.
pub const WORKSPACE: &str = r#"{"type":"object","properties":{"workspace_id":{"type":"string"},"state":{"type":"string"}},"required":["workspace_id"]}"#;

/// A workspace, briefly.
#[derive(Serialize)]
pub struct Brief {
    workspace_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<Name, String>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    environment: String,
    execution_mode: &'static str,
    idle_seconds: i64,
    expires_in_seconds: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

impl Brief {
    /// Of a workspace as it is now.
    pub fn of(overview: &Overview) -> Self {
        let Overview { record, last_activity, expires_at, .. } = overview;
        let until_then = expires_at.duration_since(Timestamp::now());
        let left = until_then.as_secs().max(0);
        let warning = (until_then < SOON).then(|| {
            format!(
                "deleted in {left} s unless it is used; workspace_update with ttl_seconds gives it more time"
            )
        });
        Self {
            workspace_id: record.id.to_string(),
            name: record.name.as_ref().map(ToString::to_string),
            labels: record.labels.clone(),
            state: record.state.as_str(),
            reason: record.state.reason().map(str::to_owned),
            environment: display_name(&record.environment),
            execution_mode: record.execution_mode.as_str(),
            idle_seconds: Timestamp::now().duration_since(*last_activity).as_secs().max(0),
            expires_in_seconds: left,
            warning,
        }
    }
}

/// Everything about a workspace.
#[derive(Serialize)]
pub struct Full {
    #[serde(flatten)]
    brief: Brief,
    vcpu_count: u8,
    mem_mib: u32,
    disk_mib: u32,
    network_policy: &'static str,
    ttl_seconds: u64,
    workspace_seed: Seed,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    snapshots: Vec<String>,
}

impl Full {
    /// Of a workspace as it is now.
    pub fn of(overview: &Overview) -> Self {
        let record = &overview.record;
        Self {
            brief: Brief::of(overview),
            vcpu_count: record.resources.vcpu_count,
            mem_mib: record.resources.mem_mib,
            disk_mib: record.resources.disk_mib,
            network_policy: "off",
            ttl_seconds: record.ttl_seconds,
            workspace_seed: Seed::of(record),
            snapshots: record.snapshots.iter().map(|it| it.name.to_string()).collect(),
        }
    }
}

/// The workspace, with `more` beside what is said of every one.
///
/// # Errors
/// When it is gone.
pub fn workspace(directory: Directory, more: Value) -> Result<Answer, UserError> {
    let overview = Overview::of(directory).map_err(|error| workspace_error(&error))?;
    let mut value = json!(Brief::of(&overview));
    if let (Some(record), Value::Object(more)) = (value.as_object_mut(), more) {
        record.extend(more);
    }
    Ok(Answer::Record(value))
}

/// The record of a workspace.
///
/// # Errors
/// When it cannot be read.
pub fn record(directory: &Directory) -> Result<Record, UserError> {
    directory.record().map_err(|error| workspace_error(&error))
}

/// A name that a call gives.
///
/// # Errors
/// When it cannot be one.
pub fn name(text: Option<String>) -> Result<Option<Name>, UserError> {
    text.map(|text| text.parse().map_err(UserError::usage)).transpose()
}

/// Labels that a call gives.
///
/// # Errors
/// When one cannot be.
pub fn labels(given: Option<BTreeMap<String, String>>) -> Result<BTreeMap<Name, String>, UserError> {
    let label = |(key, value): (String, String)| crate::label::label(&key, &value).map_err(UserError::usage);
    given.unwrap_or_default().into_iter().map(label).collect()
}
