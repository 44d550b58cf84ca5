//! A client that writes and reads the lines itself, so that the tests see what really comes.

use crate::support::{ENVIRONMENT, Pyro};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The two ways in which clients speak: with a handshake, and with everything in each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    Handshake,
    Stateless,
}

/// A running server, and what it has said besides answers.
pub struct Client {
    pub server: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    era: Era,
    last: u64,
    pub notifications: Vec<Value>,
    /// Calls of tools, and what the model gets to see of their answers.
    pub transcript: String,
}

/// What a call of a tool gave.
#[derive(Debug)]
pub struct Answer {
    pub is_error: bool,
    pub text: String,
    pub structured: Option<Value>,
}

impl Answer {
    /// Of a result of `tools/call`.
    pub fn of(result: &Value) -> Self {
        Self {
            is_error: result["isError"] == true,
            text: result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{result}")).into(),
            structured: result.get("structuredContent").cloned(),
        }
    }

    /// The record, which the text has to be the same as.
    #[track_caller]
    pub fn record(self) -> Value {
        assert!(!self.is_error, "{}", self.text);
        let record = self.structured.expect("a record");
        assert_eq!(serde_json::from_str::<Value>(&self.text).unwrap(), record);
        record
    }

    /// The first line and the rest of a text that is no record.
    #[track_caller]
    pub fn bulk(self) -> (String, String) {
        assert!(!self.is_error, "{}", self.text);
        assert_eq!(self.structured, None);
        assert!(self.text.len() <= 32 << 10);
        let (first, rest) = self.text.split_once('\n').unwrap_or((&self.text, ""));
        (first.into(), rest.into())
    }

    /// What is said of a failure, and the call that it ends with: a tool and its arguments.
    #[track_caller]
    pub fn refused(self) -> (String, String, Value) {
        assert!(self.is_error, "{}", self.text);
        let text = self.text.strip_prefix("error: ").unwrap_or_else(|| panic!("{}", self.text));
        let (why, next) = text.rsplit_once("; call ").unwrap_or_else(|| panic!("{text}"));
        let (tool, arguments) = next.split_once(' ').unwrap_or_else(|| panic!("{next}"));
        (why.into(), tool.into(), serde_json::from_str(arguments).unwrap())
    }
}

/// `pyro mcp serve` with these flags, in namespaces.
pub fn serve(pyro: &Pyro, flags: &[&str]) -> Command {
    let mut command = pyro.command(&["mcp", "serve", "--allow-host-compat", "--environment", ENVIRONMENT]);
    command.args(flags);
    command
}

impl Client {
    /// Starts a server in `here`.
    pub fn start(pyro: &Pyro, era: Era, here: &Path, flags: &[&str]) -> Self {
        let mut server = serve(pyro, flags)
            .current_dir(here)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (server.stdin.take(), BufReader::new(server.stdout.take().unwrap()));
        let mut client = Self {
            server,
            stdin,
            stdout,
            era,
            last: 0,
            notifications: Vec::new(),
            transcript: String::new(),
        };
        if era == Era::Handshake {
            let hello = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" } });
            let answer = client.ask("initialize", hello);
            assert_eq!(answer["result"]["protocolVersion"], "2025-11-25", "{answer}");
            client.tell("notifications/initialized", json!({}));
        }
        client
    }

    /// A server without a project.
    pub fn bare(pyro: &Pyro, flags: &[&str]) -> Self {
        let flags = [&["--no-project-source"], flags].concat();
        Self::start(pyro, Era::Stateless, Path::new("/"), &flags)
    }

    fn write(&mut self, message: &Value) {
        let stdin = self.stdin.as_mut().expect("it is open");
        writeln!(stdin, "{message}").unwrap();
    }

    /// A notification.
    pub fn tell(&mut self, method: &str, params: Value) {
        self.write(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    /// Sends a request, and returns its number.
    pub fn begin(&mut self, method: &str, mut params: Value) -> u64 {
        self.last += 1;
        if self.era == Era::Stateless {
            let meta = &mut params["_meta"];
            meta["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
            meta["io.modelcontextprotocol/clientInfo"] = json!({ "name": "test", "version": "1" });
            meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
        }
        self.write(&json!({ "jsonrpc": "2.0", "id": self.last, "method": method, "params": params }));
        self.last
    }

    /// The next message; nothing if the server has ended.
    pub fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        let count = self.stdout.read_line(&mut line).unwrap();
        (count > 0).then(|| serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
    }

    /// The answer to request `id`.
    pub fn wait(&mut self, id: u64) -> Value {
        loop {
            let message = self.next().expect("the server answers");
            if message["id"] == id {
                return message;
            }
            assert!(message.get("method").is_some(), "{message}");
            self.notifications.push(message);
        }
    }

    /// A request and its answer.
    pub fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.begin(method, params);
        self.wait(id)
    }

    /// Calls a tool.
    #[track_caller]
    pub fn call(&mut self, tool: &str, arguments: Value) -> Answer {
        let answer = self.ask("tools/call", json!({ "name": tool, "arguments": arguments }));
        let answer = Answer::of(answer.get("result").unwrap_or_else(|| panic!("{answer}")));
        self.transcript.push_str(&format!("{tool} {arguments}\n{}\n", answer.text));
        answer
    }

    /// Creates a workspace, and returns its id.
    pub fn create(&mut self, arguments: Value) -> String {
        let record = self.call("workspace_create", arguments).record();
        record["workspace_id"].as_str().unwrap().into()
    }

    /// Runs a line of shell to its end: the first line of the answer, and the output.
    #[track_caller]
    pub fn sh(&mut self, workspace: &str, line: &str) -> (String, String) {
        self.call("workspace_exec", json!({ "workspace_id": workspace, "command": line })).bulk()
    }

    /// Deletes a workspace.
    pub fn delete(&mut self, workspace: &str) {
        let record = self.call("workspace_delete", json!({ "workspace_id": workspace })).record();
        assert_eq!(record["deleted"], true);
    }

    /// Closes the server's input; it has to end well.
    pub fn close(mut self) {
        drop(self.stdin.take());
        assert!(self.server.wait().unwrap().success());
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _gone = self.server.kill();
        let _reaped = self.server.wait();
    }
}
