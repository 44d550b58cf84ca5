//! The proof that an entry works: its command is started as the sparest of hosts does, and asked for its tools.
//!
//! No host shows what a server says on its standard error, so it is reported here.

use super::launch::Launch;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// What Codex lets through to a server, which is less than others do.
const ENVIRONMENT: [&str; 10] =
    ["HOME", "LOGNAME", "PATH", "SHELL", "USER", "LANG", "LC_ALL", "TERM", "TMPDIR", "TZ"];
/// How long a server may take; hosts wait for 30 s, but a user of theirs does not.
const LIMIT: Duration = Duration::from_secs(5);
/// How long it may take to end once its input is closed.
const GRACE: Duration = Duration::from_secs(1);
/// What is kept of its standard error.
const SAID_MAX: u64 = 4 << 10;
/// Longest answer: some times the longest list of tools that we allow ourselves.
const ANSWER_MAX: u64 = 1 << 20;
/// The protocol that needs no handshake.
const PROTOCOL: &str = "2026-07-28";

/// A server that answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answered {
    /// Its version.
    pub version: String,
    /// Names of its tools.
    pub tools: Vec<String>,
}

/// A server that did not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}{}{said}", if said.is_empty() { "" } else { "; it said: " })]
pub struct Silent {
    /// What was missing.
    pub why: String,
    /// What it wrote to its standard error.
    pub said: String,
}

/// Starts the command with little in its environment and asks for its tools. What serves every project has to do so
/// from the root directory, too.
///
/// # Errors
/// [`Silent`].
pub fn check(launch: &Launch, directory: &Path, more: &BTreeMap<String, String>) -> Result<Answered, Silent> {
    let mut command = Command::new(&launch.command);
    command.args(&launch.args).current_dir(directory).env_clear();
    command.envs(ENVIRONMENT.into_iter().filter_map(|name| Some((name, env::var_os(name)?)))).envs(more);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let started = command.spawn();
    let mut child = started
        .map_err(|error| Silent { why: format!("it cannot be started: {error}"), said: String::new() })?;
    let said = child.stderr.take().map(|stderr| {
        thread::spawn(move || {
            let mut text = Vec::new();
            let mut stderr = stderr;
            // The rest is read, too, so that the server is not held up.
            let kept = (&mut stderr).take(SAID_MAX).read_to_end(&mut text);
            let _ = kept.and_then(|_| io::copy(&mut stderr, &mut io::sink()));
            String::from_utf8_lossy(&text).trim().to_owned()
        })
    });
    let asked = ask(&mut child);
    end(&mut child);
    let said = said.and_then(|said| said.join().ok()).unwrap_or_default();
    asked.map_err(|why| Silent { why, said })
}

fn ask(child: &mut Child) -> Result<Answered, String> {
    let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("it has no standard input or output".into());
    };
    let (sender, answers) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output.take(ANSWER_MAX)).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let deadline = Instant::now() + LIMIT;
    let mut call = |id: u64, method: &str| -> Result<Value, String> {
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": PROTOCOL,
            "io.modelcontextprotocol/clientInfo": { "name": "pyro", "version": env!("CARGO_PKG_VERSION") },
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": { "_meta": meta } });
        let sent = writeln!(input, "{request}").and_then(|()| input.flush());
        sent.map_err(|error| format!("it takes no requests: {error}"))?;
        answer(&answers, id, deadline).map_err(|why| format!("{method}: {why}"))
    };
    let known = call(1, "server/discover")?;
    let listed = call(2, "tools/list")?;
    let version = known["serverInfo"]["version"].as_str().unwrap_or_default().to_owned();
    let tools = listed["tools"].as_array().into_iter().flatten();
    let tools: Vec<String> = tools.filter_map(|tool| tool["name"].as_str().map(str::to_owned)).collect();
    if tools.is_empty() { Err("it lists no tools".into()) } else { Ok(Answered { version, tools }) }
}

fn answer(answers: &Receiver<String>, id: u64, deadline: Instant) -> Result<Value, String> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = answers.recv_timeout(left).map_err(|error| match error {
            RecvTimeoutError::Timeout => format!("no answer within {} s", LIMIT.as_secs()),
            RecvTimeoutError::Disconnected => "it ended without an answer".into(),
        })?;
        let Ok(mut message) = serde_json::from_str::<Value>(&line) else {
            return Err(format!("not JSON: {}", line.chars().take(200).collect::<String>()));
        };
        if message["id"] == id {
            return match message.get("error") {
                Some(error) => Err(error["message"].as_str().unwrap_or("an error").to_owned()),
                None => Ok(message["result"].take()),
            };
        }
    }
}

/// Its input is closed: it should end by itself.
fn end(child: &mut Child) {
    let deadline = Instant::now() + GRACE;
    while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    // Both fail only if it has ended.
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server as short as can be, in shell: it reads a line and answers it.
    fn server(script: &str) -> Result<Answered, Silent> {
        let launch = Launch { command: "/bin/sh".into(), args: vec!["-c".into(), script.into()] };
        check(&launch, Path::new("/"), &BTreeMap::from([("GIVEN".into(), "given".into())]))
    }

    const TWO: &str = r#"read a; echo '{"id":1,"result":{"serverInfo":{"version":"7"}}}'
        read a; echo '{"method":"notifications/message"}'; echo '{"id":2,"result":{"tools":[{"name":"x"}]}}'"#;

    #[test]
    fn tools_are_listed() {
        let expected = Answered { version: "7".into(), tools: vec!["x".into()] };
        assert_eq!(server(TWO).unwrap(), expected);
    }

    #[test]
    fn it_starts_in_the_root_with_a_spare_environment() {
        let told = r#"[ "$PWD" = / ] && [ "$GIVEN" = given ] && [ -z "$CARGO_MANIFEST_DIR" ] || exit 1; "#;
        server(&format!("{told}{TWO}")).unwrap();
    }

    #[test]
    fn what_a_failed_start_said_is_told() {
        let silent = server("echo 'no such mode' >&2; exit 1").unwrap_err();
        assert!(silent.to_string().ends_with("it said: no such mode"), "{silent}");
        let silent = server("read a; echo hello; read a").unwrap_err();
        assert!(silent.why.contains("not JSON: hello"), "{silent}");
        let silent = server(r#"read a; echo '{"id":1,"error":{"message":"not that"}}'"#).unwrap_err();
        assert_eq!(silent.why, "server/discover: not that");
    }

    #[test]
    fn a_program_that_is_not_there_is_said_so() {
        let launch = Launch { command: "/nonexistent/pyro".into(), args: vec![] };
        assert!(
            check(&launch, Path::new("/"), &BTreeMap::new()).unwrap_err().why.contains("cannot be started")
        );
    }
}
