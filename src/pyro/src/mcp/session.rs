//! What a server is told at its start, and which tools follow from it.

use super::args::ServeArgs;
use super::error::refusal;
use super::narrow::{Narrowing, narrow_arguments, narrow_schema};
use super::tool::{Answer, Call, Tool};
use super::tools;
use crate::config::Config;
use crate::project::{Source, Surroundings};
use crate::recipe::{Found, environment};
use rmcp::model::{JsonObject, MetaObject};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// A server, as far as it knows anything between calls.
pub struct Session {
    home: PathBuf,
    /// Defaults from files.
    pub config: Config,
    /// The mode, if one was asked for.
    pub mode: Option<Found>,
    args: ServeArgs,
    source: OnceLock<Source>,
    tools: Vec<Offered>,
}

/// A tool that this server has.
pub struct Offered {
    tool: Tool,
    narrowing: Narrowing,
    listed: rmcp::model::Tool,
}

impl Session {
    /// A server of these tools. Nothing is opened yet.
    pub fn new(home: PathBuf, config: Config, args: ServeArgs, mode: Option<Found>) -> Self {
        let tools = match &mode {
            Some(mode) => of_mode(mode),
            None => tools::of(args.profile.unwrap_or_default())
                .into_iter()
                .map(|tool| Offered::new(tool, None, Narrowing::new()))
                .collect(),
        };
        Self { home, config, mode, args, source: OnceLock::new(), tools }
    }

    /// A server of these tools alone.
    #[cfg(test)]
    pub fn with_tools(tools: Vec<Tool>) -> Self {
        let args = ServeArgs { no_project_source: true, ..ServeArgs::default() };
        let offer = |tool| Offered::new(tool, None, Narrowing::new());
        let tools = tools.into_iter().map(offer).collect();
        Self { tools, ..Self::new("/nonexistent/pyro".into(), Config::default(), args, None) }
    }

    /// Whether namespaces will do where no microVM boots.
    pub const fn allow_host_compat(&self) -> bool {
        self.args.allow_host_compat
    }

    /// Where the files of workspaces come from, if a call does not say; looked for once.
    pub fn source(&self) -> &Source {
        self.source.get_or_init(|| Source::find(&self.args, &Surroundings::look()))
    }

    /// Path of the state directory, which may not be there.
    pub fn home_path(&self) -> &Path {
        &self.home
    }

    /// The tools, in the order in which they are listed.
    pub fn tools(&self) -> &[Offered] {
        &self.tools
    }

    /// The tool of this name.
    pub fn tool(&self, name: &str) -> Option<&Offered> {
        self.tools.iter().find(|tool| tool.name() == name)
    }

    /// What is served, in a few words.
    pub fn what(&self) -> String {
        match &self.mode {
            Some(mode) => format!("mode {}", mode.mode),
            None => format!("profile {}", self.args.profile.unwrap_or_default()),
        }
    }

    /// Environment of a workspace, of which the call may name one.
    pub fn environment<'a>(&'a self, named: Option<&'a str>) -> &'a str {
        let mode = self.mode.as_ref().map(|mode| &mode.recipe);
        environment(named, self.args.environment.as_deref(), &self.config.defaults, mode)
    }

    /// A path of the host as a call names it: relative ones are of the project.
    pub fn host_path(&self, text: &str) -> PathBuf {
        match self.source().directory() {
            Some(directory) => directory.join(text),
            None => text.into(),
        }
    }

    /// Calls a tool, and gives its answer or the text of its failure.
    pub fn call(&self, tool: &Offered, call: &Call<'_>, mut arguments: JsonObject) -> Result<Answer, String> {
        let asked = arguments.clone();
        let done =
            narrow_arguments(&mut arguments, &tool.narrowing).and_then(|()| tool.tool.run(call, arguments));
        done.map_err(|error| {
            tracing::info!(tool = tool.name(), code = error.code, why = error.message, "a call failed");
            refusal(self, tool, &asked, &error)
        })
    }
}

fn of_mode(mode: &Found) -> Vec<Offered> {
    let mut offered = Vec::new();
    for entry in &mode.recipe.tools {
        match tools::find(&entry.name) {
            Some(tool) => {
                let text = entry.description.clone();
                offered.push(Offered::new(tool, text, entry.arguments.clone()));
            }
            None => {
                tracing::warn!(mode = mode.mode, tool = entry.name, "this version has no such tool: left out")
            }
        }
    }
    offered
}

impl Offered {
    fn new(tool: Tool, text: Option<String>, narrowing: Narrowing) -> Self {
        let about = tool.about;
        let mut input = tool.input();
        narrow_schema(&mut input, &narrowing);
        let text = text.map_or(about.text.into(), Into::into);
        let mut listed = rmcp::model::Tool::new_with_raw(about.name, Some(text), input)
            .with_annotations(about.reach.annotations());
        if let Some(output) = about.output {
            let schema: JsonObject = serde_json::from_str(output).expect("schemas of results are tested");
            listed = listed.with_raw_output_schema(Arc::new(schema));
        }
        if about.up_front {
            let meta = JsonObject::from_iter([("anthropic/alwaysLoad".to_owned(), Value::Bool(true))]);
            listed = listed.with_meta(MetaObject::from(meta));
        }
        Self { tool, narrowing, listed }
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.tool.about.name
    }

    /// Arguments of a call that could succeed.
    pub const fn example(&self) -> &'static str {
        self.tool.about.example
    }

    /// As clients see it.
    pub const fn listed(&self) -> &rmcp::model::Tool {
        &self.listed
    }
}
