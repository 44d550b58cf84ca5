//! The same server over HTTP, which only programs of this host may use.

use super::client::serve;
use crate::support::{Pyro, Ran};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

/// A server at a port of its own.
struct Served {
    server: Child,
    address: String,
}

impl Served {
    fn start(pyro: &Pyro) -> Self {
        let mut command = serve(pyro, &["--no-project-source", "--http", "127.0.0.1:0"]);
        let mut server = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let log = BufReader::new(server.stderr.take().unwrap());
        let mut lines = log.lines();
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let at = line.split_once("listening at http://")?.1.strip_suffix("/mcp")?.to_owned();
            Some(at)
        });
        // Read on, so that it never waits for us.
        std::thread::spawn(move || lines.count());
        Self { server, address: address.expect("it says where it listens") }
    }

    /// Status and body of a request.
    fn post(&self, headers: &[(&str, &str)], body: &Value) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let body = body.to_string();
        let mut request = "POST /mcp HTTP/1.1\r\nConnection: close\r\n".to_owned();
        let own = [
            ("Host", self.address.as_str()),
            ("Accept", "application/json, text/event-stream"),
            ("Content-Type", "application/json"),
            ("MCP-Protocol-Version", "2026-07-28"),
            ("Mcp-Method", body_method(&body)),
        ];
        let given = |name: &str| headers.iter().any(|(key, _)| key.eq_ignore_ascii_case(name));
        for (name, value) in own.iter().filter(|(name, _)| !given(name)).chain(headers) {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        write!(stream, "{request}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split_whitespace().nth(1).unwrap().parse().unwrap(), body.into())
    }
}

fn body_method(body: &str) -> &'static str {
    if body.contains("tools/list") { "tools/list" } else { "server/discover" }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _gone = self.server.kill();
        let _reaped = self.server.wait();
    }
}

fn request(method: &str) -> Value {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": { "_meta": meta } })
}

#[test]
fn programs_of_this_host_are_served_and_pages_of_others_are_not() {
    let served = Served::start(&crate::pyro());
    let (status, body) = served.post(&[], &request("tools/list"));
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("workspace_create"), "{body}");
    let (status, body) = served.post(&[("Origin", "http://localhost:3000")], &request("server/discover"));
    assert_eq!(status, 200, "{body}");
    for header in [("Origin", "https://elsewhere.example"), ("Host", "elsewhere.example"), ("Origin", "null")]
    {
        let (status, body) = served.post(&[header], &request("tools/list"));
        assert_eq!(status, 403, "{header:?}: {body}");
    }
}

#[test]
fn an_address_that_others_reach_is_refused() {
    let pyro = crate::pyro();
    for address in ["0.0.0.0:0", "192.0.2.1:8080", "[::]:0"] {
        let ran = Ran::of(&serve(&pyro, &["--http", address]).output().unwrap()).ended(2);
        assert!(ran.stderr.contains("not a loopback address"), "{ran:?}");
    }
}
