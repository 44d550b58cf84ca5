//! The project that a server's workspaces are seeded with, where a call names no source: a checkout or a
//! directory of this host, or a clone of a repository.
//!
//! What is found by itself is only ever a git checkout, which says which of its files belong to it; any
//! other directory has to be named.

use crate::error::UserError;
use crate::explain::project_error;
use crate::mcp::args::ServeArgs;
use pyro_workspace::{Cloned, Home, OriginKind, Repository, RepositoryError, Seed, SeedError, Until};
use rustix::process::geteuid;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The variable of pyro's own.
const PYRO_VARIABLE: &str = "PYRO_PROJECT_PATH";

/// The one that Claude Code sets for servers that it starts.
const CLAUDE_VARIABLE: &str = "CLAUDE_PROJECT_DIR";

/// What says where the project is, if no flag does.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// `PYRO_PROJECT_PATH`.
    pub pyro_variable: Option<OsString>,
    /// `CLAUDE_PROJECT_DIR`.
    pub claude_variable: Option<OsString>,
    /// The current directory, unless it is gone.
    pub here: Option<PathBuf>,
}

impl Surroundings {
    /// Those of this process.
    pub fn look() -> Self {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty());
        Self {
            pyro_variable: set(PYRO_VARIABLE),
            claude_variable: set(CLAUDE_VARIABLE),
            here: env::current_dir().ok(),
        }
    }
}

/// Who named a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// `--project-path`.
    Flag,
    /// This variable.
    Variable(&'static str),
    /// Nobody: it is the current one.
    Nobody,
}

impl Said {
    /// Whether somebody meant this directory, whatever is in it. What Claude Code sets is where it was
    /// started, which may be anywhere.
    fn is_explicit(self) -> bool {
        matches!(self, Self::Flag | Self::Variable(PYRO_VARIABLE))
    }
}

impl fmt::Display for Said {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Flag => "--project-path",
            Self::Variable(name) => name,
            Self::Nobody => "the current directory",
        })
    }
}

/// Where the files of workspaces come from.
#[derive(Debug)]
pub enum Source {
    /// From nowhere, because a flag says so.
    Off,
    /// From nowhere, because no checkout was found.
    Nothing {
        /// Where one was looked for.
        looked: Option<PathBuf>,
    },
    /// All of a git checkout.
    Checkout {
        /// Its top.
        top: PathBuf,
        /// Who named it, or a directory in it.
        said: Said,
    },
    /// All of a directory that is none.
    Directory {
        /// Which one.
        path: PathBuf,
        /// Who named it.
        said: Said,
    },
    /// A clone.
    Repository {
        /// Of what.
        repository: Repository,
        /// The clone, once it was asked for.
        cloned: Mutex<Option<Arc<Cloned>>>,
    },
    /// What is named cannot be used. A server starts all the same, and says so when it is asked for files.
    Unusable(ProjectError),
}

/// Files for a workspace.
#[derive(Debug)]
pub struct ProjectSeed {
    /// Where they are.
    pub seed: Seed,
    /// What the user should know of them.
    pub note: Option<String>,
    /// Keeps the clone that they are in.
    _cloned: Option<Arc<Cloned>>,
}

/// Files that a call names.
impl From<Seed> for ProjectSeed {
    fn from(seed: Seed) -> Self {
        Self { seed, note: None, _cloned: None }
    }
}

/// Why there is no project source.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// The host has left a variable in.
    #[error("{said} is {value:?}: what `${{…}}` stands for was not put in")]
    Template {
        /// Who said it.
        said: Said,
        /// What.
        value: String,
    },
    /// There is no such directory.
    #[error("{said} names {}: {source}", path.display())]
    Path {
        /// Who named it.
        said: Said,
        /// Which one.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It cannot be read.
    #[error(transparent)]
    Seed(#[from] SeedError),
    /// It cannot be cloned.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

impl Source {
    /// The source that a server with these arguments has.
    pub fn find(args: &ServeArgs, around: &Surroundings) -> Self {
        Self::choose(args, around).unwrap_or_else(Self::Unusable)
    }

    fn choose(args: &ServeArgs, around: &Surroundings) -> Result<Self, ProjectError> {
        if args.no_project_source {
            return Ok(Self::Off);
        }
        if let Some(url) = &args.repo_url {
            let repository = Repository::parse(url, args.repo_ref.as_deref())?;
            return Ok(Self::Repository { repository, cloned: Mutex::default() });
        }
        let (said, path) = named(args.project_path.as_deref(), around)?;
        let Some(path) = path else { return Ok(Self::Nothing { looked: None }) };
        match Seed::checkout(&path)? {
            Some(checkout) => Ok(Self::Checkout { top: checkout.path().to_owned(), said }),
            None if said.is_explicit() => Ok(Self::Directory { path, said }),
            None => Ok(Self::Nothing { looked: Some(path) }),
        }
    }

    /// The directory of this host that it is, if it is one.
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Self::Checkout { top: path, .. } | Self::Directory { path, .. } => Some(path),
            Self::Off | Self::Nothing { .. } | Self::Repository { .. } | Self::Unusable(_) => None,
        }
    }

    /// The files, as they are now; `None` if there are none. A repository is cloned, or asked for what is
    /// new, the first time that this is called.
    ///
    /// # Errors
    /// When they cannot be had, with the next step.
    pub fn seed(&self, home: &Home, until: Until<'_>) -> Result<Option<ProjectSeed>, UserError> {
        let local = |path: &Path, seed: Seed| {
            let seed = seed.named_by(OriginKind::ProjectPath, path.display().to_string());
            ProjectSeed { seed, note: None, _cloned: None }
        };
        let seed = match self {
            Self::Off | Self::Nothing { .. } => return Ok(None),
            Self::Unusable(error) => return Err(project_error(error)),
            Self::Directory { path, .. } | Self::Checkout { top: path, .. } => {
                Seed::of(path).map(|seed| local(path, seed)).map_err(ProjectError::from)
            }
            Self::Repository { repository, cloned } => clone_once(repository, cloned, home, until),
        };
        seed.map(Some).map_err(|error| project_error(&error))
    }
}

/// The files of a clone, which is made for the first who asks.
fn clone_once(
    repository: &Repository,
    cloned: &Mutex<Option<Arc<Cloned>>>,
    home: &Home,
    until: Until<'_>,
) -> Result<ProjectSeed, ProjectError> {
    let kept = || cloned.lock().unwrap_or_else(PoisonError::into_inner);
    let there = kept().clone();
    let cloned = match there {
        Some(cloned) => cloned,
        None => {
            // Not under the lock: it takes its time, and who comes meanwhile can still be interrupted.
            let fresh = Arc::new(repository.fetch(home, until)?);
            kept().insert(fresh).clone()
        }
    };
    let origin = format!("{}#{}", repository.address(), cloned.commit);
    let seed = Seed::of(&cloned.path)?.named_by(OriginKind::RepoUrl, origin);
    let note = cloned.stale.as_ref().map(|why| format!("the clone may be out of date: {why}"));
    Ok(ProjectSeed { seed, note, _cloned: Some(cloned) })
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => out.write_str("none, as --no-project-source says"),
            Self::Nothing { looked: Some(path) } => {
                write!(out, "none: {} is not in a Git checkout", path.display())
            }
            Self::Nothing { looked: None } => out.write_str("none: the current directory is gone"),
            Self::Checkout { top, said: Said::Nobody } => write!(out, "the Git checkout {}", top.display()),
            Self::Checkout { top, said } => write!(out, "the Git checkout {}, from {said}", top.display()),
            Self::Directory { path, said } => write!(out, "the directory {}, from {said}", path.display()),
            Self::Repository { repository, .. } => write!(out, "a clone of {repository}"),
            Self::Unusable(error) => write!(out, "unusable: {error}"),
        }
    }
}

/// The directory that recipes of the project are looked for in: the top of the checkout that the server is
/// for, or the directory that was named. It is the same whatever workspaces are seeded with.
///
/// A checkout that belongs to somebody else, which a current directory such as `/tmp` may lie in, has no say.
///
/// # Errors
/// When what is named is not there.
pub fn directory(
    project_path: Option<&Path>,
    around: &Surroundings,
) -> Result<Option<PathBuf>, ProjectError> {
    let (said, path) = named(project_path, around)?;
    let Some(path) = path else { return Ok(None) };
    let is_ours = |path: &Path| {
        let owner = path.metadata().map(|data| data.uid());
        owner.is_ok_and(|owner| owner == 0 || owner == geteuid().as_raw())
    };
    let top = path.ancestors().find(|it| it.join(".git").symlink_metadata().is_ok());
    Ok(match top {
        Some(top) => is_ours(top).then(|| top.to_owned()),
        None => said.is_explicit().then_some(path),
    })
}

/// The directory that is named first, and by whom.
fn named(flag: Option<&Path>, around: &Surroundings) -> Result<(Said, Option<PathBuf>), ProjectError> {
    let candidates = [
        (Said::Flag, flag.map(Path::as_os_str)),
        (Said::Variable(PYRO_VARIABLE), around.pyro_variable.as_deref()),
        (Said::Variable(CLAUDE_VARIABLE), around.claude_variable.as_deref()),
        (Said::Nobody, around.here.as_deref().map(Path::as_os_str)),
    ];
    let first = candidates.into_iter().find_map(|(said, value)| Some((said, value?)));
    let Some((said, value)) = first else { return Ok((Said::Nobody, None)) };
    if said != Said::Nobody && is_template(value) {
        return Err(ProjectError::Template { said, value: value.to_string_lossy().into_owned() });
    }
    let here = around.here.as_deref().unwrap_or(Path::new("/"));
    let path = here.join(value);
    let failed = |source| ProjectError::Path { said, path: path.clone(), source };
    let whole = path.canonicalize().map_err(failed)?;
    if !whole.is_dir() {
        return Err(failed(io::ErrorKind::NotADirectory.into()));
    }
    Ok((said, Some(whole)))
}

/// Whether a host has passed on what it should have replaced.
fn is_template(value: &OsStr) -> bool {
    value.as_encoded_bytes().windows(2).any(|two| two == b"${")
}

#[cfg(test)]
mod tests {
    use super::*;
    use pyro_workspace::{Cancel, Owner, SeedFacts, SeedMode};
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::process::Command;
    use tempfile::TempDir;

    /// A directory with a checkout in `project`, and one that is none in `plain`.
    struct Bench {
        directory: TempDir,
    }

    impl Bench {
        fn new() -> Self {
            let bench = Self { directory: tempfile::tempdir().unwrap() };
            for part in ["project/deep", "plain/deep"] {
                fs::create_dir_all(bench.path(part)).unwrap();
                fs::write(bench.path(part).join("file"), "text").unwrap();
            }
            let project = bench.path("project");
            let git = |words: &[&str]| {
                let mut git = Command::new("git");
                git.env("GIT_CONFIG_GLOBAL", "/dev/null").arg("-C").arg(&project).args(words);
                assert!(git.status().unwrap().success(), "{words:?}");
            };
            git(&["init", "-q", "-b", "main"]);
            git(&["add", "."]);
            git(&["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "one"]);
            bench
        }

        fn path(&self, part: &str) -> PathBuf {
            self.directory.path().canonicalize().unwrap().join(part)
        }

        fn here(&self, part: &str) -> Surroundings {
            Surroundings { here: Some(self.path(part)), ..Surroundings::default() }
        }

        fn facts(&self, source: &Source) -> Option<SeedFacts> {
            let home = Home::open(&self.path("home")).unwrap();
            let until = Until { deadline: None, cancel: &Cancel::new().unwrap() };
            let seed = source.seed(&home, until).unwrap()?;
            assert_eq!(seed.note, None);
            Some(seed.seed.layer(&home, Owner { uid: 0, gid: 0 }, until).unwrap().facts)
        }
    }

    fn flag(path: impl AsRef<Path>) -> ServeArgs {
        ServeArgs { project_path: Some(path.as_ref().into()), ..ServeArgs::default() }
    }

    #[test]
    fn what_is_named_first_is_taken_and_leads_to_the_top_of_its_checkout() {
        let bench = Bench::new();
        let top = bench.path("project");
        let mut around = bench.here("plain");
        let found = |args: &ServeArgs, around: &Surroundings| Source::find(args, around).to_string();
        assert_eq!(
            found(&ServeArgs::default(), &around),
            format!("none: {} is not in a Git checkout", bench.path("plain").display())
        );
        around.claude_variable = Some(bench.path("project/deep").into());
        let checkout = format!("the Git checkout {}", top.display());
        assert_eq!(found(&ServeArgs::default(), &around), format!("{checkout}, from CLAUDE_PROJECT_DIR"));
        around.pyro_variable = Some(bench.path("plain/deep").into());
        assert_eq!(
            found(&ServeArgs::default(), &around),
            format!("the directory {}, from PYRO_PROJECT_PATH", bench.path("plain/deep").display())
        );
        // Relative to the current directory, and through a link.
        symlink(&top, bench.path("plain/link")).unwrap();
        assert_eq!(found(&flag("link/deep"), &around), format!("{checkout}, from --project-path"));
        assert_eq!(found(&ServeArgs::default(), &bench.here("project/deep")), checkout);
        let off = ServeArgs { no_project_source: true, ..ServeArgs::default() };
        assert_eq!(found(&off, &around), "none, as --no-project-source says");
        assert_eq!(
            found(&ServeArgs::default(), &Surroundings::default()),
            "none: the current directory is gone"
        );
    }

    #[test]
    fn a_directory_that_nobody_meant_is_not_copied() {
        let bench = Bench::new();
        let mut around = bench.here("plain");
        assert_eq!(bench.facts(&Source::find(&ServeArgs::default(), &around)), None);
        around.claude_variable = Some(bench.path("plain").into());
        assert_eq!(bench.facts(&Source::find(&ServeArgs::default(), &around)), None);
        let named = bench.facts(&Source::find(&flag("."), &around)).unwrap();
        assert_eq!((named.mode, named.entries), (SeedMode::Directory, 1));
    }

    #[test]
    fn the_seed_says_where_it_is_from() {
        let bench = Bench::new();
        let facts = bench.facts(&Source::find(&ServeArgs::default(), &bench.here("project/deep"))).unwrap();
        assert_eq!((facts.mode, facts.origin_kind), (SeedMode::Checkout, OriginKind::ProjectPath));
        assert_eq!(facts.origin_ref, bench.path("project").to_string_lossy());
        let url = format!("file://{}", bench.path("project").display());
        let args = ServeArgs { repo_url: Some(url.clone()), ..ServeArgs::default() };
        let source = Source::find(&args, &bench.here("plain"));
        assert_eq!(source.to_string(), format!("a clone of {url}"));
        let facts = bench.facts(&source).unwrap();
        assert_eq!(
            (facts.mode, facts.origin_kind, facts.entries),
            (SeedMode::Checkout, OriginKind::RepoUrl, 1)
        );
        assert!(facts.origin_ref.starts_with(&format!("{url}#")), "{}", facts.origin_ref);
    }

    #[test]
    fn a_repository_is_cloned_once_for_a_server() {
        let bench = Bench::new();
        let url = bench.path("project").to_string_lossy().into_owned();
        let args = ServeArgs { repo_url: Some(url), ..ServeArgs::default() };
        let source = Source::find(&args, &bench.here("plain"));
        let first = bench.facts(&source).unwrap();
        fs::remove_dir_all(bench.path("project")).unwrap();
        assert_eq!(bench.facts(&source).unwrap().origin_ref, first.origin_ref);
    }

    #[test]
    fn what_cannot_be_used_is_said_when_files_are_wanted() {
        let bench = Bench::new();
        let home = Home::open(&bench.path("home")).unwrap();
        let until = Until { deadline: None, cancel: &Cancel::new().unwrap() };
        let check = |args: &ServeArgs, around: &Surroundings, what: &str| {
            let source = Source::find(args, around);
            assert!(source.to_string().starts_with("unusable: "), "{source}");
            let error = source.seed(&home, until).unwrap_err();
            assert!(error.message.contains(what) && error.hint.is_some(), "{error:?}");
            assert!(!format!("{error:?}{source}{source:?}").contains("s3cret"), "{error:?}");
        };
        let around = bench.here("plain");
        check(&flag("nowhere"), &around, "--project-path names");
        check(&flag("deep/file"), &around, "not a directory");
        check(&flag("${workspaceFolder}"), &around, "--project-path is \"${workspaceFolder}\"");
        let claude = Surroundings { claude_variable: Some("${CLAUDE_PROJECT_DIR}".into()), ..around.clone() };
        check(&ServeArgs::default(), &claude, "CLAUDE_PROJECT_DIR is");
        let url = ServeArgs { repo_url: Some("https://me:s3cret@x/?s3cret".into()), ..ServeArgs::default() };
        check(&url, &around, "https://x/ has a query");
    }

    #[test]
    fn recipes_are_those_of_the_checkout_whatever_is_seeded() {
        let bench = Bench::new();
        let of = |flag: Option<&Path>, around: &Surroundings| directory(flag, around).unwrap();
        let top = bench.path("project");
        assert_eq!(of(None, &bench.here("project/deep")), Some(top.clone()));
        assert_eq!(of(None, &bench.here("plain")), None);
        assert_eq!(of(Some(Path::new("deep")), &bench.here("plain")), Some(bench.path("plain/deep")));
        assert_eq!(of(Some(&top), &bench.here("plain")), Some(top));
    }

    #[test]
    fn recipes_of_somebody_elses_checkout_have_no_say() {
        if !geteuid().is_root() {
            return;
        }
        let bench = Bench::new();
        std::os::unix::fs::chown(bench.path("project"), Some(65534), None).unwrap();
        assert_eq!(directory(None, &bench.here("project/deep")).unwrap(), None);
    }
}
