//! The steps of a command that proves something, each told with its time as it is done.

use super::output::Output;
use crate::error::UserError;
use serde::Serialize;
use std::time::{Duration, Instant};

/// A step that is done.
#[derive(Serialize)]
pub struct Step {
    name: &'static str,
    duration_ms: f64,
}

/// Those of one command.
pub struct Steps {
    out: Output,
    verb: &'static str,
    done: Vec<Step>,
}

impl Steps {
    /// None yet, of `pyro VERB`.
    pub const fn of(verb: &'static str, out: Output) -> Self {
        Self { out, verb, done: Vec::new() }
    }

    /// Does one.
    ///
    /// # Errors
    /// What `work` says; then it is no step.
    pub fn step<T>(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> Result<T, UserError>,
    ) -> Result<T, UserError> {
        let clock = Instant::now();
        let result = work()?;
        self.add(name, clock.elapsed());
        Ok(result)
    }

    /// Adds one that was done.
    pub fn add(&mut self, name: &'static str, took: Duration) {
        let duration_ms = (took.as_secs_f64() * 1e4).round() / 10.0;
        if !self.out.is_json() {
            self.out.note(format_args!("[{}] {name:<6} {duration_ms:>9.1} ms", self.verb));
        }
        self.done.push(Step { name, duration_ms });
    }

    /// All of them, for a report.
    pub fn finish(self) -> Vec<Step> {
        self.done
    }
}
