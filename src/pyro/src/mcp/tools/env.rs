//! `env_list`.

use super::super::tool::{About, Answer, Call, Operation, Reach};
use crate::catalog::official;
use crate::error::UserError;
use crate::explain::store_error;
use crate::start::hold;
use pyro_workspace::snapshot::is_snapshot;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// Arguments of `env_list`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct List {}

impl Operation for List {
    const ABOUT: About = About {
        name: "env_list",
        text: "List environments: the official ones, and other images that are installed. workspace_create takes any OCI image.",
        reach: Reach::Look,
        output: Some(
            r#"{"type":"object","properties":{"environments":{"type":"array","items":{"type":"object"}}},"required":["environments"]}"#,
        ),
        example: "{}",
        up_front: false,
    };

    fn run(self, call: &Call<'_>) -> Result<Answer, UserError> {
        let home = call.home()?;
        let _held = hold(&home)?;
        let mut installed = home.store().list().map_err(|error| store_error(&error))?;
        installed.retain(|image| !is_snapshot(&image.reference));
        let mut all: Vec<Value> = Vec::new();
        for entry in official() {
            let environment = entry.environment().map_err(|error| UserError::new("environment", error))?;
            let before = installed.len();
            installed.retain(|image| image.reference != *environment.local());
            let is_installed = installed.len() < before;
            all.push(json!({ "name": entry.name, "about": entry.description, "installed": is_installed }));
        }
        installed.sort_by(|one, other| one.reference.cmp(&other.reference));
        all.extend(installed.iter().map(|it| json!({ "name": it.reference.to_string(), "installed": true })));
        Ok(Answer::Record(json!({ "environments": all })))
    }
}
