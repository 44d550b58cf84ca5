//! JSON schemas that every client takes: no `$schema`, no `$ref`, no lists of types, no formats of
//! integers, and no words that say nothing.

use rmcp::model::JsonObject;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// Schema of a type of arguments.
pub fn input_schema<T: JsonSchema>() -> JsonObject {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    normalize(&mut schema);
    match schema {
        Value::Object(mut object) => {
            object.entry("properties").or_insert_with(|| Value::Object(JsonObject::new()));
            // What the whole is for, the tool's description says.
            object.remove("description");
            object
        }
        _ => unreachable!("arguments are an object"),
    }
}

fn normalize(schema: &mut Value) {
    let Value::Object(object) = schema else { return };
    object.remove("title");
    object.remove("$schema");
    let is_number =
        |format: &Value| format.as_str().is_some_and(|it| it.starts_with("int") || it.starts_with("uint"));
    if object.get("format").is_some_and(is_number) {
        object.remove("format");
        // The least and most of the type; what the tool takes, its words say.
        object.remove("minimum");
        object.remove("maximum");
    }
    if object.get("default").is_some_and(Value::is_null) {
        object.remove("default");
    }
    if let Some(Value::Array(types)) = object.get("type") {
        let other = types.iter().find(|it| *it != "null").cloned();
        object.insert("type".into(), other.unwrap_or_default());
    }
    if let Some(Value::Array(values)) = object.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::String(text)) = object.get_mut("description") {
        *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = object.get_mut(key) {
            normalize(inner);
        }
    }
    if let Some(Value::Object(properties)) = object.get_mut("properties") {
        properties.values_mut().for_each(normalize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;
    use std::collections::BTreeMap;

    /// Not shown.
    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Arguments {
        /// Which,
        /// in two lines.
        id: String,
        count: Option<u32>,
        form: Option<Form>,
        words: Option<Vec<String>>,
        #[serde(default)]
        labels: BTreeMap<String, String>,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    enum Form {
        Files,
        Tar,
    }

    #[test]
    fn a_schema_is_what_every_client_takes() {
        let expected = json!({
            "type": "object",
            "properties": {
                "id": { "type": "string", "description": "Which, in two lines." },
                "count": { "type": "integer" },
                "form": { "type": "string", "enum": ["files", "tar"] },
                "words": { "type": "array", "items": { "type": "string" } },
                "labels": { "type": "object", "additionalProperties": { "type": "string" }, "default": {} },
            },
            "required": ["id"],
            "additionalProperties": false,
        });
        assert_eq!(Value::Object(input_schema::<Arguments>()), expected);
    }
}
