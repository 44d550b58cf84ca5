//! What a server is told at its start, and which tools follow from it.

use super::args::ServeArgs;
use super::error::refusal;
use super::narrow::{Narrowing, narrow_arguments, narrow_schema};
use super::tool::{Answer, Call, Tool};
use super::tools;
use crate::config::Config;
use crate::error::UserError;
use crate::explain::{open_home, store_error};
use crate::project::{Source, Surroundings};
use crate::recipe::{self, Found, environment};
use crate::start::resources;
use pyro_workspace::{Home, Resources};
use rmcp::model::{JsonObject, MetaObject};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A server, as far as it knows anything between calls.
pub struct Session {
    home_path: PathBuf,
    home: Mutex<Option<Arc<Home>>>,
    /// Defaults from files.
    pub config: Config,
    /// The mode, if one was asked for.
    pub mode: Option<Found>,
    args: ServeArgs,
    source: OnceLock<Source>,
    tools: Vec<Arc<Offered>>,
}

/// A tool that this server has.
pub struct Offered {
    tool: Tool,
    narrowing: Narrowing,
    listed: rmcp::model::Tool,
}

impl Session {
    /// A server of these tools. Nothing is opened yet.
    pub fn new(home_path: PathBuf, config: Config, args: ServeArgs, mode: Option<Found>) -> Self {
        let tools = match &mode {
            Some(mode) => of_mode(mode),
            None => tools::of(args.profile.unwrap_or_default())
                .into_iter()
                .map(|tool| Arc::new(Offered::new(tool, None, Narrowing::new())))
                .collect(),
        };
        let (home, source) = (Mutex::default(), OnceLock::new());
        Self { home_path, home, config, mode, args, source, tools }
    }

    /// A server of these tools alone.
    #[cfg(test)]
    pub fn with_tools(tools: Vec<Tool>) -> Self {
        let args = ServeArgs { no_project_source: true, ..ServeArgs::default() };
        let offer = |tool| Arc::new(Offered::new(tool, None, Narrowing::new()));
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

    /// The state directory. It is opened once, and again only if it has gone meanwhile: opening makes and
    /// sweeps directories, which no call needs that runs a command of a millisecond.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn home(&self) -> Result<Arc<Home>, UserError> {
        // Whoever panicked with the lock had nothing half done.
        let mut kept = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(home) = &*kept
            && home.store().is_there().map_err(|error| store_error(&error))?
        {
            return Ok(Arc::clone(home));
        }
        let home = Arc::new(open_home(&self.home_path)?);
        Ok(Arc::clone(kept.insert(home)))
    }

    /// The tools, in the order in which they are listed.
    pub fn tools(&self) -> &[Arc<Offered>] {
        &self.tools
    }

    /// The tool of this name.
    pub fn tool(&self, name: &str) -> Option<&Arc<Offered>> {
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

    /// Resources of a machine, of which the call may ask for some.
    pub fn resources(&self, asked: &recipe::Resources) -> Resources {
        let of_mode = self.mode.as_ref().map(|mode| mode.recipe.resources).unwrap_or_default();
        resources(asked, &self.config.defaults, &of_mode)
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

fn of_mode(mode: &Found) -> Vec<Arc<Offered>> {
    let mut offered = Vec::new();
    for entry in &mode.recipe.tools {
        match tools::find(&entry.name) {
            Some(tool) => {
                let text = entry.description.clone();
                offered.push(Arc::new(Offered::new(tool, text, entry.arguments.clone())));
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_state_directory_is_opened_again_when_it_has_gone() {
        let bench = tempfile::tempdir().unwrap();
        let path = bench.path().join("home");
        let args = ServeArgs { no_project_source: true, ..ServeArgs::default() };
        let session = Session::new(path.clone(), Config::default(), args, None);
        let first = session.home().unwrap();
        assert!(Arc::ptr_eq(&first, &session.home().unwrap()));
        fs::remove_dir_all(&path).unwrap();
        assert!(session.home().unwrap().workspaces().is_dir());
        // And whoever has it upgraded has it to themselves.
        fs::write(path.join("VERSION"), r#"{"layout":99}"#).unwrap();
        assert_eq!(session.home().unwrap_err().code, "store");
    }
}
