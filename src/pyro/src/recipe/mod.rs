//! Recipes: one file for each mode, which pairs tools with an environment and says how they are
//! meant to be used. The server, the command line, the docs and the tests read the same files.
//!
//! Invariant: a recipe chooses among what pyro has and makes it less. Nothing in one opens the
//! network, names a place on the host, or says what may be left unconfined.

mod check;
mod error;
mod load;
mod position;
mod project;
#[cfg(test)]
mod tests;
mod words;

pub use error::RecipeError;
pub use load::{Found, Listed, LoadError, PROJECT_DIRECTORY, Places, Source};

use crate::catalog::DEFAULT_ENVIRONMENT;
use crate::config::{Defaults, MEM_MIB_MAX, MEM_MIB_MIN, SECONDS_MAX, VCPUS_MAX, within};
use pyro_workspace::{DISK_MIB_MAX, DISK_MIB_MIN};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A mode, as its file describes it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// What the mode is for: one line.
    pub summary: String,
    /// Environment of its workspaces, where neither the call nor the user names one.
    pub environment: Option<String>,
    /// Its machines, where the call says nothing.
    #[serde(default)]
    pub resources: Resources,
    /// What the model reads before it knows any tool.
    pub instructions: String,
    /// The workflow as a prompt that a user can call up.
    pub prompt: Prompt,
    /// The tools, in the order in which they are listed.
    pub tools: Vec<Tool>,
}

/// Defaults of the machines of a mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Resources {
    /// Virtual processors.
    #[serde(deserialize_with = "within::<_, _, 1, VCPUS_MAX>")]
    pub vcpu_count: Option<u8>,
    /// Memory, MiB.
    #[serde(deserialize_with = "within::<_, _, MEM_MIB_MIN, MEM_MIB_MAX>")]
    pub mem_mib: Option<u32>,
    /// Writable disk, MiB.
    #[serde(deserialize_with = "within::<_, _, { DISK_MIB_MIN as u64 }, { DISK_MIB_MAX as u64 }>")]
    pub disk_mib: Option<u32>,
    /// Seconds without activity after which a workspace goes.
    #[serde(deserialize_with = "within::<_, _, 1, SECONDS_MAX>")]
    pub ttl_seconds: Option<u64>,
}

/// A prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    /// What it does, for the user's menu.
    pub description: String,
    /// What it says to the model; [`TASK`] stands for what the user added.
    pub text: String,
}

/// What the user's own words replace in [`Prompt::text`].
pub const TASK: &str = "{task}";

impl Prompt {
    /// The text for a task, in one pass: what the user wrote is not looked at again.
    pub fn fill(&self, task: &str) -> String {
        self.text.replace(TASK, task.trim())
    }
}

/// A tool of a mode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// Which one.
    pub name: String,
    /// The mode's own words for it, instead of the tool's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What is said of its arguments; one that is not named stays as the tool has it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arguments: BTreeMap<String, Argument>,
}

/// How a mode narrows an argument.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Argument {
    /// Neither shown nor taken: it is `default`, or what the tool does without it.
    pub hidden: bool,
    /// What it is where the call says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Largest number taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum: Option<u64>,
    /// The only texts taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub one_of: Option<Vec<String>>,
}

/// What the server knows of a name that a recipe calls a tool.
#[derive(Clone, Debug)]
pub enum KnownTool {
    /// It has it; this is the JSON schema of its arguments.
    Built(Arc<Map<String, Value>>),
    /// A later version has it: it can be named, and what is said of its arguments waits until then.
    Planned,
}

/// Looks a tool up by its name; `None`: there is no such tool. Recipes are judged without knowing the
/// server.
pub type KnownTools<'a> = &'a dyn Fn(&str) -> Option<KnownTool>;

/// Environment of a workspace: what the call says, then the server's flag or variable, then the files of
/// the project and the user, then the mode.
pub fn environment<'a>(
    call: Option<&'a str>,
    flag: Option<&'a str>,
    files: &'a Defaults,
    mode: Option<&'a Recipe>,
) -> &'a str {
    let of_mode = || mode.and_then(|mode| mode.environment.as_deref());
    call.or(flag).or(files.environment.as_deref()).or_else(of_mode).unwrap_or(DEFAULT_ENVIRONMENT)
}

/// Reads a recipe.
///
/// # Errors
/// The first thing that is wrong with it, with its line and field.
pub fn parse(text: &str, known: KnownTools<'_>) -> Result<Recipe, RecipeError> {
    let recipe: Recipe = toml::from_str(text).map_err(|error| RecipeError::malformed(text, &error))?;
    check::check(&recipe, known).map_err(|wrong| wrong.located(text))?;
    Ok(recipe)
}
