//! Workspaces as resources: what a user may want to attach. Everything in them a tool gives, too.

use super::budget::clamp;
use super::tool::{Answer, Call, Operation};
use super::tools::{diff, logs, summary};
use crate::error::UserError;
use crate::explain::workspace_error;
use pyro_workspace::list as workspaces;
use rmcp::model::{ReadResourceResult, Resource, ResourceContents, ResourceTemplate};

const SCHEME: &str = "pyro://workspace/";

/// How many workspaces are listed: a client may show all of them in a menu.
const LISTED_MAX: usize = 20;

/// A view of a workspace: what it is called, in the address and to people, and its type.
const VIEWS: [(&str, &str, &str); 3] = [
    ("summary", "What was done in the workspace", "application/json"),
    ("diff", "What has changed in /workspace, as a patch", "text/x-diff"),
    ("logs", "What was run", "text/plain"),
];

/// Addresses of any workspace.
pub fn templates() -> Vec<ResourceTemplate> {
    let template = |(view, about, kind): (&str, &str, &str)| {
        ResourceTemplate::new(format!("{SCHEME}{{workspace_id}}/{view}"), format!("workspace {view}"))
            .with_description(about)
            .with_mime_type(kind)
    };
    VIEWS.map(template).into()
}

/// Those that there are.
///
/// # Errors
/// When the state directory cannot be used.
pub fn list(call: &Call<'_>) -> Result<Vec<Resource>, UserError> {
    let home = call.home()?;
    let all = workspaces(&home).map_err(|error| workspace_error(&error))?;
    let views = |record: &pyro_workspace::Record| {
        let id = record.id.clone();
        let name = record.name.as_ref().map_or(id.as_str(), |name| name.as_str()).to_owned();
        VIEWS.map(move |(view, about, kind)| {
            Resource::new(format!("{SCHEME}{id}/{view}"), format!("{name} {view}"))
                .with_description(about)
                .with_mime_type(kind)
        })
    };
    Ok(all.iter().take(LISTED_MAX).flat_map(|overview| views(&overview.record)).collect())
}

/// What is at an address.
///
/// # Errors
/// When nothing is.
pub fn read(call: &Call<'_>, uri: &str) -> Result<ReadResourceResult, UserError> {
    let unknown =
        || UserError::new("not_found", format_args!("{uri} is none of {SCHEME}ID/summary, diff, logs"));
    let (id, view) = uri.strip_prefix(SCHEME).and_then(|it| it.split_once('/')).ok_or_else(unknown)?;
    let (_, _, kind) = VIEWS.into_iter().find(|(name, ..)| *name == view).ok_or_else(unknown)?;
    let answer = match view {
        "summary" => summary::Summary::of(id).run(call),
        "diff" => diff::Diff::of(id).run(call),
        _ => logs::Logs::of(id).run(call),
    };
    let text = match answer? {
        Answer::Record(value) => value.to_string(),
        Answer::Text(text) => clamp(text),
    };
    Ok(ReadResourceResult::new(vec![ResourceContents::text(text, uri).with_mime_type(kind)]))
}
