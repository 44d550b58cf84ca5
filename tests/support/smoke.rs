//! The drivers in `tests/smoke`, which run the pages of `use-cases/` through the official MCP SDK.

use super::Ran;
use std::path::Path;
use std::process::Command;

/// Runs some of the workflows; `env` says where, as the driver's text has it.
pub fn drive(cases: &[&str], env: &[(&str, &str)]) {
    let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/smoke/main.py");
    let mut command = Command::new("/usr/bin/python3");
    command
        .arg("-B")
        .arg(driver)
        .args(cases)
        .env("PYRO", env!("CARGO_BIN_EXE_pyro"))
        .envs(env.iter().copied());
    let ran = Ran::of(&command.output().expect("python3; run `make setup`, it installs it")).ended(0);
    assert_eq!(ran.stdout.matches(": passed in ").count(), cases.len(), "{ran:?}");
}
