//! `pyro mode`, where a user and a project have recipes of their own.

use crate::support::{Ran, command};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// A checkout in `project`, a user's configuration in `config`.
struct Bench {
    directory: TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { directory: tempfile::tempdir().unwrap() };
        fs::create_dir_all(bench.path("project/.git")).unwrap();
        fs::create_dir_all(bench.path("project/deep")).unwrap();
        bench
    }

    fn path(&self, part: &str) -> PathBuf {
        self.directory.path().canonicalize().unwrap().join(part)
    }

    /// A recipe with this summary and these tools.
    fn recipe(&self, place: &str, summary: &str, tools: &[&str]) -> PathBuf {
        let tools: String = tools.iter().map(|name| format!("[[tools]]\nname = '{name}'\n")).collect();
        let text = format!(
            "summary = '{summary}'\nenvironment = 'python:3.12'\ninstructions = 'Do it.'\n\
             [resources]\nmem_mib = 512\n[prompt]\ndescription = 'Does it'\ntext = 'Do {{task}}'\n{tools}"
        );
        let path = self.path(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Runs it below the project.
    fn pyro(&self, words: &[&str]) -> Ran {
        let mut command = command(&self.path("home"));
        command.current_dir(self.path("project/deep")).env("XDG_CONFIG_HOME", self.path("config"));
        Ran::of(&command.args(words).output().unwrap())
    }
}

#[test]
fn modes_of_the_user_and_the_project_are_listed_beside_those_that_come_with_pyro() {
    let bench = Bench::new();
    bench.recipe("config/pyro/recipes/mine.toml", "my own", &["workspace_create", "shell_open"]);
    bench.recipe("project/.pyro/recipes/inspect.toml", "less", &["workspace_create"]);
    let listed = bench.pyro(&["mode", "list"]).ended(0);
    let lines: Vec<Vec<&str>> = listed
        .stdout
        .lines()
        .map(|line| line.split("  ").map(str::trim).filter(|it| !it.is_empty()).collect())
        .collect();
    assert_eq!(lines[0], ["MODE", "SOURCE", "ENVIRONMENT", "TOOLS", "SUMMARY"]);
    assert!(lines.contains(&vec!["mine", "user", "python:3.12", "1 of 2", "my own"]), "{listed:?}");
    assert!(lines.contains(&vec!["inspect", "project", "python:3.12", "1", "less"]), "{listed:?}");
    assert_eq!(lines.len(), 6, "{listed:?}");
    assert!(!bench.path("home").exists(), "nothing is made");
}

#[test]
fn a_mode_is_shown_with_where_it_is_and_what_it_replaces() {
    let bench = Bench::new();
    let user =
        bench.recipe("config/pyro/recipes/inspect.toml", "mine", &["workspace_list", "workspace_create"]);
    let project = bench.recipe("project/.pyro/recipes/inspect.toml", "less", &["workspace_list"]);
    let shown = bench.pyro(&["mode", "show", "inspect"]).ended(0);
    let expected = format!(
        "inspect: less\n\n\
         Source:       {}\n\
         Replaces:     {}\n\
         Replaces:     built-in\n\
         Environment:  python:3.12\n\
         Resources:    mem_mib 512\n\
         Tools:        workspace_list\n\
         \n\
         Instructions:\n  Do it.\n\
         \n\
         Prompt: Does it\n  Do {{task}}\n",
        project.display(),
        user.display()
    );
    assert_eq!(shown.stdout, expected);
    let json = bench.pyro(&["--json", "mode", "show", "inspect"]).ended(0).json();
    let expected = json!({
        "mode": "inspect",
        "summary": "less",
        "source": {"kind": "project", "path": project},
        "replaces": [{"kind": "user", "path": user}, {"kind": "built-in", "path": null}],
        "environment": "python:3.12",
        "resources": {"vcpu_count": null, "mem_mib": 512, "disk_mib": null, "ttl_seconds": null},
        "tools": [{"name": "workspace_list"}],
        "missing_tools": [],
        "instructions": "Do it.",
        "prompt": {"description": "Does it", "text": "Do {task}"},
    });
    assert_eq!(json, expected);
}

#[test]
fn a_broken_recipe_hides_no_other() {
    let bench = Bench::new();
    let path = bench.recipe("project/.pyro/recipes/mine.toml", "mine", &["workspace_nothing"]);
    let listed = bench.pyro(&["mode", "list"]).ended(1);
    assert!(listed.stdout.contains("\nmine         broken\n"), "{listed:?}");
    assert!(listed.stdout.contains("\nrepro-fix    built-in"), "{listed:?}");
    let wrong = format!("error: {}, line 10, tools[0].name: there is no tool", path.display());
    assert!(listed.stderr.starts_with(&wrong), "{listed:?}");
    assert!(listed.stderr.contains("\nhint: mend or remove that file"), "{listed:?}");
    let json = bench.pyro(&["--json", "mode", "list"]).ended(1).json();
    let modes = json["modes"].as_array().unwrap();
    let of = |name: &str| modes.iter().find(|mode| mode["mode"] == name).unwrap();
    let place = json!({"path": path, "line": 10, "field": "tools[0].name"});
    assert_eq!(of("mine")["error"]["details"], place);
    assert_eq!(of("repro-fix")["error"], Value::Null);
    bench.pyro(&["mode", "show", "inspect"]).ended(0);
}
