//! Entries in JSON, strict or with comments: looked up by value, changed in the text around them.

use super::launch::Launch;
use super::{Entry, HostError, Starts};
use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstObject, CstRootNode};
use serde_json::Value;
use std::path::Path;

/// Which JSON a host reads, and where its servers are.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    /// Whether comments and trailing commas may be in it.
    pub comments: bool,
    /// The object that holds the servers.
    pub servers: &'static str,
}

impl Dialect {
    fn options(self) -> ParseOptions {
        ParseOptions {
            allow_comments: self.comments,
            allow_trailing_commas: self.comments,
            allow_loose_object_property_names: false,
            allow_missing_commas: false,
            allow_single_quoted_strings: false,
            allow_hexadecimal_numbers: false,
            allow_unary_plus_numbers: false,
            allow_bare_decimal_point_numbers: false,
            allow_non_finite_numbers: false,
            allow_extended_string_escapes: false,
        }
    }

    /// The value of a file; an empty one is null.
    ///
    /// # Errors
    /// [`HostError::Unparsable`].
    pub fn parse(self, path: &Path, text: &str) -> Result<Value, HostError> {
        jsonc_parser::parse_to_serde_value(text, &self.options())
            .map_err(|error| HostError::unparsable(path, error))
    }

    /// The text with these fields in the entry `name`, which is made if it is not there. Its other fields, and what
    /// has the same value already, are left as they are.
    ///
    /// # Errors
    /// [`HostError::Unparsable`], also where there is something else than an object.
    pub fn set(
        self,
        path: &Path,
        text: &str,
        name: &str,
        fields: &[(&str, Value)],
    ) -> Result<String, HostError> {
        let root = self.tree(path, text)?;
        let wrong = |what: &str| HostError::unparsable(path, format_args!("{what} is not an object"));
        let object = root.object_value_or_create().ok_or_else(|| wrong("it"))?;
        let servers = object
            .object_value_or_create(self.servers)
            .ok_or_else(|| wrong(&format!("{:?}", self.servers)))?;
        let entry = servers.object_value_or_create(name).ok_or_else(|| wrong(&format!("{name:?}")))?;
        let old = self.parse(path, text)?;
        for (field, value) in fields {
            if old[self.servers][name].get(field) != Some(value) {
                put(&entry, field, input(value));
            }
        }
        let after = ended(root.to_string());
        let read = self.parse(path, &after)?;
        // Of two with the same name, readers take the last and we have changed the first.
        if fields.iter().any(|(field, value)| read[self.servers][name].get(field) != Some(value)) {
            return Err(HostError::unparsable(path, format_args!("{name:?} is there twice")));
        }
        Ok(after)
    }

    /// The text without the entry `name`.
    ///
    /// # Errors
    /// [`HostError::Unparsable`].
    pub fn unset(self, path: &Path, text: &str, name: &str) -> Result<String, HostError> {
        let root = self.tree(path, text)?;
        let servers = root.object_value().and_then(|object| object.object_value(self.servers));
        if let Some(entry) = servers.and_then(|servers| servers.get(name)) {
            entry.remove();
        }
        Ok(root.to_string())
    }

    fn tree(self, path: &Path, text: &str) -> Result<CstRootNode, HostError> {
        CstRootNode::parse(text, &self.options()).map_err(|error| HostError::unparsable(path, error))
    }
}

/// A list of nothing but texts.
pub fn texts(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

/// An entry as its fields say: the words of a command, and what is set in its environment.
pub fn entry(entry: &Value, words: Option<Vec<String>>, env: &Value) -> Entry {
    let mut words = words.unwrap_or_default().into_iter();
    let Some(command) = words.next() else {
        return Entry::Foreign(entry["url"].as_str().unwrap_or("an entry without a command").to_owned());
    };
    let env = env.as_object().into_iter().flatten();
    let env = env.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect();
    let launch = Launch { command, args: words.collect() };
    Entry::Starts(Starts { launch, env, enabled: true, approved: true })
}

fn put(entry: &CstObject, field: &str, value: CstInputValue) {
    match entry.get(field) {
        Some(property) => property.set_value(value),
        None => drop(entry.append(field, value)),
    }
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(value) => CstInputValue::Bool(*value),
        Value::Number(value) => CstInputValue::Number(value.to_string()),
        Value::String(value) => CstInputValue::String(value.clone()),
        Value::Array(items) => CstInputValue::Array(items.iter().map(input).collect()),
        Value::Object(fields) => {
            CstInputValue::Object(fields.iter().map(|(name, value)| (name.clone(), input(value))).collect())
        }
    }
}

/// A text file ends in a newline.
fn ended(mut text: String) -> String {
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const STRICT: Dialect = Dialect { comments: false, servers: "mcpServers" };
    const LOOSE: Dialect = Dialect { comments: true, servers: "mcp" };

    fn set(dialect: Dialect, before: &str) -> Result<String, HostError> {
        let fields = [("command", json!(["/new", "mcp"])), ("enabled", json!(true))];
        dialect.set(Path::new("config"), before, "pyro", &fields)
    }

    /// `after` comes of `before`, and stays so.
    #[track_caller]
    fn check(dialect: Dialect, before: &str, after: &str) {
        let came = set(dialect, before).unwrap();
        assert_eq!(came, after);
        assert_eq!(set(dialect, &came).unwrap(), came, "the second time");
    }

    #[test]
    fn an_entry_is_added() {
        let whole = "{\n  \"mcp\": {\n    \"pyro\": {\n      \"command\": [\"/new\", \"mcp\"],\n      \"enabled\": true\n    }\n  }\n}\n";
        check(LOOSE, "", whole);
        check(LOOSE, "{}\n", whole);
        check(STRICT, "\n", &whole.replace("mcp\": {", "mcpServers\": {"));
    }

    #[test]
    fn only_our_fields_change_and_comments_stay() {
        check(
            LOOSE,
            "{\n  // a\n  \"mcp\": {\n    \"o\": {\"type\":\"local\"}, // b\n    \"pyro\": {\"command\":[\"/old\"],\"timeout\":9,\"enabled\":false}, // c\n  },\n  \"theme\": \"x\" /* d */\n}\n",
            "{\n  // a\n  \"mcp\": {\n    \"o\": {\"type\":\"local\"}, // b\n    \"pyro\": {\"command\":[\"/new\", \"mcp\"],\"timeout\":9,\"enabled\":true}, // c\n  },\n  \"theme\": \"x\" /* d */\n}\n",
        );
        // What is as it should be is not written anew.
        let fine = "{\"mcp\":{\"pyro\":{\"enabled\":true,\"command\":[\"/new\", // why\n\"mcp\"]}}}\n";
        check(LOOSE, fine, fine);
    }

    #[test]
    fn trailing_commas_and_indentation_are_the_users() {
        check(
            LOOSE,
            "{\n\t\"mcp\": {\n\t\t\"o\": {},\n\t},\n}",
            "{\n\t\"mcp\": {\n\t\t\"o\": {},\n\t\t\"pyro\": {\n\t\t\t\"command\": [\"/new\", \"mcp\"],\n\t\t\t\"enabled\": true\n\t\t},\n\t},\n}\n",
        );
        let came = set(LOOSE, "{\r\n  \"a\": 1\r\n}\r\n").unwrap();
        assert_eq!(came.matches('\n').count(), came.matches("\r\n").count(), "{came:?}");
    }

    #[test]
    fn what_is_broken_or_something_else_is_refused() {
        let refused = |dialect, text: &str| set(dialect, text).unwrap_err().to_string();
        for text in
            ["{bad", "[]", "\"x\"", "{\"mcp\": \"x\"}", "{\"mcp\": {\"pyro\": []}}", "{'mcp': {}}", "{} {}"]
        {
            assert!(refused(LOOSE, text).starts_with("config: "), "{text}");
        }
        assert!(refused(STRICT, "{} // a comment\n").starts_with("config: "));
        assert!(refused(STRICT, "{\"a\": 1,}\n").starts_with("config: "));
        let twice = "{\"mcp\": {\"pyro\": {\"enabled\": false}, \"pyro\": {\"enabled\": false}}}";
        assert!(refused(LOOSE, twice).contains("twice"));
    }

    #[test]
    fn an_entry_goes_and_nothing_else() {
        let gone = |text: &str| LOOSE.unset(Path::new("config"), text, "pyro").unwrap();
        let text = "{\n  \"mcp\": {\n    \"o\": {}, // b\n    \"pyro\": {}, // c\n  },\n  \"theme\": \"x\" // d\n}\n";
        let came = gone(text);
        assert!(!came.contains("pyro") && came.contains("// b") && came.contains("// d"), "{came}");
        LOOSE.parse(Path::new("config"), &came).unwrap();
        assert_eq!(gone("{} // x\n"), "{} // x\n");
    }
}
