//! `pyro mode`.

use super::context::Context;
use crate::catalog::DEFAULT_ENVIRONMENT;
use crate::error::UserError;
use crate::exit::Exit;
use crate::explain::recipe_error;
use crate::mcp::known_tool;
use crate::recipe::{Argument, Found, KnownTool, Listed, LoadError, Prompt, Recipe, Resources, Source, Tool};
use crate::text::table;
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Arguments of `pyro mode`.
#[derive(Debug, clap::Args)]
pub struct ModeArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List the modes: built in, the user's and the project's
    List,
    /// Show a mode: where its recipe is, its environment, resources, tools and words
    Show {
        /// The mode (`pyro mode list`)
        #[arg(value_name = "MODE")]
        mode: String,
    },
}

/// Runs `pyro mode`.
///
/// # Errors
/// When a mode is not there, or its recipe is broken.
pub fn run(context: &Context, args: ModeArgs) -> Result<Exit, UserError> {
    match args.verb {
        Verb::List => list(context),
        Verb::Show { mode } => {
            let found =
                context.recipes(None)?.find(&mode, &known_tool).map_err(|error| recipe_error(&error))?;
            let shown = Shown::of(&found);
            context.out.result(&shown, || shown.text())?;
            Ok(Exit::Done)
        }
    }
}

/// All modes; of a broken one what is wrong with it, so that the others can still be seen.
fn list(context: &Context) -> Result<Exit, UserError> {
    let modes = context.recipes(None)?.list(&known_tool).map_err(|error| recipe_error(&error))?;
    let broken: Vec<&LoadError> = modes.iter().filter_map(|it| it.found.as_ref().err()).collect();
    let listed: Vec<Value> = modes.iter().map(line).collect();
    let rows = || modes.iter().map(row).collect::<Vec<_>>();
    context.out.result(&json!({"modes": listed}), || {
        table(&["MODE", "SOURCE", "ENVIRONMENT", "TOOLS", "SUMMARY"], &rows())
    })?;
    if !context.out.is_json() {
        for error in &broken {
            context.out.error(&recipe_error(error));
        }
    }
    Ok(if broken.is_empty() { Exit::Done } else { Exit::Failed })
}

fn line(Listed { mode: name, found }: &Listed) -> Value {
    match found {
        Ok(Found { recipe, source, .. }) => json!({
            "mode": name,
            "summary": recipe.summary,
            "source": Place::of(source),
            "environment": environment(recipe),
            "tools": recipe.tools.iter().map(|tool| &tool.name).collect::<Vec<_>>(),
            "missing_tools": missing(recipe),
            "error": null,
        }),
        Err(error) => {
            json!({"mode": name, "error": recipe_error(error).to_json()})
        }
    }
}

fn row(Listed { mode: name, found }: &Listed) -> Vec<String> {
    match found {
        Ok(Found { recipe, source, .. }) => {
            let all = recipe.tools.len();
            let tools = match missing(recipe).len() {
                0 => all.to_string(),
                missing => format!("{} of {all}", all - missing),
            };
            let kind = source.kind().into();
            vec![name.into(), kind, environment(recipe).into(), tools, recipe.summary.clone()]
        }
        Err(_) => vec![name.escape_debug().to_string(), "broken".into()],
    }
}

fn environment(recipe: &Recipe) -> &str {
    recipe.environment.as_deref().unwrap_or(DEFAULT_ENVIRONMENT)
}

/// Tools that this version does not have: a server leaves them out.
fn missing(recipe: &Recipe) -> Vec<&str> {
    let names = recipe.tools.iter().map(|tool| tool.name.as_str());
    names.filter(|name| matches!(known_tool(name), Some(KnownTool::Planned))).collect()
}

/// Where a recipe is.
#[derive(Serialize)]
struct Place<'a> {
    kind: &'static str,
    path: Option<&'a std::path::Path>,
}

impl<'a> Place<'a> {
    fn of(source: &'a Source) -> Self {
        Self { kind: source.kind(), path: source.path() }
    }
}

/// What `show` prints.
#[derive(Serialize)]
struct Shown<'a> {
    mode: &'a str,
    summary: &'a str,
    source: Place<'a>,
    replaces: Vec<Place<'a>>,
    environment: &'a str,
    resources: Resources,
    tools: &'a [Tool],
    missing_tools: Vec<&'a str>,
    instructions: &'a str,
    prompt: &'a Prompt,
    #[serde(skip)]
    found: &'a Found,
}

impl<'a> Shown<'a> {
    fn of(found: &'a Found) -> Self {
        let recipe = &found.recipe;
        Self {
            mode: &found.mode,
            summary: &recipe.summary,
            source: Place::of(&found.source),
            replaces: found.replaces.iter().map(Place::of).collect(),
            environment: environment(recipe),
            resources: recipe.resources,
            tools: &recipe.tools,
            missing_tools: missing(recipe),
            instructions: recipe.instructions.trim(),
            prompt: &recipe.prompt,
            found,
        }
    }

    fn text(&self) -> String {
        let mut text = format!("{}: {}\n\n", self.mode, self.summary);
        let mut field = |name: &str, value: &str| {
            let _ = writeln!(text, "{name:<14}{value}");
        };
        field("Source:", &self.found.source.to_string());
        for replaced in &self.found.replaces {
            field("Replaces:", &replaced.to_string());
        }
        field("Environment:", self.environment);
        let resources = resources(&self.resources);
        if !resources.is_empty() {
            field("Resources:", &resources);
        }
        let here: Vec<&Tool> =
            self.tools.iter().filter(|tool| !self.missing_tools.contains(&tool.name.as_str())).collect();
        for (index, tool) in here.iter().enumerate() {
            field(if index == 0 { "Tools:" } else { "" }, &tool_line(tool));
        }
        for (index, name) in self.missing_tools.iter().enumerate() {
            field(if index == 0 { "Not yet:" } else { "" }, name);
        }
        if !self.missing_tools.is_empty() {
            field("", "(not in this version: the server leaves them out)");
        }
        let _ = write!(text, "\nInstructions:\n{}", indented(self.instructions));
        let _ = write!(text, "\nPrompt: {}\n{}", self.prompt.description, indented(self.prompt.text.trim()));
        text
    }
}

fn resources(resources: &Resources) -> String {
    let Resources { vcpu_count, mem_mib, disk_mib, ttl_seconds } = *resources;
    let parts = [
        vcpu_count.map(|it| format!("vcpu_count {it}")),
        mem_mib.map(|it| format!("mem_mib {it}")),
        disk_mib.map(|it| format!("disk_mib {it}")),
        ttl_seconds.map(|it| format!("ttl_seconds {it}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// A tool, and how the mode narrows it.
fn tool_line(tool: &Tool) -> String {
    let limits: Vec<String> = tool.arguments.iter().map(|(name, limit)| narrowed(name, limit)).collect();
    match limits.is_empty() {
        true => tool.name.clone(),
        false => format!("{} ({})", tool.name, limits.join("; ")),
    }
}

fn narrowed(name: &str, Argument { hidden, default, maximum, one_of }: &Argument) -> String {
    let mut parts = Vec::new();
    if *hidden {
        parts.push("hidden".to_owned());
    }
    parts.extend(default.as_ref().map(|it| format!("default {it}")));
    parts.extend(maximum.map(|it| format!("at most {it}")));
    parts.extend(one_of.as_ref().map(|it| format!("one of {}", it.join(", "))));
    format!("{name}: {}", parts.join(", "))
}

/// Lines as wide as a terminal, under a heading.
fn indented(text: &str) -> String {
    const WIDTH: usize = 96;
    let mut lines = String::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
                let _ = writeln!(lines, "  {line}");
                line.clear();
            }
            line.extend((!line.is_empty()).then_some(' '));
            line.push_str(word);
        }
        lines.push_str(format!("  {line}").trim_end());
        lines.push('\n');
    }
    lines
}
