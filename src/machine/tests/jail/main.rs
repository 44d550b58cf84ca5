//! The jail, looked at from inside by the same code that the monitor is confined with.
//!
//! Forking needs a process without threads, so the tests run on the main thread, one after another.
#![allow(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "clippy knows tests by an attribute that these do without"
)]

mod calls;
mod prisoner;
mod surroundings;

use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    let trials = [surroundings::trials(), calls::trials()].into_iter().flatten().collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(name: &'static str, body: fn()) -> Trial {
    Trial::test(name, move || {
        body();
        Ok(())
    })
}
