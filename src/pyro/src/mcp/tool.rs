//! A tool: a type of arguments, and what is done with them.

use super::schema::input_schema;
use super::session::Session;
use crate::error::UserError;
use crate::explain;
use pyro_workspace::live::Live;
use pyro_workspace::{Cancel, Directory, Home, Until};
use rmcp::model::{JsonObject, ToolAnnotations};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

/// Arguments, and what is done with them. It may block; it ends when the call is cancelled.
pub trait Operation: DeserializeOwned + JsonSchema {
    /// The tool.
    const ABOUT: About;

    /// Does it.
    ///
    /// # Errors
    /// What the model is told, with the next call.
    fn run(self, call: &Call<'_>) -> Result<Answer, UserError>;
}

/// What a tool is.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Its name.
    pub name: &'static str,
    /// What it does, when to use it, and its limits, for a model.
    pub text: &'static str,
    /// What it touches.
    pub reach: Reach,
    /// JSON schema of its structured result, if it has one.
    pub output: Option<&'static str>,
    /// Arguments of a call that could succeed, as JSON; shown in errors.
    pub example: &'static str,
    /// Whether clients that show only some tools at first show this one.
    pub up_front: bool,
}

/// What a tool touches, which decides whether clients ask before they call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It only looks.
    Look,
    /// It works on workspaces, in which everything can be thrown away.
    Workspace,
    /// The same, and doing it twice changes nothing more.
    WorkspaceOnce,
    /// It writes files of the host.
    Host,
}

impl Reach {
    /// In the words of the protocol. All four are always said: clients take what is missing for the worst.
    pub fn annotations(self) -> ToolAnnotations {
        ToolAnnotations::new()
            .read_only(self == Self::Look)
            .destructive(self == Self::Host)
            .idempotent(matches!(self, Self::Look | Self::WorkspaceOnce))
            .open_world(false)
    }
}

/// A tool of the table.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    /// What it is.
    pub about: About,
    input: fn() -> JsonObject,
    run: fn(&Call<'_>, JsonObject) -> Result<Answer, UserError>,
}

impl Tool {
    /// The tool that does this.
    pub const fn of<T: Operation>() -> Self {
        Self { about: T::ABOUT, input: input_schema::<T>, run: parse_and_run::<T> }
    }

    /// JSON schema of its arguments.
    pub fn input(&self) -> JsonObject {
        (self.input)()
    }

    /// Calls it.
    ///
    /// # Errors
    /// What the model is told.
    pub fn run(&self, call: &Call<'_>, arguments: JsonObject) -> Result<Answer, UserError> {
        (self.run)(call, arguments)
    }
}

fn parse_and_run<T: Operation>(call: &Call<'_>, arguments: JsonObject) -> Result<Answer, UserError> {
    let parsed: T = serde_json::from_value(Value::Object(arguments))
        .map_err(|error| UserError::usage(format_args!("{}: {error}", T::ABOUT.name)))?;
    parsed.run(call)
}

/// What a call gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A small record: structured, and the same as text.
    Record(Value),
    /// Text alone.
    Text(String),
}

impl Answer {
    /// A record.
    ///
    /// # Errors
    /// Never, for the records that there are.
    pub fn record(value: &impl Serialize) -> Result<Self, UserError> {
        let value = serde_json::to_value(value).map_err(|error| UserError::new("record", error))?;
        Ok(Self::Record(value))
    }
}

/// One call of a tool.
pub struct Call<'a> {
    /// The server's.
    pub session: &'a Session,
    /// Set when nobody waits for the answer any more.
    pub cancel: &'a Cancel,
    /// What it is doing, for those who wait.
    pub phase: &'a super::progress::Phase,
}

impl Call<'_> {
    /// The state directory.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn home(&self) -> Result<Arc<Home>, UserError> {
        self.session.home()
    }

    /// Until the call is cancelled.
    pub const fn until(&self) -> Until<'_> {
        Until { deadline: None, cancel: self.cancel }
    }

    /// A workspace, and the state directory that it is in.
    ///
    /// # Errors
    /// When there is none of that id or name.
    pub fn find(&self, workspace: &str) -> Result<(Arc<Home>, Directory), UserError> {
        let home = self.home()?;
        let directory = explain::find(&home, workspace)?;
        Ok((home, directory))
    }

    /// Does something with a workspace that runs.
    ///
    /// # Errors
    /// When it does not, and what `work` says.
    pub fn live<T>(
        &self,
        workspace: &str,
        work: impl FnOnce(&Live<'_>) -> Result<T, UserError>,
    ) -> Result<T, UserError> {
        let (home, directory) = self.find(workspace)?;
        let live =
            Live::open(&home, &directory, self.until()).map_err(|error| explain::lifecycle_error(&error))?;
        work(&live)
    }
}

/// A number within its range, or what the model is told: some clients do not show a schema's limits.
///
/// # Errors
/// When it is out of its range.
pub fn within<T: PartialOrd + std::fmt::Display>(
    name: &str,
    value: T,
    range: std::ops::RangeInclusive<T>,
) -> Result<T, UserError> {
    if range.contains(&value) {
        return Ok(value);
    }
    let (least, most) = range.into_inner();
    Err(UserError::usage(format_args!("{name} is {value}, but has to be between {least} and {most}")))
}
