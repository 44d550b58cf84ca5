//! `pyro prepare`, on whatever machines there are.

use super::{ENVIRONMENT, Pyro};
use serde_json::{Value, json};

/// The names of the steps that a report tells of.
pub fn steps(report: &Value) -> Vec<&str> {
    report["steps"].as_array().unwrap().iter().map(|step| step["name"].as_str().unwrap()).collect()
}

/// What `doctor` says of an environment; other checks may fail.
pub fn readiness(report: &Value) -> &str {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == "environment").unwrap()["detail"].as_str().unwrap()
}

pub fn an_environment_is_prepared_once(pyro: &Pyro) {
    let (directory, pyro) = pyro.apart();
    let report = pyro.prepare(&["--force"]).ended(0).json();
    assert_eq!(steps(&report), ["root", "create", "exec", "reset", "delete"]);
    assert_eq!(report["state"], "warm");
    assert_eq!(report["execution_mode"], pyro.execution_mode);
    assert_eq!(std::fs::read_dir(directory.path().join("workspaces")).unwrap().count(), 0);
    let again = pyro.prepare(&[]).ended(0).json();
    assert_eq!(again["steps"], json!([]));
    assert_eq!(again["prepared_at"], report["prepared_at"]);
    let doctor = pyro.pyro(&["doctor", "--json", "--environment", ENVIRONMENT]).json();
    let warm = format!("execution_mode={}", pyro.execution_mode);
    assert!(readiness(&doctor).contains("warm since") && readiness(&doctor).ends_with(&warm), "{doctor}");
}
