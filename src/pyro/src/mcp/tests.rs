//! What clients are shown, and what becomes of a call that goes wrong: without any workspace.

use super::args::{Profile, ServeArgs};
use super::known::known_tool;
use super::server::Server;
use super::session::Session;
use super::tool::{About, Answer, Call, Operation, Reach, Tool};
use super::tools;
use crate::config::Config;
use crate::error::UserError;
use crate::recipe::Places;
use rmcp::{ServerHandler, ServiceExt};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio_util::sync::CancellationToken;

const MODES: [&str; 4] = ["repro-fix", "inspect", "cold-start", "review-eval"];
const PROFILES: [Profile; 3] = [Profile::VmRun, Profile::WorkspaceCore, Profile::WorkspaceFull];

/// Most tokens of a list of tools: it is in every conversation.
const TOKENS_MAX: usize = 2500;

fn of_profile(profile: Profile) -> Session {
    let args = ServeArgs { profile: Some(profile), no_project_source: true, ..ServeArgs::default() };
    Session::new("/nonexistent/pyro".into(), Config::default(), args, None)
}

fn of_mode(mode: &str) -> Session {
    let places = Places { user: None, project: None };
    let found = places.find(mode, &known_tool).unwrap();
    Session::new("/nonexistent/pyro".into(), Config::default(), ServeArgs::default(), Some(found))
}

fn all() -> Vec<(String, Session)> {
    let profiles = PROFILES.map(|it| (it.to_string(), of_profile(it)));
    profiles.into_iter().chain(MODES.map(|it| (it.into(), of_mode(it)))).collect()
}

fn listed(session: &Session) -> Vec<Value> {
    session.tools().iter().map(|tool| serde_json::to_value(tool.listed()).unwrap()).collect()
}

fn names(session: &Session) -> Vec<&str> {
    session.tools().iter().map(|tool| tool.name()).collect()
}

#[test]
fn the_core_is_exactly_these() {
    let core = "vm_run workspace_create workspace_list workspace_update workspace_status workspace_sync_push \
        workspace_exec workspace_logs workspace_summary workspace_file_list workspace_file_read \
        workspace_file_write workspace_patch_apply workspace_diff workspace_export workspace_reset \
        workspace_delete";
    assert_eq!(names(&of_profile(Profile::WorkspaceCore)), core.split_whitespace().collect::<Vec<_>>());
    assert_eq!(names(&of_profile(Profile::VmRun)), ["vm_run"]);
    let full = of_profile(Profile::WorkspaceFull);
    assert_eq!(full.tools().len(), 28);
    assert!(names(&full).starts_with(&names(&of_profile(Profile::WorkspaceCore))));
}

#[test]
#[expect(clippy::print_stdout, reason = "the bench reads what a list costs")]
fn a_list_costs_little() {
    let tokens = tiktoken_rs::o200k_base().unwrap();
    let mut over = Vec::new();
    for (what, session) in all() {
        let text = serde_json::to_string(&listed(&session)).unwrap();
        let count = tokens.encode_ordinary(&text).len();
        println!("{what}: {count} tokens, {} bytes, {} tools", text.len(), session.tools().len());
        let is_full = what == "workspace-full";
        let bytes_max = if is_full { 24 << 10 } else { 12 << 10 };
        if text.len() > bytes_max || (count > TOKENS_MAX && !is_full) {
            over.push(what);
        }
    }
    assert!(over.is_empty(), "{over:?}");
}

#[test]
fn every_tool_says_all_that_clients_decide_by() {
    for (what, session) in all() {
        for tool in listed(&session) {
            let name = &tool["name"];
            let text = tool["description"].as_str().unwrap();
            assert!((20..=600).contains(&text.chars().count()), "{what} {name}: {text}");
            let annotations = tool["annotations"].as_object().unwrap();
            for hint in ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"] {
                assert!(annotations[hint].is_boolean(), "{what} {name}: {hint}");
            }
            assert_eq!(annotations["openWorldHint"], false, "{what} {name}");
            let writes_host = ["workspace_export", "workspace_disk_export"].map(Value::from).contains(name);
            assert_eq!(annotations["destructiveHint"], writes_host, "{what} {name}");
            assert_eq!(tool["inputSchema"]["type"], "object");
            assert_eq!(tool["inputSchema"]["additionalProperties"], false, "{what} {name}");
            portable(name, &tool["inputSchema"]);
            if let Some(output) = tool.get("outputSchema") {
                assert_eq!(output["type"], "object", "{what} {name}");
                portable(name, output);
            }
        }
    }
}

/// What clients stumble over is nowhere.
fn portable(name: &Value, schema: &Value) {
    match schema {
        Value::Object(fields) => {
            for (key, value) in fields {
                let strange = ["$schema", "$ref", "$defs", "title", "anyOf", "oneOf", "allOf"];
                assert!(!strange.contains(&key.as_str()), "{name}: {key}");
                assert!(!(key == "format" && value.is_string()), "{name}: {value}");
                assert!(!(key == "type" && value.is_array()), "{name}: {value}");
                portable(name, value);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| portable(name, value)),
        _ => {}
    }
}

#[test]
fn words_that_agents_search_for_are_in_short_instructions() {
    for (what, session) in all() {
        let server = Server::new(Arc::new(session), CancellationToken::new());
        let text = server.get_info().instructions.unwrap();
        assert!((100..=600).contains(&text.chars().count()), "{what}: {} characters", text.chars().count());
        for word in ["microVM", "sandbox", "solated", "shell", "command"] {
            assert!(text.contains(word), "{what}: {word}");
        }
    }
}

#[test]
fn what_is_shown_at_first_is_enough_to_work_with() {
    let up_front = |tool: &Value| tool["_meta"]["anthropic/alwaysLoad"] == true;
    let core = listed(&of_profile(Profile::WorkspaceCore));
    let shown: Vec<&str> =
        core.iter().filter(|it| up_front(it)).map(|it| it["name"].as_str().unwrap()).collect();
    let expected =
        ["workspace_create", "workspace_exec", "workspace_logs", "workspace_patch_apply", "workspace_diff"];
    assert_eq!(shown, expected);
}

#[test]
fn every_example_is_a_call_that_the_tool_takes() {
    for tool in tools::of(Profile::WorkspaceFull) {
        let example: Value = serde_json::from_str(tool.about.example).unwrap();
        let schema = tool.input();
        let known = schema["properties"].as_object();
        for key in example.as_object().unwrap().keys() {
            assert!(known.is_some_and(|known| known.contains_key(key)), "{}: {key}", tool.about.name);
        }
        let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        for key in required {
            assert!(example.get(key.as_str().unwrap()).is_some(), "{}: {key}", tool.about.name);
        }
    }
}

#[test]
fn a_mode_has_its_tools_and_words_and_no_others() {
    let inspect = of_mode("inspect");
    for name in ["workspace_patch_apply", "workspace_reset", "vm_run", "workspace_diff"] {
        assert!(inspect.tool(name).is_none(), "{name}");
    }
    let exec = serde_json::to_value(inspect.tool("workspace_exec").unwrap().listed()).unwrap();
    assert!(exec["description"].as_str().unwrap().contains("untrusted"));
    assert_eq!(exec["inputSchema"]["properties"]["timeout_seconds"]["maximum"], 120);
    let core = names(&of_profile(Profile::WorkspaceCore)).len();
    assert_eq!(of_mode("repro-fix").tools().len(), core - 1);
}

/// Fails in the way that it is told.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Fail {
    how: String,
}

impl Operation for Fail {
    const ABOUT: About = About {
        name: "workspace_fail",
        text: "Fail in the way that is asked for.",
        reach: Reach::Look,
        output: None,
        example: r#"{"how":"panic"}"#,
        up_front: false,
    };

    fn run(self, _: &Call<'_>) -> Result<Answer, UserError> {
        match self.how.as_str() {
            "panic" => panic!("as it was told"),
            "host" => Err(UserError::new("disk_full", "no space left").hint("pyro env prune frees space")),
            _ => Ok(Answer::Text("it did not".into())),
        }
    }
}

/// One line to a server, and the line that it answers.
async fn ask(client: &mut BufReader<DuplexStream>, arguments: Value) -> Value {
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "workspace_fail", "arguments": arguments, "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    }});
    client.write_all(format!("{call}\n").as_bytes()).await.unwrap();
    let mut line = String::new();
    client.read_line(&mut line).await.unwrap();
    serde_json::from_str::<Value>(&line).unwrap()["result"].clone()
}

#[tokio::test]
async fn a_call_that_panics_is_answered_and_the_server_goes_on() {
    let session = Session::with_tools(vec![Tool::of::<Fail>()]);
    let server = Server::new(Arc::new(session), CancellationToken::new());
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    tokio::spawn(async move { server.serve(tokio::io::split(theirs)).await.unwrap().waiting().await });
    let mut client = BufReader::new(ours);
    for (how, is_error, told) in [
        ("panic", true, "error: pyro failed inside workspace_fail"),
        ("not", false, "it did not"),
        ("host", true, "error: no space left (pyro env prune frees space); ask the user"),
    ] {
        let result = ask(&mut client, json!({ "how": how })).await;
        assert_eq!(result["isError"].as_bool().unwrap_or(false), is_error, "{result}");
        let text = result["content"][0]["text"].as_str().unwrap();
        assert!(text.starts_with(told), "{text}");
    }
    let result = ask(&mut client, json!({ "how": "not", "why": "x" })).await;
    let text = result["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("unknown field `why`") && text.ends_with(r#"call workspace_fail {"how":"panic"}"#));
}
