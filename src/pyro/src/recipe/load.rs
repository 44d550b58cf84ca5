//! Where recipes are: in the program, in the user's configuration, in the project. Of files with the
//! same name a later one replaces an earlier one.

use super::error::RecipeError;
use super::{KnownTools, Recipe, parse, project};
use pyro_workspace::{NAME_PATTERN, Name};
use rustix::fs::OFlags;
use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The modes that come with pyro.
const BUILT_IN: &[(&str, &str)] = &[
    ("repro-fix", include_str!("../../../../recipes/repro-fix.toml")),
    ("inspect", include_str!("../../../../recipes/inspect.toml")),
    ("cold-start", include_str!("../../../../recipes/cold-start.toml")),
    ("review-eval", include_str!("../../../../recipes/review-eval.toml")),
];

/// Recipes of a project are here, in its directory.
pub const PROJECT_DIRECTORY: &str = ".pyro/recipes";

/// Largest file that is read: many times what the texts of a recipe may have.
const FILE_MAX: u64 = 256 << 10;

/// The directories of the recipes that do not come with pyro.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The user's.
    pub user: Option<PathBuf>,
    /// The project's.
    pub project: Option<PathBuf>,
}

/// Where a recipe comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The program.
    BuiltIn,
    /// This file of the user's.
    User(PathBuf),
    /// This file of the project's.
    Project(PathBuf),
}

impl Source {
    /// Who made it, in a word or two.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::BuiltIn => "built-in",
            Self::User(_) => "user",
            Self::Project(_) => "project",
        }
    }

    /// Its file.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::BuiltIn => None,
            Self::User(path) | Self::Project(path) => Some(path),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path() {
            Some(path) => write!(out, "{}", path.display()),
            None => out.write_str("built-in"),
        }
    }
}

/// A mode, and where its recipe is.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Its name.
    pub mode: String,
    /// What it is.
    pub recipe: Recipe,
    /// Where that is written.
    pub source: Source,
    /// Recipes of the same name that this one replaces, the nearest first.
    pub replaces: Vec<Source>,
}

/// A mode of a list.
#[derive(Debug)]
pub struct Listed {
    /// Its name.
    pub mode: String,
    /// Its recipe, or what is wrong with it.
    pub found: Result<Found, LoadError>,
}

/// Why there is no recipe.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Nobody has made such a mode.
    #[error("there is no mode {mode:?}; there are {}", known.join(", "))]
    Unknown {
        /// Its name.
        mode: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// A mode cannot have that name.
    #[error("{0:?} is no name for a mode: one matches {NAME_PATTERN}")]
    Name(String),
    /// A file or directory cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is no recipe.
    #[error("{}, {source}", path.display())]
    Broken {
        /// Which one.
        path: PathBuf,
        /// Where and why.
        source: RecipeError,
    },
}

impl Places {
    /// The recipe of a mode.
    ///
    /// # Errors
    /// When there is none, or one of its files is broken, also one that another replaces.
    pub fn find(&self, mode: &str, known: KnownTools<'_>) -> Result<Found, LoadError> {
        let name: Name = mode.parse().map_err(|_| LoadError::Name(mode.into()))?;
        let mut found: Option<Found> = None;
        for (source, text) in self.texts(name.as_str())? {
            let broken = |error: RecipeError| LoadError::Broken {
                path: source.path().map_or_else(|| format!("{mode}.toml").into(), Path::to_owned),
                source: error,
            };
            let mut recipe = parse(&text, known).map_err(broken)?;
            if let Source::Project(_) = &source {
                let replaced = found.as_ref().map(|it| (mode, &it.recipe));
                project::hold(&mut recipe, replaced, known).map_err(|wrong| broken(wrong.located(&text)))?;
            }
            let replaces = found.take().map(|it| [vec![it.source], it.replaces].concat()).unwrap_or_default();
            found = Some(Found { mode: mode.into(), recipe, source, replaces });
        }
        match found {
            Some(found) => Ok(found),
            None => {
                let is_name = |name: &String| name.parse::<Name>().is_ok();
                let known = self.names()?.into_iter().filter(is_name).collect();
                Err(LoadError::Unknown { mode: mode.into(), known })
            }
        }
    }

    /// All modes, by name; a broken one with what is wrong with it.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub fn list(&self, known: KnownTools<'_>) -> Result<Vec<Listed>, LoadError> {
        let listed = |mode: String| Listed { found: self.find(&mode, known), mode };
        Ok(self.names()?.into_iter().map(listed).collect())
    }

    fn names(&self) -> Result<BTreeSet<String>, LoadError> {
        let mut names: BTreeSet<String> = BUILT_IN.iter().map(|(name, _)| (*name).into()).collect();
        for directory in [&self.user, &self.project].into_iter().flatten() {
            let failed = |source| LoadError::Io { path: directory.clone(), source };
            let entries = match fs::read_dir(directory) {
                Ok(entries) => entries,
                Err(error) if is_absent(&error) => continue,
                Err(error) => return Err(failed(error)),
            };
            for entry in entries {
                let path = entry.map_err(failed)?.path();
                let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
                if path.extension().is_some_and(|it| it == "toml") && !hidden {
                    names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
                }
            }
        }
        Ok(names)
    }

    /// What is written of a mode, in the order in which one replaces the other.
    fn texts(&self, mode: &str) -> Result<Vec<(Source, String)>, LoadError> {
        let built_in = BUILT_IN.iter().find(|(name, _)| *name == mode);
        let mut texts: Vec<_> =
            built_in.map(|(_, text)| (Source::BuiltIn, (*text).to_owned())).into_iter().collect();
        let file = format!("{mode}.toml");
        let user = self.user.as_ref().map(|it| Source::User(it.join(&file)));
        let project = self.project.as_ref().map(|it| Source::Project(it.join(&file)));
        for source in user.into_iter().chain(project) {
            let Some(path) = source.path() else { continue };
            match read(path) {
                Ok(text) => texts.push((source, text)),
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(LoadError::Io { path: path.to_owned(), source: error }),
            }
        }
        Ok(texts)
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The text of a file that may be anybody's: a pipe is not waited for, and nothing endless is read.
fn read(path: &Path) -> io::Result<String> {
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(nonblocking).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("a recipe must be a file"));
    }
    if found.len() > FILE_MAX {
        return Err(io::Error::other(format!("a recipe has at most {FILE_MAX} bytes")));
    }
    let mut text = String::new();
    file.take(FILE_MAX).read_to_string(&mut text)?;
    Ok(text)
}
