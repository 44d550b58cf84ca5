//! What a model is told when a call fails: what, why, and the exact next call.
//!
//! It begins with `error:`, since some hosts do not mark errors, and names only tools that this server
//! has.

use super::session::{Offered, Session};
use crate::catalog::DEFAULT_ENVIRONMENT;
use crate::error::UserError;
use rmcp::model::JsonObject;
use serde_json::{Value, json};

/// Longest arguments that are said again in a next call; a patch is not.
const REPEATED_MAX: usize = 400;

/// The text for a failed call of `tool`.
pub fn refusal(session: &Session, tool: &Offered, arguments: &JsonObject, error: &UserError) -> String {
    let failed = Failed { session, tool, arguments, error };
    let (remedy, next) = failed.next();
    let message = error.message.trim_end();
    format!("error: {message}{remedy}; call {next}")
}

struct Failed<'a> {
    session: &'a Session,
    tool: &'a Offered,
    arguments: &'a JsonObject,
    error: &'a UserError,
}

impl Failed<'_> {
    /// What has to be done first, if that is no call, and the next call.
    fn next(&self) -> (String, String) {
        let silent = |next| (String::new(), next);
        let listed = || self.first(&["workspace_list", "workspace_create"], &json!({}));
        match self.error.code {
            "not_found" if self.is_about_a_snapshot() => {
                silent(self.of_workspace(&["snapshot_list", "workspace_status"], &[]))
            }
            "not_found" => silent(listed()),
            "no_such_command" => silent(self.of_workspace(&["workspace_logs"], &[])),
            "wrong_state" if self.tool.name().starts_with("workspace_disk") => {
                silent(self.of_workspace(&["workspace_stop", "workspace_status"], &[]))
            }
            "wrong_state" | "machine_lost" | "other_version" => {
                silent(self.of_workspace(&["workspace_start", "workspace_reset", "workspace_delete"], &[]))
            }
            "name_taken" => {
                let name = self.text("name").unwrap_or("work");
                silent(self.again(&[("name", json!(format!("{name}-2")))]))
            }
            "no_such_file" | "refused" | "path" => {
                silent(self.of_workspace(&["workspace_disk_list", "workspace_file_list"], &[]))
            }
            "patch_does_not_fit" => {
                let files = self.error.details.as_ref().and_then(Value::as_array);
                let path = files.and_then(|files| files.first()?.get("path")?.as_str());
                silent(self.of_workspace(
                    &["workspace_file_read", "workspace_exec"],
                    &[("path", json!(path.unwrap_or(".")))],
                ))
            }
            "not_text" | "not_exportable" => {
                let path = self.text("path").unwrap_or(".").to_owned();
                let output = json!(format!("/tmp/{}", path.rsplit('/').next().unwrap_or("export")));
                silent(self.of_workspace(&["workspace_export"], &[("path", json!(path)), ("output", output)]))
            }
            "output" | "exists" => {
                let output = self.text("output").unwrap_or("/tmp/export");
                silent(self.again(&[("output", json!(format!("{output}-2")))]))
            }
            "seed" | "source" => {
                let path = json!("/absolute/path/of/the/project");
                silent(self.again(&[(if self.has("seed_path") { "seed_path" } else { "source" }, path)]))
            }
            "environment" | "pull" => silent(self.again(&[("environment", json!(DEFAULT_ENVIRONMENT))])),
            "busy" | "changing" | "changed" | "interrupted" => silent(self.again(&[])),
            "usage"
            | "bad_patch"
            | "too_long"
            | "command_not_found"
            | "command_not_executable"
            | "invalid_command" => silent(self.example()),
            _ => self.mend(),
        }
    }

    /// Something is wrong with the host: a person has to act before the call can succeed.
    fn mend(&self) -> (String, String) {
        let steps = match &self.error.hint {
            Some(hint) if hint != "pyro doctor" => format!(" ({hint})"),
            _ => String::new(),
        };
        let remedy =
            format!("{steps}; ask the user to run `pyro doctor` in a terminal and to mend what it names");
        (remedy, self.again(&[]))
    }

    fn is_about_a_snapshot(&self) -> bool {
        self.has("snapshot") || self.tool.name().starts_with("snapshot_")
    }

    fn has(&self, argument: &str) -> bool {
        self.arguments.contains_key(argument)
    }

    fn text(&self, argument: &str) -> Option<&str> {
        self.arguments.get(argument)?.as_str()
    }

    /// The first of these tools that there is, with these arguments; else the one that failed.
    fn first(&self, names: &[&str], arguments: &Value) -> String {
        match names.iter().find(|name| self.session.tool(name).is_some()) {
            Some(name) => format!("{name} {arguments}"),
            None => self.example(),
        }
    }

    /// The same for the workspace that the call was about.
    fn of_workspace(&self, names: &[&str], more: &[(&str, Value)]) -> String {
        let mut arguments = json!({ "workspace_id": self.workspace() });
        for (key, value) in more {
            arguments[*key] = value.clone();
        }
        self.first(names, &arguments)
    }

    fn workspace(&self) -> &str {
        self.text("workspace_id").unwrap_or("ID")
    }

    /// The same call with other arguments.
    fn again(&self, changes: &[(&str, Value)]) -> String {
        let mut arguments = self.arguments.clone();
        for (key, value) in changes {
            arguments.insert((*key).into(), value.clone());
        }
        let text = Value::Object(arguments).to_string();
        if text.len() > REPEATED_MAX { self.example() } else { format!("{} {text}", self.tool.name()) }
    }

    /// A call that could succeed, for the same workspace.
    fn example(&self) -> String {
        let mut example: Value = serde_json::from_str(self.tool.example()).unwrap_or_else(|_| json!({}));
        if let (Some(_), Some(id)) = (example.get("workspace_id"), self.text("workspace_id")) {
            example["workspace_id"] = json!(id);
        }
        format!("{} {example}", self.tool.name())
    }
}
