//! What the documentation tells people to type is what the parser takes, and the calls that it shows
//! are calls of tools that there are. (The drivers in `tests/smoke` make those of `use-cases/`.)

#[path = "../../../../tests/support/pages.rs"]
mod pages;

use super::Cli;
use crate::config::Config;
use crate::mcp::known_tool;
use crate::recipe::KnownTool;
use clap::Parser;
use serde_json::{Value, json};

/// The `pyro` commands of a line of shell.
fn commands(line: &str) -> Vec<Vec<String>> {
    let words = shlex::split(line).unwrap_or_else(|| panic!("unbalanced quotes: {line}"));
    let ends = |word: &String| ["&&", "||", "|", ";", ">"].contains(&word.as_str());
    let commands = words.split(ends).map(<[String]>::to_vec);
    commands.filter(|words| words.first().is_some_and(|word| word == "pyro")).collect()
}

#[test]
fn every_documented_command_parses() {
    let shell = pages::blocks(&["sh"]).into_iter().map(|block| (block, ""));
    // Here commands stand after a prompt, and the rest is output.
    let sessions = pages::blocks(&["console"]).into_iter().map(|block| (block, "$ "));
    let mut count = 0;
    for (block, prompt) in shell.chain(sessions) {
        let text = block.lines.join("\n").replace("\\\n", " ");
        for words in text.lines().filter_map(|line| line.strip_prefix(prompt)).flat_map(commands) {
            match Cli::try_parse_from(&words) {
                Err(error) if error.use_stderr() => panic!("{}: {words:?}: {error}", block.place),
                _ => count += 1,
            }
        }
    }
    assert!(count > 5, "only {count} commands were found");
}

#[test]
fn every_documented_setting_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let (file, mut count) = (directory.path().join("config.toml"), 0);
    let blocks = pages::blocks(&["toml"]).into_iter();
    for block in blocks.filter(|block| block.lines[0].starts_with("# config.toml")) {
        std::fs::write(&file, block.lines.join("\n")).unwrap();
        Config::load(Some(&file), None).unwrap_or_else(|error| panic!("{}: {error}", block.place));
        count += 1;
    }
    assert!(count > 0, "no settings are documented");
}

/// What is wrong with a call, as far as a tool's schema tells.
fn fault(call: &Value) -> Option<String> {
    let Some(KnownTool::Built(schema)) = call["tool"].as_str().and_then(known_tool) else {
        return Some("there is no such tool".into());
    };
    let schema = Value::Object(schema.as_ref().clone());
    let (known, given) = (&schema["properties"], call["arguments"].as_object()?);
    let kind = |value: &Value| match value {
        Value::String(_) => "string",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::Null => "null",
    };
    // What is one of several words has no type.
    let takes = |name: &str, value| {
        known.get(name).is_some_and(|it| it.get("type").is_none_or(|it| it == kind(value)))
    };
    let wrong = given.iter().find(|(name, value)| !takes(name, value));
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let missing = required.into_iter().find(|name| !given.contains_key(*name));
    let wrong = wrong.map(|(name, value)| format!("it does not take {name}: {value}"));
    wrong.or_else(|| missing.map(|name| format!("{name} is missing")))
}

#[test]
fn every_documented_call_is_of_a_tool_that_takes_it() {
    let mut count = 0;
    for block in pages::blocks(&["json"]) {
        let value: Value = serde_json::from_str(&block.lines.join("\n"))
            .unwrap_or_else(|error| panic!("{}: {error}", block.place));
        if value.get("tool").is_some() {
            assert_eq!(fault(&value), None, "{}: {value}", block.place);
            count += 1;
        }
    }
    assert!(count > 20, "only {count} calls were found");
}

#[test]
fn a_call_that_no_tool_takes_would_be_found() {
    for (call, why) in [
        (json!({ "tool": "workspace_make", "arguments": {} }), "no such tool"),
        (json!({ "tool": "workspace_exec", "arguments": { "command": "ls" } }), "workspace_id is missing"),
        (
            json!({ "tool": "workspace_status", "arguments": { "workspace_id": "a", "all": true } }),
            "all: true",
        ),
        (json!({ "tool": "workspace_status", "arguments": { "workspace_id": 3 } }), "workspace_id: 3"),
    ] {
        assert!(fault(&call).is_some_and(|found| found.contains(why)), "{call}");
    }
}

#[test]
fn a_command_that_does_not_exist_would_be_found() {
    assert_eq!(commands("make build && pyro env lst 'x y'  # comment"), [["pyro", "env", "lst", "x y"]]);
    assert!(Cli::try_parse_from(["pyro", "env", "lst"]).is_err());
}
