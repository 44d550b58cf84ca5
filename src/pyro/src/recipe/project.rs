//! What a project's recipe may not do. It comes with a repository, which may be anybody's, and whoever
//! starts a server there has not read it: it may take away, and put things in its own words.

use super::check::at;
use super::error::{Problem, Step, Wrong};
use super::{Argument, KnownTool, KnownTools, Recipe, Tool};
use serde_json::Value;

/// Holds a project's recipe to the mode that it replaces, if it does: no tool more, and every argument
/// narrowed at least as there.
///
/// Nor may it choose texts for arguments, whether it replaces a mode or adds one, but among those that the
/// tool or that mode lists: a text may be a path of the host that would be copied into a workspace or
/// written from one.
pub(super) fn hold(
    recipe: &mut Recipe,
    replaced: Option<(&str, &Recipe)>,
    known: KnownTools<'_>,
) -> Result<(), Wrong> {
    for (index, tool) in recipe.tools.iter_mut().enumerate() {
        let base = match replaced {
            Some((mode, base)) => match base.tools.iter().find(|it| it.name == tool.name) {
                Some(base) => Some((mode, base)),
                None => {
                    let what = format!("add {} to the mode {mode}, which does not have it", tool.name);
                    return Err(Wrong::new(at!["tools", index, "name"], Problem::Loosens(what)));
                }
            },
            None => None,
        };
        let held = no_new_texts(tool, base.map(|(_, base)| base), known)
            .and_then(|()| base.map_or(Ok(()), |(mode, base)| narrow(tool, base, mode)));
        held.map_err(|wrong| wrong.within(at!["tools", index]))?;
    }
    Ok(())
}

/// Numbers may be chosen freely, within the limits of the tool.
fn no_new_texts(tool: &Tool, base: Option<&Tool>, known: KnownTools<'_>) -> Result<(), Wrong> {
    let schema = match known(&tool.name) {
        Some(KnownTool::Built(schema)) => Value::Object((*schema).clone()),
        _ => Value::Null,
    };
    for (name, argument) in &tool.arguments {
        let mode = base.and_then(|base| base.arguments.get(name)).and_then(|it| it.one_of.as_deref());
        let listed = |text: &str| {
            let tool = schema["properties"][name.as_str()]["enum"].as_array();
            tool.is_some_and(|all| all.iter().any(|it| it == text))
                || mode.is_some_and(|all| all.iter().any(|it| it == text))
        };
        let refuse = |field: &str| {
            let what =
                "choose a text that neither the tool nor the mode lists: it could be a place on the host";
            Err(Wrong::new(at!["arguments", name.as_str(), field], Problem::Loosens(what.into())))
        };
        match &argument.default {
            Some(Value::Number(_)) | None => {}
            Some(Value::String(text)) if listed(text) => {}
            Some(_) => return refuse("default"),
        }
        if argument.one_of.iter().flatten().any(|text| !listed(text)) {
            return refuse("one_of");
        }
    }
    Ok(())
}

/// Puts what the replaced mode says of the arguments under what the project says.
fn narrow(tool: &mut Tool, base: &Tool, mode: &str) -> Result<(), Wrong> {
    for (name, limits) in &base.arguments {
        let own = tool.arguments.remove(name);
        let narrowed = match own {
            Some(own) => {
                both(own, limits, mode).map_err(|wrong| wrong.within(at!["arguments", name.as_str()]))?
            }
            None => limits.clone(),
        };
        tool.arguments.insert(name.clone(), narrowed);
    }
    Ok(())
}

fn both(own: Argument, base: &Argument, mode: &str) -> Result<Argument, Wrong> {
    if base.hidden {
        // What it is, the mode has settled.
        return Ok(base.clone());
    }
    let loosens = |field: &str, what: String| Err(Wrong::new(at![field], Problem::Loosens(what)));
    if let (Some(more), Some(most)) = (own.maximum, base.maximum)
        && more > most
    {
        return loosens("maximum", format!("raise a maximum: the mode {mode} takes {most} at most"));
    }
    if let (Some(own), Some(base)) = (&own.one_of, &base.one_of)
        && let Some(text) = own.iter().find(|text| !base.contains(text))
    {
        return loosens("one_of", format!("take {text:?}, which the mode {mode} does not"));
    }
    let maximum = own.maximum.or(base.maximum);
    let default = own.default.or_else(|| base.default.clone());
    if let (Some(number), Some(most)) = (default.as_ref().and_then(Value::as_f64), maximum)
        && number > most as f64
    {
        return loosens("default", format!("go beyond a maximum: {number} is more than {most}"));
    }
    let one_of = own.one_of.or_else(|| base.one_of.clone());
    if let (Some(text), Some(all)) = (default.as_ref().and_then(Value::as_str), &one_of)
        && !all.iter().any(|it| it == text)
    {
        return loosens("one_of", format!("leave out {text:?}, which the mode {mode} takes by default"));
    }
    Ok(Argument { hidden: own.hidden, default, maximum, one_of })
}
