//! Wrong usage: clear words, exit status 2, and an object under `--json`.

use crate::support::command;

fn check(words: &[&str], expected: &str) {
    let home = tempfile::tempdir().unwrap();
    let output = command(home.path()).args(words).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{words:?}");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains(expected), "{words:?}: {text}");
    let output = command(home.path()).arg("--json").args(words).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{words:?}");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["error"]["code"], if expected.contains("offline") { "unsupported" } else { "usage" });
    assert!(json["error"]["message"].as_str().unwrap().contains(expected), "{json}");
    assert!(home.path().read_dir().unwrap().next().is_none(), "{words:?} left something");
}

#[test]
fn wrong_arguments_are_explained() {
    check(&["frobnicate"], "frobnicate");
    check(&["run"], "<ENV>");
    check(&["run", "debian:12"], "COMMAND");
    check(&["run", "debian:12", "--no-such-flag", "--", "true"], "--no-such-flag");
    check(&["run", "debian:12", "--vcpu-count", "0", "--", "true"], "--vcpu-count");
    check(&["run", "debian:12", "--mem-mib", "12", "--", "true"], "--mem-mib");
    check(&["run", "debian:12", "--timeout-seconds", "0", "--", "true"], "--timeout-seconds");
    check(&["run", "debian:12", "--env", "=x", "--", "true"], "NAME=VALUE");
    check(&["run", "debian:12", "--workdir", "relative", "--", "true"], "absolute");
    check(&["run", "debian:12", "--network", "--", "true"], "offline");
    check(&["completion", "tcsh"], "tcsh");
}
