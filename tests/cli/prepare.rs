//! `pyro prepare` from nothing, and what makes its word void.

use crate::prune::Bench;
use crate::support::prepare::{readiness, steps};
use crate::support::{Ran, command};
use serde_json::Value;
use std::fs;
use std::process::Command;

fn doctor(mut command: Command, image: &str) -> Value {
    Ran::of(&command.args(["doctor", "--json", "--environment", image]).output().unwrap()).json()
}

#[test]
fn an_environment_is_cold_then_warm_then_stale() {
    let bench = Bench::new();
    let image = bench.image.as_str();
    let said = || readiness(&doctor(bench.pyro(&[]), image)).to_owned();
    assert!(said().ends_with("cold: not installed"), "{}", said());

    let words = ["prepare", "--json", "--allow-host-compat", image];
    let prepare = || Ran::of(&bench.pyro(&words).output().unwrap()).ended(0).json();
    assert_eq!(steps(&prepare()), ["pull", "root", "create", "exec", "reset", "delete"]);
    assert!(said().contains(": warm since "), "{}", said());
    assert!(steps(&prepare()).is_empty());

    // Another program of the same name may do otherwise.
    let other = bench.home.path().join("pyro");
    fs::copy(env!("CARGO_BIN_EXE_pyro"), &other).unwrap();
    let mut updated = Command::new(&other);
    updated.envs(command(bench.home.path()).get_envs().filter_map(|(name, value)| Some((name, value?))));
    let stale = doctor(updated, image);
    assert!(readiness(&stale).contains(": stale: the program pyro is "), "{stale}");

    let proofs = bench.home.path().join("cache/prepared");
    for proof in fs::read_dir(proofs).unwrap() {
        fs::write(proof.unwrap().path(), "{").unwrap();
    }
    assert!(said().ends_with("cold: installed, but not tried yet"), "{}", said());
    assert_eq!(steps(&prepare()), ["root", "create", "exec", "reset", "delete"]);
}

#[test]
fn what_does_not_work_is_not_said_to_be_warm() {
    let bench = Bench::new();
    let words = ["prepare", "--json", "--allow-host-compat"];
    let ran = Ran::of(&bench.pyro(&words).args(["--network", &bench.image]).output().unwrap()).ended(2);
    assert_eq!(ran.json()["error"]["code"], "unsupported");
    let missing = bench.image.replace("shell:1", "none:1");
    let ran = Ran::of(&bench.pyro(&words).arg(missing).output().unwrap()).ended(1);
    assert_eq!(ran.json()["error"]["code"], "pull");
    let ran = Ran::of(&bench.pyro(&words).arg("Not A Name").output().unwrap()).ended(2);
    assert!(ran.json()["error"]["hint"].as_str().unwrap().contains("pyro env list"));
    assert!(!bench.home.path().join("cache/prepared").exists());
}
