//! `pyro host` in homes without the hosts; `make test-hosts` is the same with them.

use crate::support::{Ran, command};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use tempfile::TempDir;

/// A home, a checkout, and nothing on the PATH.
struct Bench {
    directory: TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { directory: tempfile::tempdir().unwrap() };
        for part in ["state", "bin", "home/.codex", "home/.config/opencode", "project/.git", "project/inner"]
        {
            fs::create_dir_all(bench.at(part)).unwrap();
        }
        bench
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.at(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap()
    }

    fn host(&self, words: &[&str]) -> Ran {
        let mut command = command(&self.at("state"));
        for name in ["CODEX_HOME", "CLAUDE_CONFIG_DIR", "OPENCODE_CONFIG", "XDG_CONFIG_HOME", "XDG_DATA_HOME"]
        {
            command.env_remove(name);
        }
        command
            .env("HOME", self.at("home"))
            .env("PATH", self.at("bin"))
            .current_dir(self.at("project/inner"));
        Ran::of(&command.arg("host").args(words).output().unwrap())
    }

    /// A host's part of the doctor's report, and whether all is well.
    fn doctor(&self, host: &str) -> (Value, i32) {
        let ran = self.host(&["doctor", "--json"]);
        let hosts = ran.json()["hosts"].take();
        let found = hosts.as_array().unwrap().iter().find(|it| it["host"] == host).cloned();
        (found.unwrap(), ran.code)
    }

    /// The command that must be written.
    fn launch(&self, serve: &[&str]) -> Vec<String> {
        let home = self.at("state").display().to_string();
        let words = [env!("CARGO_BIN_EXE_pyro"), "--home", &home, "mcp", "serve"];
        words.iter().chain(serve).map(ToString::to_string).collect()
    }
}

const CODEX: &str = "home/.codex/config.toml";
const OPENCODE: &str = "home/.config/opencode/opencode.jsonc";

#[test]
fn codex_is_connected_once_and_disconnected_without_a_trace() {
    let bench = Bench::new();
    let before = "# mine\nmodel = \"x\" # keep\n\n[mcp_servers.other] # keep\ncommand = \"x\"\n";
    bench.write(CODEX, before);
    fs::set_permissions(bench.at(CODEX), fs::Permissions::from_mode(0o640)).unwrap();
    let ran = bench.host(&["connect", "codex", "--json", "--environment", "debian:12"]).ended(0).json();
    assert_eq!((&ran["outcome"], &ran["before"]), (&"connected".into(), &Value::Null));
    let words = bench.launch(&["--environment", "debian:12"]);
    let (program, args) = words.split_first().unwrap();
    let args: Vec<String> = args.iter().map(|word| format!("{word:?}")).collect();
    let entry = format!("\n[mcp_servers.pyro]\ncommand = {program:?}\nargs = [{}]\n", args.join(", "));
    assert_eq!(bench.read(CODEX), format!("{before}{entry}"));
    assert_eq!(fs::metadata(bench.at(CODEX)).unwrap().permissions().mode() & 0o777, 0o640);

    let again = bench.host(&["connect", "codex", "--environment", "debian:12", "--json"]).ended(0).json();
    assert_eq!((&again["outcome"], &again["backup"]), (&"unchanged".into(), &Value::Null));
    let gone = bench.host(&["disconnect", "codex", "--json"]).ended(0).json();
    assert_eq!(gone["outcome"], "disconnected");
    assert_eq!(bench.read(CODEX), before);
    assert_eq!(bench.host(&["disconnect", "codex", "--json"]).ended(0).json()["outcome"], "unchanged");
}

#[test]
fn opencode_keeps_comments_and_what_was_there_is_in_the_backup() {
    let bench = Bench::new();
    let before = "{\n  // mine\n  \"theme\": \"x\", /* keep */\n}\n";
    bench.write(OPENCODE, before);
    let ran = bench.host(&["connect", "opencode", "--json"]).ended(0).json();
    let after = bench.read(OPENCODE);
    assert!(
        after.contains("// mine") && after.contains("/* keep */") && after.contains("\"pyro\""),
        "{after}"
    );
    assert_eq!(fs::read_to_string(ran["backup"].as_str().unwrap()).unwrap(), before);
    bench.host(&["connect", "opencode"]).ended(0);
    assert_eq!(bench.read(OPENCODE), after);
}

#[test]
fn a_dry_run_writes_nothing() {
    let bench = Bench::new();
    for host in ["codex", "opencode"] {
        let ran = bench.host(&["connect", host, "--dry-run"]).ended(0);
        assert!(ran.stdout.contains("would be connected") && ran.stdout.contains("+ /"), "{ran:?}");
    }
    bench.host(&["connect", "claude-code", "--scope", "project", "--dry-run"]).ended(0);
    let file = bench.at("home/printed.json").display().to_string();
    bench.host(&["print-config", "opencode", "--output", &file, "--dry-run"]).ended(0);
    assert!(
        ![CODEX, OPENCODE, "project/.mcp.json", "home/printed.json"].iter().any(|it| bench.at(it).exists())
    );
    bench.host(&["connect", "codex"]).ended(0);
    let connected = bench.read(CODEX);
    bench.host(&["disconnect", "codex", "--dry-run"]).ended(0);
    assert_eq!(bench.read(CODEX), connected);
}

#[test]
fn choices_stay_until_others_are_made() {
    let bench = Bench::new();
    let project = bench.at("project").display().to_string();
    let chosen = ["--mode", "inspect", "--project-path", &project, "--allow-host-compat"];
    // What is relative here would be something else there.
    let typed = ["connect", "opencode", "--mode", "inspect", "--project-path", "..", "--allow-host-compat"];
    bench.host(&typed).ended(0);
    let command = || {
        let value: Value = serde_json::from_str(&bench.read(OPENCODE)).unwrap();
        value["mcp"]["pyro"]["command"].clone()
    };
    let written: Vec<String> = serde_json::from_value(command()).unwrap();
    assert!(written.iter().any(|word| word.starts_with('/') && word.contains("project")), "{written:?}");
    assert_eq!(written.len(), bench.launch(&chosen).len());
    for verb in ["connect", "repair"] {
        assert!(bench.host(&[verb, "opencode"]).ended(0).stdout.contains("unchanged"));
    }
    bench.host(&["connect", "opencode", "--profile", "vm-run"]).ended(0);
    assert_eq!(command(), Value::from(bench.launch(&["--profile", "vm-run"])));
}

#[test]
fn a_server_that_does_not_start_is_not_connected() {
    let bench = Bench::new();
    let error = bench.host(&["connect", "codex", "--mode", "no-such-mode", "--json"]).ended(1).json();
    assert_eq!(error["error"]["code"], "server");
    assert!(error["error"]["message"].as_str().unwrap().contains("no-such-mode"), "{error}");
    assert!(!bench.at(CODEX).exists());
}

#[test]
fn a_broken_file_is_left_alone_and_the_entry_is_shown() {
    let bench = Bench::new();
    bench.write(CODEX, "[mcp_servers\n");
    bench.write(OPENCODE, "{ nonsense");
    bench.write("project/.mcp.json", "{} // a comment\n");
    let files = [
        (CODEX, "codex", "user"),
        (OPENCODE, "opencode", "user"),
        ("project/.mcp.json", "claude-code", "project"),
    ];
    for (file, host, scope) in files {
        let before = bench.read(file);
        for verb in ["connect", "repair"] {
            let ran = bench.host(&[verb, host, "--scope", scope]).ended(1);
            assert!(
                ran.stderr.contains("hint: mend that file first") && ran.stderr.contains("--home"),
                "{ran:?}"
            );
        }
        bench.host(&["disconnect", host, "--scope", scope]).ended(1);
        assert_eq!(bench.read(file), before);
        let (report, code) = bench.doctor(host);
        assert_eq!((report["entries"][0]["state"].as_str(), code), (Some("unparsable"), 1));
    }
}

#[test]
fn what_is_called_pyro_and_is_none_is_left_alone() {
    let bench = Bench::new();
    let foreign =
        "[mcp_servers.pyro]\nurl = \"https://example.org/mcp\" # theirs\nbearer_token_env_var = \"T\"\n";
    bench.write(CODEX, foreign);
    for verb in ["connect", "repair", "disconnect"] {
        let ran = bench.host(&[verb, "codex"]).ended(1);
        assert!(ran.stderr.contains("https://example.org/mcp") && ran.stderr.contains("--force"), "{ran:?}");
    }
    assert_eq!(bench.read(CODEX), foreign);
    assert_eq!(bench.doctor("codex").0["entries"][0]["state"], "foreign");
    bench.host(&["connect", "codex", "--force"]).ended(0);
    let text = bench.read(CODEX);
    assert!(!text.contains("url") && text.contains("\"serve\""), "{text}");
}

#[test]
fn doctor_says_what_drifted_and_repair_mends_it() {
    let bench = Bench::new();
    for host in ["claude-code", "codex", "opencode"] {
        let (report, code) = bench.doctor(host);
        assert_eq!((report["status"].as_str(), code), (Some("unavailable"), 0));
    }
    bench.write("bin/codex", "#!/bin/sh\n");
    fs::set_permissions(bench.at("bin/codex"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(bench.doctor("codex").0["status"], "missing");
    bench.host(&["connect", "codex", "--mode", "inspect"]).ended(0);
    let (report, code) = bench.doctor("codex");
    assert_eq!((report["status"].as_str(), code), (Some("ok"), 0), "{report}");
    assert!(report["entries"][0]["server"]["tools"].as_array().unwrap().len() > 5, "{report}");

    let good = bench.read(CODEX);
    let drifts = [
        ("stale-path", good.replace(env!("CARGO_BIN_EXE_pyro"), "/old/pyro")),
        ("args-differ", good.replace("\"--home\"", "\"--fancy\"")),
        ("disabled", format!("{good}enabled = false\n")),
    ];
    for (state, text) in drifts {
        bench.write(CODEX, &text);
        let (report, code) = bench.doctor("codex");
        assert_eq!((report["status"].as_str(), code), (Some("drifted"), 1), "{report}");
        assert_eq!(report["entries"][0]["state"], state);
        assert_eq!(report["entries"][0]["fix"], "pyro host repair codex");
        bench.host(&["repair", "codex"]).ended(0);
        assert_eq!((bench.doctor("codex").0["status"].as_str(), state), (Some("ok"), state));
    }
}

#[test]
fn what_is_wrong_with_one_host_hides_no_other() {
    let bench = Bench::new();
    fs::create_dir(bench.at(CODEX)).unwrap();
    bench.host(&["connect", "opencode"]).ended(0);
    let (report, code) = bench.doctor("codex");
    assert_eq!((report["entries"][0]["state"].as_str(), code), (Some("unparsable"), 1));
    assert_eq!(bench.doctor("opencode").0["entries"][0]["state"], "ok");
}

#[test]
fn nothing_that_a_checkout_brings_along_is_started() {
    let bench = Bench::new();
    let made = bench.at("made").display().to_string();
    let script = format!("#!/bin/sh\n: > {made}\n");
    bench.write("project/pyro", &script);
    fs::set_permissions(bench.at("project/pyro"), fs::Permissions::from_mode(0o755)).unwrap();
    let program = bench.at("project/pyro").display().to_string();
    let entry =
        serde_json::json!({ "mcpServers": { "pyro": { "command": program, "args": ["mcp", "serve"] } } });
    bench.write("project/.mcp.json", &entry.to_string());
    let (report, code) = bench.doctor("claude-code");
    assert_eq!((report["entries"][0]["state"].as_str(), code), (Some("stale-path"), 1));
    assert!(!bench.at("made").exists());
}

#[test]
fn claude_code_changes_its_own_state_and_a_project_is_a_file() {
    let bench = Bench::new();
    for words in [&["connect", "claude-code"][..], &["connect", "claude-code", "--dry-run"]] {
        let ran = bench.host(words).ended(1);
        assert!(ran.stderr.contains("claude mcp add-json -s user pyro '{"), "{ran:?}");
    }
    let ran = bench.host(&["connect", "claude-code", "--scope", "project"]).ended(0);
    assert!(ran.stderr.contains("approve"), "{ran:?}");
    let value: Value = serde_json::from_str(&bench.read("project/.mcp.json")).unwrap();
    assert_eq!(value["mcpServers"]["pyro"]["args"], Value::from(bench.launch(&[])[1..].to_vec()));
    assert_eq!(bench.doctor("claude-code").0["entries"][0]["state"], "pending-approval");
    let known = serde_json::json!({ "projects": { bench.at("project").display().to_string(): { "enabledMcpjsonServers": ["pyro"] } } });
    bench.write("home/.claude.json", &known.to_string());
    assert_eq!(bench.doctor("claude-code").0["entries"][0]["state"], "ok");
    // What the user switched off is the host's to switch on.
    let known = known.to_string().replace("enabledMcpjson", "disabledMcpjson");
    bench.write("home/.claude.json", &known);
    assert!(
        bench.host(&["repair", "claude-code", "--scope", "project"]).ended(0).stdout.contains("unchanged")
    );
    let entry = bench.doctor("claude-code").0["entries"][0].take();
    assert_eq!(
        (&entry["state"], &entry["fix"]),
        (&"disabled".into(), &"switch it on in claude, with /mcp".into())
    );
    bench.host(&["disconnect", "claude-code", "--scope", "project"]).ended(0);
    assert!(!bench.read("project/.mcp.json").contains("pyro"));
}

#[test]
fn a_printed_entry_is_a_file_of_its_own() {
    let bench = Bench::new();
    let printed = |host: &str| bench.host(&["print-config", host, "--mode", "inspect"]).ended(0).stdout;
    let words = bench.launch(&["--mode", "inspect"]);
    let opencode: Value = serde_json::from_str(&printed("opencode")).unwrap();
    assert_eq!(opencode["mcp"]["pyro"]["command"], Value::from(words.clone()));
    let claude: Value = serde_json::from_str(&printed("claude-code")).unwrap();
    assert_eq!(claude["mcpServers"]["pyro"]["command"], Value::from(words[0].clone()));
    assert!(printed("codex").starts_with("[mcp_servers.pyro]\n"));

    let file = bench.at("home/opencode.json").display().to_string();
    let write = || bench.host(&["print-config", "opencode", "--mode", "inspect", "--output", &file]);
    assert!(write().ended(0).stdout.contains("written"));
    assert!(write().ended(0).stdout.contains("unchanged"));
    assert_eq!(bench.read("home/opencode.json"), printed("opencode"));
    bench.write("home/opencode.json", "{}\n");
    assert!(write().ended(1).stderr.contains("holds something else"));
    assert_eq!(bench.read("home/opencode.json"), "{}\n");
}

#[test]
fn what_makes_no_sense_for_a_host_is_refused() {
    let bench = Bench::new();
    let refuses = |words: &[&str], message: &str| {
        let ran = bench.host(words).ended(2);
        assert!(ran.stderr.contains(message), "{ran:?}");
    };
    refuses(&["connect", "codex", "--http", "127.0.0.1:1"], "not over HTTP");
    refuses(&["connect", "codex", "--project-path", "/nonexistent"], "/nonexistent is not a directory");
    refuses(&["connect", "codex", "--scope", "project"], "codex");
    refuses(&["connect", "emacs"], "emacs");
    assert!(!bench.at(CODEX).exists());
}

#[test]
fn a_login_in_an_address_is_not_stored() {
    let bench = Bench::new();
    let secrets =
        ["https://me:s3cret@example.org/a", "https://s3cret@example.org/a", "ssh://git:s3cret@example.org/a"];
    for url in secrets {
        for words in [["connect", "opencode"], ["repair", "opencode"], ["print-config", "codex"]] {
            let ran = bench.host(&[&words[..], &["--repo-url", url]].concat()).ended(2);
            assert!(
                ran.stderr.contains("holds a login") && ran.stderr.contains("git help credentials"),
                "{ran:?}"
            );
            assert!(!ran.stderr.contains("s3cret") && ran.stdout.is_empty(), "{ran:?}");
        }
    }
    assert!(!bench.at(OPENCODE).exists());
    // What was stored by hand is not written again.
    let command = bench.launch(&["--repo-url", secrets[0]]);
    let entry = serde_json::json!({ "mcp": { "pyro": { "type": "local", "command": command } } }).to_string();
    bench.write(OPENCODE, &entry);
    bench.host(&["repair", "opencode"]).ended(2);
    assert_eq!(bench.read(OPENCODE), entry);
    // A user's name with ssh, and no name at all, are no logins.
    for url in ["ssh://git@example.org/a", "git@example.org:a/b.git", "https://example.org/a", "/srv/a@b:c"] {
        bench.host(&["print-config", "codex", "--repo-url", url]).ended(0);
    }
}
