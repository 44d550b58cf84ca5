//! What models are told: what went wrong and the next call, and of long texts a part.

use super::client::{Answer, Client, Era};
use serde_json::{Value, json};
use std::fs;

#[test]
fn a_mistake_is_answered_with_the_next_call() {
    let pyro = crate::pyro();
    let mut client = Client::bare(&pyro, &[]);
    let id = client.create(json!({ "name": "mistakes" }));
    let here = json!({ "workspace_id": id });
    let misfit = "--- a/file\n+++ b/file\n@@ -1 +1 @@\n-no\n+yes\n";
    client.sh(&id, "echo text > file; head -c 100 /dev/urandom > bytes");
    let cases: [(&str, Value, &str, &str, Value); 14] = [
        (
            "workspace_exec",
            json!({}),
            "missing field `workspace_id`",
            "workspace_exec",
            json!({ "workspace_id": "ID", "command": "ls -la" }),
        ),
        (
            "workspace_exec",
            json!({ "workspace_id": id, "cmd": "x" }),
            "unknown field `cmd`",
            "workspace_exec",
            json!({ "workspace_id": id, "command": "ls -la" }),
        ),
        (
            "workspace_exec",
            json!({ "workspace_id": id }),
            "exactly one of command and argv",
            "workspace_exec",
            json!({ "workspace_id": id, "command": "ls -la" }),
        ),
        (
            "workspace_exec",
            json!({ "workspace_id": id, "command": "x", "yield_seconds": 46 }),
            "between 0 and 45",
            "workspace_exec",
            json!({ "workspace_id": id, "command": "ls -la" }),
        ),
        (
            "workspace_exec",
            json!({ "workspace_id": "ws_none", "command": "x" }),
            "no workspace \"ws_none\"",
            "workspace_list",
            json!({}),
        ),
        (
            "workspace_create",
            json!({ "name": "mistakes" }),
            "taken by",
            "workspace_create",
            json!({ "name": "mistakes-2" }),
        ),
        (
            "workspace_create",
            json!({ "environment": "No such:image!" }),
            "No such:image!",
            "workspace_create",
            json!({ "environment": "debian:12" }),
        ),
        (
            "workspace_create",
            json!({ "vcpu_count": 99 }),
            "between 1 and 16",
            "workspace_create",
            json!({ "environment": "debian:12" }),
        ),
        (
            "workspace_file_read",
            json!({ "workspace_id": id, "path": "none" }),
            "no such file",
            "workspace_file_list",
            here.clone(),
        ),
        (
            "workspace_file_read",
            json!({ "workspace_id": id, "path": "../x" }),
            "has a '..' in it",
            "workspace_file_read",
            json!({ "workspace_id": id, "path": "README.md" }),
        ),
        (
            "workspace_file_read",
            json!({ "workspace_id": id, "path": "bytes" }),
            "not UTF-8 text",
            "workspace_export",
            json!({ "workspace_id": id, "path": "bytes", "output": "/tmp/bytes" }),
        ),
        (
            "workspace_patch_apply",
            json!({ "workspace_id": id, "patch": misfit }),
            "does not fit",
            "workspace_file_read",
            json!({ "workspace_id": id, "path": "file" }),
        ),
        (
            "workspace_logs",
            json!({ "workspace_id": id, "sequence": 99 }),
            "no command #99",
            "workspace_logs",
            here.clone(),
        ),
        (
            "workspace_export",
            json!({ "workspace_id": id, "path": "file", "output": "/tmp" }),
            "exists already",
            "workspace_export",
            json!({ "workspace_id": id, "path": "file", "output": "/tmp-2" }),
        ),
    ];
    for (tool, arguments, why, next, with) in cases {
        let (told, tool, then) = client.call(tool, arguments.clone()).refused();
        assert!(told.contains(why), "{arguments}: {told}");
        assert_eq!((tool.as_str(), then), (next, with), "{arguments}: {told}");
    }
    client.delete(&id);
    client.close();
}

#[test]
fn a_tool_that_the_mode_has_not_is_neither_listed_nor_called_and_limits_hold() {
    let pyro = crate::pyro();
    let mut client = Client::bare(&pyro, &["--mode", "inspect"]);
    let listed = client.ask("tools/list", json!({}));
    let tools = listed["result"]["tools"].as_array().unwrap();
    assert!(!tools.iter().any(|tool| tool["name"] == "workspace_reset"), "{tools:?}");
    let answer = client.ask("tools/call", json!({ "name": "workspace_reset", "arguments": {} }));
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
    let too_long = json!({ "workspace_id": "x", "command": "true", "timeout_seconds": 121 });
    let (why, ..) = client.call("workspace_exec", too_long).refused();
    assert!(why.contains("at most 120"), "{why}");
    client.close();
}

#[test]
fn a_broken_recipe_names_file_line_and_field() {
    let pyro = crate::pyro();
    let project = tempfile::tempdir().unwrap();
    fs::create_dir_all(project.path().join(".git")).unwrap();
    fs::create_dir_all(project.path().join(".pyro/recipes")).unwrap();
    fs::write(project.path().join(".pyro/recipes/own.toml"), "summary = 'x'\nsumary = 'y'\n").unwrap();
    let mut serve = super::client::serve(&pyro, &["--mode", "own"]);
    let ran = crate::support::Ran::of(&serve.current_dir(project.path()).output().unwrap());
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
    for part in ["own.toml", "line 2", "sumary"] {
        assert!(ran.stderr.contains(part), "{ran:?}");
    }
}

#[test]
fn of_long_output_the_ends_are_shown_and_cursors_give_all_of_it() {
    let pyro = crate::pyro();
    let mut client = Client::bare(&pyro, &[]);
    let id = client.create(json!({}));
    let (first, output) = client.sh(&id, "seq 1 20000");
    let whole: String = (1..=20000).map(|it| format!("{it}\n")).collect();
    assert!(first.contains(&format!("stdout {} B, showing ", whole.len())), "{first}");
    assert!(output.len() < 9000 && output.starts_with("1\n2\n") && output.ends_with("19999\n20000\n"));
    let marker = output.lines().find(|line| line.starts_with("[… ")).unwrap();
    let call = marker.split_once("workspace_logs ").unwrap().1.trim_end_matches(" …]");
    let mut arguments: Value = serde_json::from_str(call).unwrap();

    let head = usize::try_from(arguments["cursor"].as_u64().unwrap()).unwrap();
    let mut pages = whole[..head].to_owned();
    arguments["max_bytes"] = json!(30 << 10);
    while pages.len() < whole.len() {
        let (first, page) = client.call("workspace_logs", arguments.clone()).bulk();
        let page = page.split("\n[").next().unwrap();
        let cursor: u64 = first.split("cursor ").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
        pages.push_str(page.strip_suffix('\n').unwrap_or(page));
        pages.push('\n');
        assert_eq!(pages.len() as u64, cursor);
        arguments["cursor"] = json!(cursor);
    }
    assert_eq!(pages, whole);

    let (_, output) =
        client.sh(&id, r"printf '\033[31mred\033[0m 1%%\r 99%%\r done\n\007'; printf '%05000d\n' 0");
    assert!(output.starts_with(" done\n000"), "{output}");
    assert!(output.contains("[… 3000 characters of this line cut]"), "{output}");

    client.sh(&id, "seq 1 20000 > numbers; printf 'a\\033[2Jb\\r\\n' > escapes");
    let read = |more: Value| {
        let mut arguments = json!({ "workspace_id": id, "path": "numbers" });
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        arguments
    };
    let (first, text) = client.call("workspace_file_read", read(json!({}))).bulk();
    assert!(first.contains("size 108894 B") && text.contains("bytes cut; workspace_file_read {"), "{first}");
    let (_, text) = client.call("workspace_file_read", read(json!({ "cursor": 2, "max_bytes": 100 }))).bulk();
    assert!(text.starts_with("2\n3\n"), "{text}");
    let (_, text) = client.call("workspace_file_read", read(json!({ "path": "escapes" }))).bulk();
    assert_eq!(text, "a\u{241b}[2Jb\r\n");
    let (first, patch) = client.call("workspace_diff", json!({ "workspace_id": id })).bulk();
    assert!(first.starts_with("files=2 ") && patch.len() < 9000, "{first}");
    assert!(patch.contains("bytes cut; workspace_diff {"), "{patch}");
    client.delete(&id);
    client.close();
}

#[test]
fn nothing_of_the_servers_environment_reaches_a_guest() {
    let pyro = crate::pyro();
    let mut serve = super::client::serve(&pyro, &["--no-project-source"]);
    serve.env("API_TOKEN", "very-secret").current_dir("/");
    let output = {
        let mut child = serve
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let params = json!({ "name": "vm_run", "arguments": { "command": "env; cat /proc/1/environ" }, "_meta": meta });
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        std::io::Write::write_all(&mut stdin, format!("{call}\n").as_bytes()).unwrap();
        let mut line = String::new();
        let stdout = child.stdout.as_mut().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
        drop(stdin);
        child.wait().unwrap();
        serde_json::from_str::<Value>(&line).unwrap()
    };
    let (first, text) = Answer::of(&output["result"]).bulk();
    assert!(first.starts_with("exit="), "{first}");
    assert!(text.contains("PATH=") && !text.contains("very-secret"), "{text}");
}

#[test]
fn a_server_starts_where_nothing_works_and_says_so_when_it_is_called() {
    let pyro = crate::pyro();
    let nowhere = tempfile::NamedTempFile::new().unwrap();
    let mut client = {
        let flags = ["--home", nowhere.path().to_str().unwrap(), "--project-path", "/nonexistent"];
        Client::start(&pyro, Era::Stateless, std::path::Path::new("/"), &flags)
    };
    let listed = client.ask("tools/list", json!({}));
    assert_eq!(listed["result"]["tools"].as_array().unwrap().len(), 17);
    assert!(listed["result"]["ttlMs"].as_u64().unwrap() > 0, "{listed}");
    let (why, tool, _) = client.call("workspace_create", json!({})).refused();
    assert!(why.contains("is not a directory") && why.contains("ask the user to run `pyro doctor`"), "{why}");
    assert_eq!(tool, "workspace_create");
    client.close();
}
