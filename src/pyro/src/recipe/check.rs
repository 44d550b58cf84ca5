//! Whether a recipe says what pyro can do: its texts, its tools, and how it narrows their arguments.

use super::error::{Problem, Step, Wrong};
use super::words::{DESCRIPTION, Fault, INSTRUCTIONS, PROMPT, PROMPT_DESCRIPTION, SUMMARY};
use super::{Argument, KnownTool, KnownTools, Recipe, Tool};
use crate::catalog::Environment;
use serde_json::{Map, Value};

/// Most tools of a recipe: more than there are.
const TOOLS_MAX: usize = 64;

/// The path of a field.
macro_rules! at {
    ($($step:expr),*) => { [$(Step::from($step)),*] };
}
pub(super) use at;

/// The first thing that is wrong.
pub(super) fn check(recipe: &Recipe, known: KnownTools<'_>) -> Result<(), Wrong> {
    let text = |checked: Result<(), Fault>, path: &[Step]| {
        checked.map_err(|fault| Wrong::new(path.iter().cloned(), fault))
    };
    text(SUMMARY.holds(&recipe.summary), &at!["summary"])?;
    text(INSTRUCTIONS.holds(&recipe.instructions), &at!["instructions"])?;
    text(PROMPT_DESCRIPTION.holds(&recipe.prompt.description), &at!["prompt", "description"])?;
    text(PROMPT.holds(&recipe.prompt.text), &at!["prompt", "text"])?;
    if let Some(Err(error)) = recipe.environment.as_deref().map(Environment::parse) {
        return Err(Wrong::new(at!["environment"], Problem::Environment(error.to_string())));
    }
    let count = recipe.tools.len();
    if count == 0 {
        return Err(Wrong::new(at!["tools"], Problem::NoTools));
    }
    if count > TOOLS_MAX {
        return Err(Wrong::new(at!["tools"], Problem::TooManyTools(count, TOOLS_MAX)));
    }
    for (index, tool) in recipe.tools.iter().enumerate() {
        let twice = recipe.tools[..index].iter().any(|before| before.name == tool.name);
        let checked = if twice {
            Err(Wrong::new(at!["name"], Problem::Twice(tool.name.clone())))
        } else {
            check_tool(tool, known)
        };
        checked.map_err(|wrong| wrong.within(at!["tools", index]))?;
    }
    Ok(())
}

fn check_tool(tool: &Tool, known: KnownTools<'_>) -> Result<(), Wrong> {
    let unknown = || Wrong::new(at!["name"], Problem::UnknownTool(tool.name.chars().take(64).collect()));
    let schema = match known(&tool.name).ok_or_else(unknown)? {
        KnownTool::Built(schema) => Some(schema),
        KnownTool::Planned => None,
    };
    if let Some(words) = &tool.description {
        DESCRIPTION.holds(words).map_err(|fault| Wrong::new(at!["description"], fault))?;
    }
    for (name, argument) in &tool.arguments {
        check_shape(argument)
            .and_then(|()| match &schema {
                Some(schema) => check_argument(&tool.name, schema, name, argument),
                None => Ok(()),
            })
            .map_err(|wrong| wrong.within(at!["arguments", name.as_str()]))?;
    }
    Ok(())
}

/// What can be said without knowing the argument.
fn check_shape(argument: &Argument) -> Result<(), Wrong> {
    if *argument == Argument::default() {
        return Err(Wrong::new([], Problem::Empty));
    }
    if argument.one_of.as_ref().is_some_and(Vec::is_empty) {
        return Err(Wrong::new(at!["one_of"], Problem::NoChoice));
    }
    Ok(())
}

fn check_argument(
    tool: &str,
    schema: &Map<String, Value>,
    name: &str,
    argument: &Argument,
) -> Result<(), Wrong> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let Some(property) = properties.and_then(|all| all.get(name)) else {
        let takes: Vec<&str> = properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        let takes = if takes.is_empty() { "none".into() } else { takes.join(", ") };
        return Err(Wrong::new([], Problem::UnknownArgument { tool: tool.into(), takes }));
    };
    let needed = schema.get("required").and_then(Value::as_array);
    let needed = needed.is_some_and(|all| all.iter().any(|it| it.as_str() == Some(name)));
    if argument.hidden && argument.default.is_none() && needed {
        return Err(Wrong::new(at!["hidden"], Problem::Needed(tool.into())));
    }
    let kind = Kind(property);
    if let Some(maximum) = argument.maximum {
        kind.takes_maximum(maximum, argument).map_err(|problem| Wrong::new(at!["maximum"], problem))?;
    }
    if let Some(choice) = &argument.one_of {
        kind.takes_choice(choice, argument).map_err(|problem| Wrong::new(at!["one_of"], problem))?;
    }
    match &argument.default {
        Some(value) => {
            kind.takes_default(value, argument).map_err(|problem| Wrong::new(at!["default"], problem))
        }
        None => Ok(()),
    }
}

/// An argument, as the tool's JSON schema has it.
struct Kind<'a>(&'a Value);

impl Kind<'_> {
    /// Its types, as JSON schema calls them, but for `null`.
    fn types(&self) -> Vec<&str> {
        let all = match self.0.get("type") {
            Some(Value::String(one)) => vec![one.as_str()],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        all.into_iter().filter(|name| *name != "null").collect()
    }

    fn name(&self) -> String {
        self.types().iter().map(|name| with_article(name)).collect::<Vec<_>>().join(" or ")
    }

    fn takes_maximum(&self, maximum: u64, argument: &Argument) -> Result<(), Problem> {
        if !self.types().iter().any(|name| matches!(*name, "integer" | "number")) {
            return Err(Problem::NotLimited(self.name(), "maximum"));
        }
        self.within(&maximum.into())?;
        match self.0.get("default").and_then(Value::as_u64) {
            Some(own) if own > maximum && argument.default.is_none() => {
                let why = format!("without a default it would be {own}; give one, too");
                Err(Problem::NotTaken(maximum.to_string(), why))
            }
            _ => Ok(()),
        }
    }

    fn takes_choice(&self, choice: &[String], argument: &Argument) -> Result<(), Problem> {
        if !self.types().contains(&"string") {
            return Err(Problem::NotLimited(self.name(), "one_of"));
        }
        for text in choice {
            self.within(&text.as_str().into())?;
        }
        match self.0.get("default").and_then(Value::as_str) {
            Some(own) if argument.default.is_none() && !choice.iter().any(|text| text == own) => {
                let why = format!("without a default it would be {own:?}; give one, too");
                Err(Problem::NotTaken("the choice".into(), why))
            }
            _ => Ok(()),
        }
    }

    fn takes_default(&self, value: &Value, argument: &Argument) -> Result<(), Problem> {
        let found = type_of(value);
        let is = |name: &&str| *name == found || (*name == "number" && found == "integer");
        if !self.types().iter().any(is) {
            return Err(Problem::Type { expected: self.name(), found: with_article(found) });
        }
        self.within(value)?;
        let not_taken = |why: String| Err(Problem::NotTaken(value.to_string(), why));
        match (argument.maximum, &argument.one_of) {
            (Some(maximum), _) if value.as_f64().is_some_and(|it| it > maximum as f64) => {
                not_taken(format!("the maximum is {maximum}"))
            }
            (_, Some(choice)) if !choice.iter().any(|text| value.as_str() == Some(text)) => {
                not_taken("it is none of one_of".into())
            }
            _ => Ok(()),
        }
    }

    /// Whether the tool takes the value, of the right type, without the recipe.
    fn within(&self, value: &Value) -> Result<(), Problem> {
        let not_taken = |why: String| Err(Problem::NotTaken(value.to_string(), why));
        let limit = |name: &str| self.0.get(name).and_then(Value::as_f64);
        match (value.as_f64(), self.0.get("enum").and_then(Value::as_array)) {
            (Some(number), _) if limit("minimum").is_some_and(|least| number < least) => {
                not_taken(format!("the tool takes {} and more", self.0["minimum"]))
            }
            (Some(number), _) if limit("maximum").is_some_and(|most| number > most) => {
                not_taken(format!("the tool takes {} at most", self.0["maximum"]))
            }
            (_, Some(all)) if !all.contains(value) => {
                let all: Vec<String> = all.iter().filter(|it| !it.is_null()).map(Value::to_string).collect();
                not_taken(format!("the tool takes {}", all.join(", ")))
            }
            _ => Ok(()),
        }
    }
}

/// The type of a value, as JSON schema calls it.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn with_article(name: &str) -> String {
    let article = if name.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {name}")
}
