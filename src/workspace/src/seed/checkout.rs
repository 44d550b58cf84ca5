//! A git checkout: which files it has, and what git knows about them.

use super::cache::{Cache, Key};
use super::config::Settings;
use super::git::{Git, GitError};
use super::index::{self, Tracked};
use super::stamp::{Kind, Stamp};
use super::tree::{Body, Sight, Tree};
use super::untracked::Untracked;
use super::{SeedError, Skipped, display};
use crate::home::Home;
use pyro_layer::layer_order;
use rustix::fs::{AtFlags, CWD, statat};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::thread;

/// A directory in a checkout.
#[derive(Clone, Debug)]
pub(super) struct Checkout {
    directory: PathBuf,
    top: PathBuf,
    /// `sha1` or `sha256`.
    object_format: String,
    files: Files,
}

/// Files of git's own directory.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub index: PathBuf,
    pub objects: PathBuf,
    /// Copied if they are there; relative to `.git`, and where they are.
    pub info: Vec<(&'static str, PathBuf)>,
    /// The same, of which each line is a commit: of a merge and the like that is not finished.
    pub heads: Vec<(&'static str, PathBuf)>,
}

const INFO: [&str; 5] = [EXCLUDE, "info/attributes", "info/sparse-checkout", "MERGE_MODE", "MERGE_MSG"];
const EXCLUDE: &str = "info/exclude";
const HEADS: [&str; 3] = ["MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD"];

/// What of a repository goes into its `.git` in the seed.
#[derive(Debug)]
pub(super) struct Repository {
    /// Where it is in the seed; empty for the top.
    pub path: Vec<u8>,
    pub top: PathBuf,
    pub object_format: String,
    pub files: Files,
    pub head: Head,
    pub settings: Settings,
    /// The index, as [`index::listing`] has it.
    pub listing: Vec<u8>,
}

/// Where HEAD points.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// The branch's full name; none if it is detached.
    pub branch: Option<Vec<u8>>,
    /// None before the first commit.
    pub commit: Option<Vec<u8>>,
}

/// A checkout as it was looked at.
pub(super) struct View {
    pub tree: Tree,
    pub repositories: Vec<Repository>,
}

impl Checkout {
    /// The checkout that a directory (absolute, without symbolic links) lies in.
    pub fn around(directory: &Path) -> Result<Option<Self>, GitError> {
        // Most directories in none are told without starting git, which need not even be there.
        if !directory.ancestors().any(|it| it.join(".git").symlink_metadata().is_ok()) {
            return Ok(None);
        }
        let git = Git::in_directory(directory);
        let mut words =
            vec!["rev-parse", "--path-format=absolute", "--is-inside-work-tree", "--show-toplevel"];
        words.extend(["--show-object-format", "--git-path", "index", "--git-path", "objects"]);
        words.extend(INFO.iter().chain(&HEADS).flat_map(|name| ["--git-path", name]));
        let output = git.run(&words)?;
        if !output.status.success() {
            let none = output.stdout.starts_with(b"false")
                || String::from_utf8_lossy(&output.stderr).contains("not a git repository");
            return if none { Ok(None) } else { Err(git.refusal(&words, &output)) };
        }
        let lines: Vec<&[u8]> =
            output.stdout.strip_suffix(b"\n").unwrap_or_default().split(|it| *it == b'\n').collect();
        let complete = |(_, others): &(_, &[&[u8]])| others.len() == INFO.len() + HEADS.len();
        let Some((&[_, top, format, index, objects], others)) = lines.split_first_chunk().filter(complete)
        else {
            let path = directory.to_owned();
            let words = "there is a line break in its path".into();
            return Err(GitError::Failed { path, command: "rev-parse".into(), words });
        };
        let path = |bytes: &[u8]| PathBuf::from(OsString::from_vec(bytes.to_vec()));
        let others = others.iter().map(|line| path(line));
        let mut named: Vec<_> = INFO.into_iter().chain(HEADS).zip(others).collect();
        let heads = named.split_off(INFO.len());
        Ok(Some(Self {
            directory: directory.to_owned(),
            top: path(top),
            object_format: display(format),
            files: Files { index: path(index), objects: path(objects), info: named, heads },
        }))
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub fn is_top(&self) -> bool {
        self.directory == self.top
    }

    /// All of it.
    pub fn whole(self) -> Self {
        Self { directory: self.top.clone(), ..self }
    }

    /// Whether git has or would take anything in the directory; if not, it is only ignored junk to git.
    pub fn knows_files(&self) -> Result<bool, GitError> {
        let git = Git::in_directory(&self.directory);
        Ok(!git.read(&["ls-files", "-z", "-c", "-o", "--exclude-standard"])?.is_empty())
    }

    /// Looks at everything, and reads no content.
    pub fn look(&self, home: &Home, cache: &Cache<'_>, mut key: Key) -> Result<(View, Key), SeedError> {
        let mut view = View { tree: Tree::open(&self.directory)?, repositories: Vec::new() };
        view.tree.leave_out(home.path());
        self.look_into(&mut view, cache, b"")?;
        view.tree.order();
        for repository in &view.repositories {
            repository.add_to(&mut key);
        }
        view.tree.add_to(&mut key);
        Ok((view, key))
    }

    /// Adds what is in this checkout, which lies at `at` in the seed, and in those that it contains.
    fn look_into(&self, view: &mut View, cache: &Cache<'_>, at: &[u8]) -> Result<(), SeedError> {
        let git = Git::in_directory(&self.directory);
        let tree = &view.tree;
        let (head, settings, listing, tracked, others) = thread::scope(|scope| {
            let head = scope.spawn(|| self.head(&git));
            let settings = scope.spawn(|| Settings::read(&git));
            let listing = index::listing(cache, &git, &self.directory, &self.files.index)?;
            let settings = settings.join().expect("it does not panic")?;
            let question = Untracked {
                cache,
                git: &git,
                tree,
                directory: &self.directory,
                at,
                index: &self.files.index,
                exclude: self.files.exclude(),
                settings: &settings,
            };
            let (tracked, others) = thread::scope(|scope| {
                let others = scope.spawn(|| {
                    let others = question.list(&listing)?;
                    Ok::<_, GitError>(tree.look(below(at, untracked(&others))))
                });
                let tracked = tree.look(below(at, tracked(&listing)));
                let mut others = others.join().expect("it does not panic");
                let replaced = |(_, is_module, sight): &(Vec<u8>, bool, Sight)| {
                    !is_module && matches!(sight, Sight::Found(stamp) if stamp.kind == Kind::Directory)
                };
                if tracked.iter().any(replaced) {
                    // Git passes over a directory in place of a file, if it is asked for whole directories.
                    others = question.ask().map(|others| tree.look(below(at, untracked(&others))));
                }
                (tracked, others)
            });
            let head = head.join().expect("it does not panic")?;
            Ok::<_, GitError>((head, settings, listing, tracked, others?))
        })?;
        if self.is_top() {
            view.repositories.push(Repository {
                path: at.to_vec(),
                top: self.top.clone(),
                object_format: self.object_format.clone(),
                files: self.files.clone(),
                head,
                settings,
                listing,
            });
        }
        for (path, may_be_repository, sight) in tracked.into_iter().chain(others) {
            match sight {
                Sight::Found(stamp) if stamp.kind == Kind::Directory => {
                    // What else is in a directory in place of a tracked file is listed by itself.
                    if may_be_repository {
                        self.nested(view, cache, path)?;
                    }
                }
                Sight::Found(stamp) => view.tree.add(path, Body::Found(stamp)),
                Sight::Absent => {}
                Sight::Skipped(why) => view.tree.skipped.push(Skipped { path: display(&path), why }),
            }
        }
        Ok(())
    }

    /// A submodule, or a repository that is not tracked.
    fn nested(&self, view: &mut View, cache: &Cache<'_>, path: Vec<u8>) -> Result<(), SeedError> {
        let directory = view.tree.directory.join(OsStr::from_bytes(&path));
        // A submodule that was not checked out is an empty directory.
        view.tree.add(path.clone(), Body::Directory(None));
        match Self::around(&directory)? {
            Some(checkout) if checkout.is_top() => checkout.look_into(view, cache, &path),
            _ => Ok(()),
        }
    }

    fn head(&self, git: &Git) -> Result<Head, GitError> {
        // Both at once: the commit, and then the branch's name, or `HEAD` again if it is detached.
        let both = git.run(&["rev-parse", "HEAD", "--symbolic-full-name", "HEAD"])?;
        let mut lines = both.stdout.split(|byte| *byte == b'\n').map(<[u8]>::to_vec);
        if both.status.success() {
            return Ok(Head { commit: lines.next(), branch: lines.next().filter(|name| name != b"HEAD") });
        }
        // Before the first commit.
        let branch = git.read(&["symbolic-ref", "HEAD"])?;
        Ok(Head { commit: None, branch: Some(branch.trim_ascii_end().to_vec()) })
    }
}

/// What a seed has of the configuration in this file, if that is a checkout's.
pub(super) fn configuration(file: &Path) -> Option<Vec<u8>> {
    let top = file.parent().filter(|it| it.ends_with(".git"))?.parent()?;
    let checkout = Checkout::around(top).ok()?.filter(Checkout::is_top)?;
    let settings = Settings::read(&Git::in_directory(top)).ok()?;
    Some(settings.render(&checkout.object_format))
}

/// Tracked paths, and whether each is a submodule's.
fn tracked(listing: &[u8]) -> Vec<(Vec<u8>, bool)> {
    let mut paths: Vec<(Vec<u8>, bool)> = Vec::new();
    for Tracked { path, is_module, .. } in Tracked::all(listing) {
        // One that is not merged is there once for each side.
        if paths.last().is_none_or(|(last, _)| last != path) {
            paths.push((path.to_vec(), is_module));
        }
    }
    paths
}

/// Paths that are not tracked, and whether each is a repository.
fn untracked(answer: &[u8]) -> Vec<(Vec<u8>, bool)> {
    let paths = answer.split(|byte| *byte == 0).filter(|path| !path.is_empty());
    // A slash at the end marks a repository.
    let paths = paths.map(|path| path.strip_suffix(b"/").map_or((path, false), |path| (path, true)));
    paths.map(|(path, is_repository)| (path.to_vec(), is_repository)).collect()
}

/// Paths of a repository in the seed, in the order of layers.
fn below(at: &[u8], mut paths: Vec<(Vec<u8>, bool)>) -> Vec<(Vec<u8>, bool)> {
    if !at.is_empty() {
        for (path, _) in &mut paths {
            *path = [at, b"/", path].concat();
        }
    }
    paths.sort_by(|(a, _), (b, _)| layer_order(a, b));
    paths
}

impl Files {
    /// Patterns of this repository alone.
    fn exclude(&self) -> &Path {
        let found = self.info.iter().find(|(name, _)| *name == EXCLUDE);
        &found.expect("git was asked for it").1
    }
}

impl Repository {
    /// Objects of the index, but for commits of submodules.
    pub fn objects(&self) -> impl Iterator<Item = &[u8]> {
        Tracked::all(&self.listing).filter(|it| !it.is_module).map(|it| it.object)
    }

    fn add_to(&self, key: &mut Key) {
        key.add(&self.path);
        key.add(self.object_format.as_bytes());
        for part in [&self.head.branch, &self.head.commit] {
            key.add(part.as_deref().unwrap_or_default());
        }
        key.add(&self.settings.render(&self.object_format));
        let info = self.files.info.iter().chain(&self.files.heads).map(|(_, path)| path);
        for path in std::iter::once(&self.files.index).chain(info) {
            match statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => key.add_file(b"", &Stamp::of(&stat)),
                Err(_) => key.add(b"none"),
            }
        }
    }
}
