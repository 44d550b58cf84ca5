//! The project that a server would take the files of its workspaces from.

use crate::support::command;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What `pyro doctor`, run in `here` with these variables, says of the project.
fn project(here: &Path, variables: &[(&str, &str)]) -> Value {
    let home = tempfile::tempdir().unwrap();
    let mut doctor = command(home.path());
    doctor.current_dir(here).envs(variables.iter().copied()).args(["doctor", "--json"]);
    // Whether all is well with this host is not the question.
    let output = doctor.output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == "project").unwrap().clone()
}

#[test]
fn doctor_says_which_project_a_server_would_have() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap();
    let (checkout, plain) = (root.join("checkout"), root.join("plain"));
    fs::create_dir_all(checkout.join("deep")).unwrap();
    fs::create_dir(&plain).unwrap();
    assert!(Command::new("git").args(["init", "-q"]).arg(&checkout).status().unwrap().success());
    let detail = |here: &Path, variables: &[(&str, &str)]| {
        let check = project(here, variables);
        assert_eq!(check["verdict"], "PASS", "{check}");
        check["detail"].as_str().unwrap().to_owned()
    };
    let found = format!("the Git checkout {}", checkout.display());
    assert_eq!(detail(&checkout.join("deep"), &[]), found);
    assert_eq!(detail(&plain, &[]), format!("none: {} is not in a Git checkout", plain.display()));
    let claude = [("CLAUDE_PROJECT_DIR", checkout.to_str().unwrap())];
    assert_eq!(detail(&plain, &claude), format!("{found}, from CLAUDE_PROJECT_DIR"));
    let refused = project(&plain, &[("PYRO_PROJECT_PATH", "${workspaceFolder}")]);
    assert_eq!(refused["verdict"], "WARN", "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains("PYRO_PROJECT_PATH is \"${workspaceFolder}\""));
    assert!(refused["fix"].as_str().unwrap().contains("--project-path"));
}
