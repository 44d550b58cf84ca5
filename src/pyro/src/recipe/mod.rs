//! Recipes: one file for each mode, which pairs tools with an environment and says how they are
//! meant to be used. The server, the command line, the docs and the tests read the same files.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Resources {
    /// Virtual processors.
    pub vcpu_count: Option<u8>,
    /// Memory, MiB.
    pub mem_mib: Option<u32>,
    /// Writable disk, MiB.
    pub disk_mib: Option<u32>,
    /// Seconds without activity after which a workspace goes.
    pub ttl_seconds: Option<u64>,
}

/// A prompt.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    /// What it does, for the user's menu.
    pub description: String,
    /// What it says to the model; `{task}` stands for what the user added.
    pub text: String,
}

/// A tool of a mode.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// Which one.
    pub name: String,
    /// The mode's own words for it, instead of the tool's.
    pub description: Option<String>,
    /// What is said of its arguments; one that is not named stays as the tool has it.
    #[serde(default)]
    pub arguments: BTreeMap<String, Argument>,
}

/// How a mode narrows an argument.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Argument {
    /// Neither shown nor taken.
    pub hidden: bool,
    /// What it is where the call says nothing.
    pub default: Option<Value>,
    /// Largest number taken.
    pub maximum: Option<u64>,
    /// The only texts taken.
    pub one_of: Option<Vec<String>>,
}
