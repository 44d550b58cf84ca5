//! What git neither tracks nor ignores. To find it git walks all directories, which takes longer than
//! everything else of a look. So its answer is kept with what it depends on: the index, the
//! configuration, every directory that it walked and every file of patterns in them. This is git's own
//! untracked cache, for a git that writes nothing.

use super::Owner;
use super::cache::{Cache, Key};
use super::config::Settings;
use super::git::{Git, GitError};
use super::index::Tracked;
use super::stamp::Stamp;
use super::tree::{Sight, Tree};
use pyro_layer::layer_order;
use rustix::fs::{AtFlags, CWD, fstatfs, stat, statat};
use std::collections::BTreeSet;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// ext4, XFS, Btrfs, tmpfs, overlayfs, F2FS and ZFS: where each new name in a directory changes its time.
const PROMPT: [i64; 7] =
    [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0xf2f5_2010, 0x2fc1_2fc1];

/// Most directories that are watched though nothing of interest is in them.
const IDLE_MAX: usize = 4096;

/// Between what is watched, of which only the first path may be empty, and the answer.
const END: &[u8] = b"\0\0";

/// What git is asked.
const QUESTION: [&str; 4] = ["ls-files", "-z", "-o", "--exclude-standard"];

/// Where the patterns of a directory are.
const PATTERNS: &[u8] = b".gitignore";

/// What is to be known of a directory in a checkout, which lies at `at` in the tree.
pub(super) struct Untracked<'a> {
    pub cache: &'a Cache<'a>,
    pub git: &'a Git,
    pub tree: &'a Tree,
    pub directory: &'a Path,
    pub at: &'a [u8],
    pub index: &'a Path,
    /// Patterns that are nobody else's business, of this repository.
    pub exclude: &'a Path,
    pub settings: &'a Settings,
}

impl Untracked<'_> {
    /// `git ls-files -z -o --exclude-standard`, in which a repository has a slash at its end. `listing` is
    /// that of the index.
    pub fn list(&self, listing: &[u8]) -> Result<Vec<u8>, GitError> {
        let mut place = Key::new(Owner::default());
        place.add(b"untracked");
        place.add(self.directory.as_os_str().as_bytes());
        // Before git is asked, so that whatever changes meanwhile is newer.
        let state = self.state();
        if let Some(state) = &state
            && let Some((known, said)) = self.cache.said(&place)
            && let Some(end) = said.windows(END.len()).position(|bytes| bytes == END)
            && let Some(state) = self.watch(state.clone(), said[..end].split(|byte| *byte == 0))
            && state.digest() == known
        {
            return Ok(said[end + END.len()..].to_vec());
        }
        let Some(state) = state else { return self.ask() };
        let outermost = self.git.read(&[&QUESTION[..], &["--directory"]].concat())?;
        // Git walks once, unless there are directories that it has not gone into.
        let closed = outermost.windows(2).any(|it| it == b"/\0");
        let answer = if closed { self.ask()? } else { outermost.clone() };
        if let Some(watched) = self.watched(listing, &answer, &outermost)
            && let Some(state) = self.watch(state, watched.iter().map(Vec::as_slice))
        {
            self.cache.say(&place, &state, &[&watched.join(&0), END, &answer]);
        }
        Ok(answer)
    }

    /// The same, of which nothing is remembered.
    pub fn ask(&self) -> Result<Vec<u8>, GitError> {
        self.git.read(&QUESTION)
    }

    /// What the answer depends on besides what is watched; none if that is not known.
    fn state(&self) -> Option<Key> {
        let kind = fstatfs(&self.tree.root).ok()?.f_type;
        if !PROMPT.contains(&kind) {
            return None;
        }
        let mut state = Key::new(Owner::default());
        self.settings.add_to(&mut state);
        for path in [self.index, self.exclude, &self.global_patterns()?] {
            state.add(path.as_os_str().as_bytes());
            match statat(CWD, path, AtFlags::empty()) {
                Ok(stat) => state.add_file(b"", &Stamp::of(&stat)),
                Err(error) => state.add(&error.raw_os_error().to_le_bytes()),
            }
        }
        Some(state)
    }

    /// The file of the user's own patterns. None if git would look at more than its path.
    #[expect(clippy::disallowed_methods, reason = "git goes by these variables, and inherits them from us")]
    fn global_patterns(&self) -> Option<PathBuf> {
        let home = || env::var_os("HOME").map(PathBuf::from);
        if let Some(set) = self.settings.last("core", "excludesfile") {
            let path = set.strip_prefix(b"~/").map_or_else(
                || Some(PathBuf::from(OsStr::from_bytes(set))),
                |rest| Some(home()?.join(OsStr::from_bytes(rest))),
            );
            return path.filter(|path| path.is_absolute());
        }
        let xdg = env::var_os("XDG_CONFIG_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
        Some(xdg.map_or_else(|| Some(home()?.join(".config")), Some)?.join("git/ignore"))
    }

    /// Adds what is seen at these paths of the checkout, the first of which is its top. None if a part of
    /// it is elsewhere.
    fn watch<'p>(&self, mut state: Key, watched: impl Iterator<Item = &'p [u8]>) -> Option<Key> {
        let slash: &[u8] = if self.at.is_empty() { b"" } else { b"/" };
        let top = Stamp::of(&stat(self.directory).ok()?);
        state.add_file(b"", &top);
        let paths = watched.skip(1).map(|path| ([self.at, slash, path].concat(), ())).collect();
        for (path, (), sight) in self.tree.look(paths) {
            match sight {
                Sight::Found(stamp) if stamp.device == top.device => state.add_file(&path, &stamp),
                Sight::Found(_) => return None,
                Sight::Absent => state.add(&path),
                Sight::Skipped(why) => [&path, why.as_bytes()].iter().for_each(|it| state.add(it)),
            }
        }
        Some(state)
    }

    /// The directories that git has walked, and their patterns, in the order of layers. None if other
    /// repositories are among them, of which more matters, or if it were too much. `outermost` is the answer
    /// in which a directory without anything tracked stands for all that is in it.
    fn watched(&self, listing: &[u8], answer: &[u8], outermost: &[u8]) -> Option<Vec<Vec<u8>>> {
        if Tracked::all(listing).any(|it| it.is_module) || answer.windows(2).any(|it| it == b"/\0") {
            return None;
        }
        let untracked = answer.split(|byte| *byte == 0).filter(|path| !path.is_empty());
        let mut directories = BTreeSet::from([&b""[..]]);
        for path in Tracked::all(listing).map(|it| it.path).chain(untracked) {
            // From the innermost on, until one is known.
            let mut slashes = path.iter().enumerate().rev().filter(|(_, byte)| **byte == b'/');
            while let Some((slash, _)) = slashes.next()
                && directories.insert(&path[..slash])
            {}
        }
        let mut watched: Vec<Vec<u8>> = directories.into_iter().map(<[u8]>::to_vec).collect();
        // What git went into without finding anything may get a file, too.
        let known = watched.len();
        for top in outermost.split(|byte| *byte == 0).filter_map(|path| path.strip_suffix(b"/")) {
            let mut next = vec![top.to_vec()];
            while let Some(path) = next.pop() {
                let below = fs::read_dir(self.directory.join(OsStr::from_bytes(&path))).into_iter().flatten();
                let below = below.flatten().filter(|it| it.file_type().is_ok_and(|kind| kind.is_dir()));
                next.extend(below.map(|it| [&path, &b"/"[..], it.file_name().as_bytes()].concat()));
                watched.push(path);
                if watched.len() + next.len() > known + IDLE_MAX {
                    return None;
                }
            }
        }
        let patterns = watched.iter().map(|path| match &path[..] {
            b"" => PATTERNS.to_vec(),
            path => [path, b"/", PATTERNS].concat(),
        });
        let there = |path: &Vec<u8>| self.directory.join(OsStr::from_bytes(path)).symlink_metadata().is_ok();
        let patterns: Vec<_> = patterns.filter(there).collect();
        watched.extend(patterns);
        watched.sort_by(|a, b| layer_order(a, b));
        watched.dedup();
        Some(watched)
    }
}
