//! The drivers in `tests/smoke`, which run the pages of `use-cases/` through the official MCP SDK.

use super::{ENVIRONMENT, Pyro, Ran};
use std::path::Path;
use std::process::Command;

/// Runs some of the workflows, with the flags in `env` added to those of the driver.
fn drive(cases: &[&str], env: &[(&str, &str)]) {
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

/// All of them in a state directory of their own, which must be cold at first.
pub fn on_namespaces(cases: &[&str]) {
    let image = std::env::var("PYRO_TEST_IMAGE").expect("PYRO_TEST_IMAGE names an image; run `make test`");
    drive(cases, &[("USE_CASE_HOST_COMPAT", "1"), ("USE_CASE_IMAGE", &image)]);
}

/// With the image that the other tests have: it takes its time to install one there.
pub fn on_guests(cases: &[&str], pyro: &Pyro) {
    let (directory, _) = pyro.apart();
    let home = directory.path().to_str().expect("a temporary directory has a plain name");
    drive(cases, &[("USE_CASE_ENVIRONMENT", ENVIRONMENT), ("PYRO_HOME", home)]);
}
