//! What outlives what: commands their servers, servers their calls.

use super::client::{Answer, Client};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// A command that says that it has begun, and goes on until it is told to end.
const UNTIL_STOPPED: &str = "echo begun; while [ ! -e stop ]; do sleep 0.1; done; echo ended";

/// Starts that command, and returns the number of the call that waits.
fn begin(client: &mut Client, id: &str) -> u64 {
    let arguments = json!({ "workspace_id": id, "command": UNTIL_STOPPED });
    let call = json!({ "name": "workspace_exec", "arguments": arguments });
    let number = client.begin("tools/call", call);
    // Until it runs: calls run side by side.
    loop {
        let (_, output) = client.call("workspace_logs", json!({ "workspace_id": id })).bulk();
        if output.contains("#1 running") {
            return number;
        }
    }
}

/// Lets that command end, and waits for it.
fn end(client: &mut Client, id: &str) {
    client.sh(id, "touch stop");
    let wait = json!({ "workspace_id": id, "sequence": 1, "wait_seconds": 45 });
    let (first, output) = client.call("workspace_logs", wait).bulk();
    assert!(first.starts_with("exit=0 after "), "{first}");
    assert_eq!(output, "begun\nended\n");
}

#[test]
fn a_command_outlives_its_server_however_that_ends() {
    let pyro = crate::pyro();
    for signal in [None, Some(Signal::TERM), Some(Signal::INT), Some(Signal::KILL)] {
        let mut client = Client::bare(&pyro, &[]);
        let id = client.create(json!({}));
        begin(&mut client, &id);
        match signal {
            None => client.close(),
            Some(signal) => {
                let pid = Pid::from_child(&client.server);
                kill_process(pid, signal).unwrap();
                let status = client.server.wait().unwrap();
                assert_eq!(status.success(), signal != Signal::KILL, "{signal:?}: {status}");
            }
        }
        let mut other = Client::bare(&pyro, &[]);
        end(&mut other, &id);
        other.delete(&id);
        other.close();
    }
}

#[test]
fn a_call_returns_when_its_time_is_over_and_the_command_goes_on() {
    let pyro = crate::pyro();
    let mut client = Client::bare(&pyro, &[]);
    let id = client.create(json!({}));
    let call = json!({ "workspace_id": id, "command": UNTIL_STOPPED, "yield_seconds": 1 });
    let (first, output) = client.call("workspace_exec", call).bulk();
    assert!(first.starts_with("running after ") && first.contains(&format!("{id} #1, ")), "{first}");
    let next = output.lines().last().unwrap().strip_prefix("[still running; call workspace_logs ").unwrap();
    let arguments: Value = serde_json::from_str(next.strip_suffix(']').unwrap()).unwrap();
    assert_eq!(arguments["cursor"], 6);
    client.sh(&id, "touch stop");
    let (first, output) = client.call("workspace_logs", arguments).bulk();
    assert!(
        first.starts_with("exit=0 after ") && first.contains("stdout 12 B, showing 6, cursor 12"),
        "{first}"
    );
    assert_eq!(output, "ended\n");
    client.delete(&id);
    client.close();
}

#[test]
fn a_timeout_kills_the_command_and_a_cancelled_call_only_stops_waiting() {
    let pyro = crate::pyro();
    let mut client = Client::bare(&pyro, &[]);
    let id = client.create(json!({}));
    let call = begin(&mut client, &id);
    client.tell("notifications/cancelled", json!({ "requestId": call, "reason": "enough" }));
    let (_, listed) = client.call("workspace_logs", json!({ "workspace_id": id })).bulk();
    assert!(listed.contains("#1 running"), "{listed}");
    end(&mut client, &id);
    let slow = json!({ "workspace_id": id, "command": "sleep 600 & sleep 600", "timeout_seconds": 1 });
    let (first, _) = client.call("workspace_exec", slow).bulk();
    assert!(first.starts_with("exit=124 after ") && first.contains("(timed out)"), "{first}");
    let (_, processes) = client.sh(&id, "grep -l sleep /proc/[0-9]*/comm | wc -l");
    assert_eq!(processes, "0\n");
    client.delete(&id);
    client.close();
}

#[test]
fn a_client_that_asks_for_progress_hears_the_last_line_of_the_command() {
    let pyro = crate::pyro();
    let mut client = Client::bare(&pyro, &[]);
    let id = client.create(json!({}));
    let line = "echo working on it; sleep 6";
    let call = json!({
        "name": "workspace_exec",
        "arguments": { "workspace_id": id, "command": line },
        "_meta": { "progressToken": "mine" },
    });
    let answer = client.ask("tools/call", call);
    let (first, _) = Answer::of(&answer["result"]).bulk();
    assert!(first.starts_with("exit=0 "), "{first}");
    let told = client.notifications.iter().find(|it| it["method"] == "notifications/progress").unwrap();
    assert_eq!(told["params"]["progressToken"], "mine");
    assert_eq!(told["params"]["message"], "working on it");
    client.delete(&id);
    client.close();
}

#[test]
fn a_line_that_is_no_message_ends_nothing() {
    let pyro = crate::pyro();
    let mut client = Client::bare(&pyro, &[]);
    client.tell("\u{0}", json!("what?"));
    let answer = client.ask("tools/call", json!({ "name": "no_such_tool", "arguments": {} }));
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
    assert_eq!(client.ask("server/discover", json!({}))["result"]["supportedVersions"][0], "2024-11-05");
    client.close();
}
