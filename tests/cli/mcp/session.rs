//! A whole piece of work: a failing test is reproduced, mended, proved and handed over.

use super::client::{Client, Era};
use crate::support::Ran;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;

/// A project whose test fails.
fn project() -> tempfile::TempDir {
    let project = tempfile::tempdir().unwrap();
    fs::write(project.path().join("answer.txt"), "the answer is 41\n").unwrap();
    fs::write(project.path().join("check.sh"), "grep -q 42 answer.txt || { echo wrong; exit 1; }\n").unwrap();
    fs::write(project.path().join(".gitignore"), "junk\n").unwrap();
    fs::write(project.path().join("junk"), "junk").unwrap();
    git(project.path(), &["init", "-q"]);
    git(project.path(), &["add", "."]);
    git(project.path(), &["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "one"]);
    project
}

fn git(directory: &Path, words: &[&str]) -> Ran {
    let mut git = Command::new("git");
    git.env("GIT_CONFIG_GLOBAL", "/dev/null").arg("-C").arg(directory).args(words);
    Ran::of(&git.output().unwrap()).ended(0)
}

const FIX: &str = "--- a/answer.txt\n+++ b/answer.txt\n@@ -1 +1 @@\n-the answer is 41\n+the answer is 42\n";

#[expect(clippy::print_stdout, reason = "the bench reads how much a session is")]
fn work(era: Era) {
    let pyro = crate::pyro();
    let project = project();
    let mut client = Client::start(&pyro, era, project.path(), &[]);
    let top = project.path().canonicalize().unwrap().display().to_string();

    let created = client.call("workspace_create", json!({ "labels": { "task": "answer" } })).record();
    let id = created["workspace_id"].as_str().unwrap();
    let seed = &created["workspace_seed"];
    assert_eq!((&seed["origin_kind"], &seed["origin_ref"]), (&json!("project_path"), &json!(top)));
    assert_eq!(seed["entries"], 3);
    assert_eq!(created["execution_mode"], pyro.execution_mode);
    let with = |more: Value| {
        let mut arguments = json!({ "workspace_id": id });
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        arguments
    };

    let (first, output) = client.sh(id, "sh check.sh");
    assert!(first.starts_with("exit=1 after "), "{first}");
    assert!(first.contains(&format!("{id} #1, stdout 6 B, showing 6, cursor 6")), "{first}");
    assert_eq!(output, "wrong\n");

    let (first, listed) = client.call("workspace_file_list", with(json!({}))).bulk();
    assert!(first.contains("entries 4"), "{first}");
    assert!(listed.contains(" 17 answer.txt\n") && !listed.contains("junk"), "{listed}");
    let (first, text) = client.call("workspace_file_read", with(json!({ "path": "answer.txt" }))).bulk();
    assert!(first.contains("size 17 B, showing 17, cursor 17"), "{first}");
    assert_eq!(text, "the answer is 41\n");

    let tried = client.call("workspace_patch_apply", with(json!({ "patch": FIX, "check": true }))).record();
    assert_eq!(tried["applied"], false);
    let patched = client.call("workspace_patch_apply", with(json!({ "patch": FIX }))).record();
    assert_eq!((&patched["applied"], &patched["files"][0]["path"]), (&json!(true), &json!("answer.txt")));
    let note = with(json!({ "path": "notes/why.md", "text": "off by one\n" }));
    assert_eq!(client.call("workspace_file_write", note).record()["bytes"], 11);
    let (first, _) = client.sh(id, "sh check.sh");
    assert!(first.starts_with("exit=0 after "), "{first}");

    let (first, patch) = client.call("workspace_diff", with(json!({}))).bulk();
    assert!(first.starts_with("files=2 insertions=2 deletions=1, "), "{first}");
    assert!(patch.contains("+the answer is 42\n") && patch.contains("+++ b/notes/why.md\n"), "{patch}");
    let statistics = client.call("workspace_diff", with(json!({ "stat": true }))).record();
    assert_eq!((&statistics["files"], &statistics["base"]), (&json!(2), &json!("baseline")));

    let output = project.path().join("fix.patch");
    let export = with(json!({ "path": ".", "output": output, "format": "patch" }));
    assert_eq!(client.call("workspace_export", export).record()["entries"], 2);
    git(project.path(), &["apply", "fix.patch"]);
    assert_eq!(fs::read_to_string(project.path().join("answer.txt")).unwrap(), "the answer is 42\n");

    let summary = client.call("workspace_summary", with(json!({}))).record();
    assert_eq!((&summary["commands"]["count"], &summary["changes"]["files"]), (&json!(2), &json!(2)));
    let (first, log) = client.call("workspace_logs", with(json!({}))).bulk();
    assert!(first.starts_with("commands=2 running=0, "), "{first}");
    assert!(
        log.starts_with("#1 exit=1 ") && log.lines().all(|line| line.ends_with("B: sh check.sh")),
        "{log}"
    );
    let (first, output) = client.call("workspace_logs", with(json!({ "sequence": 1 }))).bulk();
    assert!(first.starts_with("exit=1 after ") && output == "wrong\n", "{first} {output}");

    let pushed =
        client.call("workspace_sync_push", with(json!({ "source": "notes", "dest": "/workspace/in" })));
    assert_eq!(pushed.record()["entries"], 1);
    let updated = with(json!({ "ttl_seconds": 900, "labels": { "task": "", "state": "done" } }));
    let updated = client.call("workspace_update", updated).record();
    assert_eq!(updated["labels"], json!({ "state": "done" }));
    let status = client.call("workspace_status", with(json!({}))).record();
    assert_eq!((&status["ttl_seconds"], &status["state"]), (&json!(900), &json!("started")));

    let reset = client.call("workspace_reset", with(json!({}))).record();
    assert_eq!((&reset["workspace_id"], &reset["reset_to"]), (&json!(id), &json!("baseline")));
    let (first, patch) = client.call("workspace_diff", with(json!({}))).bulk();
    assert!(first.starts_with("files=0 ") && patch.is_empty(), "{first} {patch}");
    let is_ours = |it: &Value| it["workspace_id"] == id;
    let listed = client.call("workspace_list", json!({})).record();
    assert!(listed["workspaces"].as_array().unwrap().iter().any(is_ours));

    let uri = |view: &str| json!({ "uri": format!("pyro://workspace/{id}/{view}") });
    let answer = client.ask("resources/read", uri("summary"));
    let read = answer["result"]["contents"][0]["text"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(read).unwrap()["outcome"], "nothing_run");
    for view in ["diff", "logs"] {
        let answer = client.ask("resources/read", uri(view));
        assert!(answer["result"]["contents"][0]["text"].as_str().unwrap().contains(id), "{answer}");
    }
    let answer = client.ask("resources/read", uri("nothing"));
    assert!(answer["error"]["message"].as_str().unwrap().contains("none of"), "{answer}");
    let prompt =
        client.ask("prompts/get", json!({ "name": "workspace", "arguments": { "task": "find it" } }));
    let text = prompt["result"]["messages"][0]["content"]["text"].as_str().unwrap();
    assert!(text.ends_with("find it"), "{text}");

    client.delete(id);
    let tokens = tiktoken_rs::o200k_base().unwrap().encode_ordinary(&client.transcript).len();
    println!("session: {tokens} tokens, {} bytes", client.transcript.len());
    let listed = client.call("workspace_list", json!({})).record();
    assert!(!listed["workspaces"].as_array().unwrap().iter().any(is_ours));
    client.close();
}

#[test]
fn a_bug_is_mended_by_a_client_with_a_handshake() {
    work(Era::Handshake);
}

#[test]
fn a_bug_is_mended_by_a_client_without_one() {
    work(Era::Stateless);
}

#[test]
fn a_command_runs_in_a_machine_of_its_own() {
    let pyro = crate::pyro();
    let mut client = Client::bare(&pyro, &["--profile", "vm-run"]);
    let ran = client.call("vm_run", json!({ "argv": ["sh", "-c", "echo out; echo err >&2; exit 3"] }));
    let (first, output) = ran.bulk();
    assert!(
        first.starts_with("exit=3 after ") && first.contains("stdout 4 B, stderr 4 B, showing 8"),
        "{first}"
    );
    assert_eq!(output, "out\nerr\n");
    let ran = client.call("vm_run", json!({ "command": "sleep 60", "timeout_seconds": 1 }));
    let (first, _) = ran.bulk();
    assert!(first.starts_with("exit=124 after ") && first.contains("(timed out)"), "{first}");
    client.close();
}

#[test]
fn states_are_kept_compared_and_gone_back_to() {
    let pyro = crate::pyro();
    let mut client = Client::bare(&pyro, &["--profile", "workspace-full"]);
    let id = client.create(json!({}));
    let on = |more: Value| {
        let mut arguments = json!({ "workspace_id": id });
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        arguments
    };
    client.sh(&id, "echo one > file");
    assert_eq!(client.call("snapshot_create", on(json!({ "name": "one" }))).record()["name"], "one");
    client.sh(&id, "echo two > file");
    let (_, patch) = client.call("workspace_diff", on(json!({ "snapshot": "one" }))).bulk();
    assert!(patch.contains("-one\n+two\n"), "{patch}");
    let fork = client.call("workspace_fork", on(json!({ "snapshot": "one" }))).record();
    let other = fork["workspace_id"].as_str().unwrap();
    assert_eq!(client.sh(other, "cat file").1, "one\n");
    client.call("workspace_reset", on(json!({ "snapshot": "one" }))).record();
    assert_eq!(client.sh(&id, "cat file").1, "one\n");
    let listed = client.call("snapshot_list", on(json!({}))).record();
    assert_eq!(listed["snapshots"].as_array().unwrap().len(), 1);
    let (why, tool, arguments) = client.call("workspace_reset", on(json!({ "snapshot": "two" }))).refused();
    assert_eq!((tool.as_str(), &arguments), ("snapshot_list", &on(json!({}))), "{why}");
    assert_eq!(client.call("snapshot_delete", on(json!({ "name": "one" }))).record()["deleted"], true);
    let committed = client.call("workspace_commit", on(json!({ "tag": "pyro.local/test/mcp:1" }))).record();
    let environments = client.call("env_list", json!({})).record()["environments"].to_string();
    assert!(environments.contains("pyro.local/test/mcp:1"), "{committed} {environments}");
    pyro.pyro(&["env", "rm", "pyro.local/test/mcp:1"]).ended(0);

    assert_eq!(client.call("workspace_stop", on(json!({}))).record()["state"], "stopped");
    let (why, tool, _) = client.call("workspace_exec", on(json!({ "command": "true" }))).refused();
    assert_eq!(tool, "workspace_start", "{why}");
    let (_, listed) = client.call("workspace_disk_list", on(json!({ "path": "/workspace" }))).bulk();
    assert!(listed.ends_with(" 4 /workspace/file\n"), "{listed}");
    let (_, text) = client.call("workspace_disk_read", on(json!({ "path": "/workspace/file" }))).bulk();
    assert_eq!(text, "one\n");
    let target = tempfile::tempdir().unwrap();
    let output = target.path().join("disk.tar");
    let exported = client.call("workspace_disk_export", on(json!({ "output": output, "format": "tar" })));
    assert_eq!(exported.record()["bytes"], output.metadata().unwrap().len());
    assert_eq!(client.call("workspace_start", on(json!({}))).record()["state"], "started");
    assert_eq!(client.sh(&id, "cat file").1, "one\n");
    client.delete(other);
    client.delete(&id);
    client.close();
}

#[test]
fn a_server_for_a_repository_works_on_a_clone_of_what_it_was_asked_for() {
    let pyro = crate::pyro();
    let (repository, elsewhere) = (project(), tempfile::tempdir().unwrap());
    let there = repository.path();
    git(there, &["tag", "v1"]);
    fs::write(there.join("answer.txt"), "the answer is 43\n").unwrap();
    git(there, &["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-aqm", "two"]);
    let url = format!("file://{}", there.display());
    let flags = ["--repo-url", &url, "--repo-ref", "v1"];
    let mut client = Client::start(&pyro, Era::Stateless, elsewhere.path(), &flags);
    let created = client.call("workspace_create", json!({})).record();
    let commit = git(there, &["rev-parse", "v1"]).stdout;
    let seed = &created["workspace_seed"];
    assert_eq!(seed["origin_kind"], "repo_url");
    assert_eq!(seed["origin_ref"], format!("{url}#{}", commit.trim()));
    let id = created["workspace_id"].as_str().unwrap();
    let (_, output) = client.sh(id, "cat answer.txt; git status --porcelain; git rev-list --count HEAD; ls");
    assert_eq!(output, "the answer is 41\n1\nanswer.txt\ncheck.sh\n");
    client.delete(id);
    client.close();
}
