//! What a mode says of the arguments of its tools: in the schema that clients see, and in the calls
//! that come, whatever clients made of the schema.

use crate::error::UserError;
use crate::recipe::Argument;
use rmcp::model::JsonObject;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How the arguments of a tool are narrowed.
pub type Narrowing = BTreeMap<String, Argument>;

/// The schema with nothing in it that a call may not say.
pub fn narrow_schema(schema: &mut JsonObject, narrowing: &Narrowing) {
    for (name, argument) in narrowing {
        if let Some(Value::Array(required)) = schema.get_mut("required") {
            required.retain(|it| it != name || (!argument.hidden && argument.default.is_none()));
        }
        let Some(Value::Object(properties)) = schema.get_mut("properties") else { continue };
        if argument.hidden {
            properties.remove(name);
            continue;
        }
        let Some(Value::Object(property)) = properties.get_mut(name) else { continue };
        if let Some(default) = &argument.default {
            property.insert("default".into(), default.clone());
        }
        if let Some(maximum) = argument.maximum {
            property.insert("maximum".into(), maximum.into());
        }
        if let Some(texts) = &argument.one_of {
            property.insert("enum".into(), json!(texts));
        }
    }
}

/// The arguments of a call, with the mode's defaults; the error says what the mode does not take.
///
/// # Errors
/// What the model is told.
pub fn narrow_arguments(arguments: &mut JsonObject, narrowing: &Narrowing) -> Result<(), UserError> {
    for (name, argument) in narrowing {
        match arguments.get(name) {
            Some(_) if argument.hidden => {
                return Err(UserError::usage(format_args!(
                    "unknown field `{name}`: this mode does not take it"
                )));
            }
            Some(value) => check(name, value, argument)?,
            None => {
                if let Some(default) = &argument.default {
                    arguments.insert(name.clone(), default.clone());
                }
            }
        }
    }
    Ok(())
}

fn check(name: &str, value: &Value, argument: &Argument) -> Result<(), UserError> {
    if let Some(maximum) = argument.maximum
        && value.as_f64().is_some_and(|number| number > maximum as f64)
    {
        return Err(UserError::usage(format_args!(
            "{name} is {value}, but this mode takes at most {maximum}"
        )));
    }
    if let Some(texts) = &argument.one_of
        && !value.as_str().is_some_and(|text| texts.iter().any(|it| it == text))
    {
        return Err(UserError::usage(format_args!(
            "{name} is {value}, but this mode takes only {}",
            texts.join(", ")
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrowing() -> Narrowing {
        let argument = |text: &str| toml::from_str(text).unwrap();
        [
            ("hidden", "hidden = true"),
            ("fixed", "hidden = true\ndefault = 'inside'"),
            ("seconds", "default = 10\nmaximum = 60"),
            ("image", "one_of = ['a', 'b']"),
        ]
        .map(|(name, text)| (name.to_owned(), argument(text)))
        .into()
    }

    fn object(value: Value) -> JsonObject {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_schema_shows_what_the_mode_takes() {
        let text = json!({ "type": "string" });
        let mut schema = object(json!({
            "properties": { "hidden": text, "fixed": text, "seconds": { "type": "integer" }, "image": text, "id": text },
            "required": ["id", "fixed", "seconds"],
        }));
        narrow_schema(&mut schema, &narrowing());
        let expected = json!({
            "properties": {
                "seconds": { "type": "integer", "default": 10, "maximum": 60 },
                "image": { "type": "string", "enum": ["a", "b"] },
                "id": text,
            },
            "required": ["id"],
        });
        assert_eq!(Value::Object(schema), expected);
    }

    #[test]
    fn a_call_is_held_to_it() {
        let narrowed = |value| {
            let mut arguments = object(value);
            narrow_arguments(&mut arguments, &narrowing())
                .map(|()| Value::Object(arguments))
                .map_err(|error| error.message)
        };
        assert_eq!(
            narrowed(json!({ "image": "b" })),
            Ok(json!({ "fixed": "inside", "image": "b", "seconds": 10 }))
        );
        assert_eq!(narrowed(json!({ "seconds": 60 })), Ok(json!({ "fixed": "inside", "seconds": 60 })));
        for (value, told) in [
            (json!({ "hidden": 1 }), "unknown field `hidden`"),
            (json!({ "fixed": "outside" }), "unknown field `fixed`"),
            (json!({ "seconds": 61 }), "at most 60"),
            (json!({ "seconds": 1e9 }), "at most 60"),
            (json!({ "image": "c" }), "only a, b"),
            (json!({ "image": ["a"] }), "only a, b"),
        ] {
            let error = narrowed(value.clone()).unwrap_err();
            assert!(error.contains(told), "{value}: {error}");
        }
    }
}
