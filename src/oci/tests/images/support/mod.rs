//! What the tests share.

pub mod home;
pub mod layout;
pub mod proxy;
pub mod registry;
pub mod tarball;

use std::process::{Command, Output};

/// Runs a program that must succeed.
pub fn run(program: &str, args: &[&str]) -> Output {
    let output = Command::new(program).args(args).output();
    let output =
        output.unwrap_or_else(|error| panic!("{program} ({error}): run `make setup`, it installs it"));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {words}");
    output
}

/// Runs skopeo, without asking for the system's trust policy.
pub fn skopeo(args: &[&str]) -> Output {
    run("skopeo", &[&["--insecure-policy"], args].concat())
}
