//! What can be wrong with a recipe, and where.

use super::position;
use super::words::Fault;
use std::fmt;

/// Something is wrong with a recipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipeError {
    /// The line, from 1.
    pub line: usize,
    /// The field: `tools[2].name`. Empty where a line is no TOML.
    pub field: String,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for RecipeError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "line {}", self.line)?;
        if !self.field.is_empty() {
            write!(out, ", {}", self.field)?;
        }
        write!(out, ": {}", self.problem)
    }
}

impl std::error::Error for RecipeError {}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is no TOML, or not what this field takes.
    #[error("{0}")]
    Malformed(String),
    /// A text breaks a rule.
    #[error(transparent)]
    Text(#[from] Fault),
    /// It is neither the name of an environment nor an image reference.
    #[error("{0}")]
    Environment(String),
    /// A mode without tools is of no use.
    #[error("a mode needs at least one tool")]
    NoTools,
    /// More tools than pyro will ever have.
    #[error("{0} tools are more than the {1} that a recipe may name")]
    TooManyTools(usize, usize),
    /// It is none of pyro's.
    #[error("there is no tool {0:?}")]
    UnknownTool(String),
    /// It was named before.
    #[error("{0} is listed twice")]
    Twice(String),
    /// The tool does not take it.
    #[error("{tool} takes no such argument; it takes {takes}")]
    UnknownArgument {
        /// The tool.
        tool: String,
        /// What it takes.
        takes: String,
    },
    /// It says nothing.
    #[error("it says nothing: give hidden, default, maximum or one_of")]
    Empty,
    /// A hidden argument that the tool cannot do without.
    #[error("{0} needs this argument, so it can only be hidden with a default")]
    Needed(String),
    /// The value is not what the argument takes.
    #[error("the argument is {expected}, not {found}")]
    Type {
        /// What it is.
        expected: String,
        /// What the recipe gives.
        found: String,
    },
    /// A limit for something that is no number, or a choice for something that is no text.
    #[error("the argument is {0}, which has no {1}")]
    NotLimited(String, &'static str),
    /// A value that the argument does not take.
    #[error("{0} is not taken: {1}")]
    NotTaken(String, String),
    /// A choice of nothing.
    #[error("a choice of nothing")]
    NoChoice,
    /// A project's recipe is more than the mode that it replaces.
    #[error("a project's recipe may not {0}")]
    Loosens(String),
}

/// A problem with a field, not yet with its line.
#[derive(Debug)]
pub(super) struct Wrong {
    path: Vec<Step>,
    problem: Problem,
}

/// A step from a document to one of its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Of a table.
    Key(String),
    /// Of an array.
    Index(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.into())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

impl Wrong {
    /// A problem with the field at the end of `path`.
    pub fn new(path: impl IntoIterator<Item = Step>, problem: impl Into<Problem>) -> Self {
        Self { path: path.into_iter().collect(), problem: problem.into() }
    }

    /// The same, a step further out.
    pub fn within(mut self, outer: impl IntoIterator<Item = Step>) -> Self {
        self.path.splice(0..0, outer);
        self
    }

    /// The same with its line in the text of the recipe.
    pub fn located(self, text: &str) -> RecipeError {
        RecipeError {
            line: position::line(text, &self.path),
            field: position::field(&self.path),
            problem: self.problem,
        }
    }
}

impl RecipeError {
    /// What TOML or serde says, with the field that it is about.
    pub(super) fn malformed(text: &str, error: &toml::de::Error) -> Self {
        let span = error.span().unwrap_or_default();
        let mut path = position::path(text, &span);
        let message = error.message().trim().replace('\n', " ");
        // That is said of the table around it.
        let missing = message.strip_prefix("missing field `").and_then(|it| it.strip_suffix('`'));
        // And where that is said, there is no document yet.
        let duplicate = (message == "duplicate key").then(|| text.get(span.clone())).flatten();
        path.extend(missing.or(duplicate).map(Step::from));
        Self {
            line: position::line_of(text, span.start),
            field: position::field(&path),
            problem: Problem::Malformed(message),
        }
    }
}
