//! The members of a seed: paths, and what was seen there.

use super::cache::Key;
use super::stamp::{Kind, Stamp};
use super::{PREFIX, SeedError, Skipped, display};
use pyro_layer::{Time, check_path, layer_order};
use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags, openat, statat};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::thread;

/// Paths that one thread looks at, at least: fewer are not worth another one.
const SHARE: usize = 1000;
/// Threads that look at paths; more only wait for each other.
const THREADS: usize = 4;

/// A directory of the host, and what of it goes into a seed.
#[derive(Debug)]
pub(super) struct Tree {
    pub directory: PathBuf,
    pub root: OwnedFd,
    /// Relative paths. After [`Tree::complete`] in the order of layers, with all directories.
    pub members: Vec<Member>,
    pub skipped: Vec<Skipped>,
    /// A directory of ours that is never part of a seed.
    left_out: Option<Vec<u8>>,
}

/// A relative path, and what is under it.
pub(super) type Member = (Vec<u8>, Body);

/// What is under a path of a seed.
#[derive(Debug)]
pub(super) enum Body {
    /// A directory. Without a time it gets the newest of what is in it: its own would change with
    /// files that are left out.
    Directory(Option<Time>),
    /// A file or a symbolic link of the host.
    Found(Stamp),
    /// A file of these bytes.
    Bytes(Vec<u8>),
    /// A file that was made elsewhere.
    Made(PathBuf),
}

/// What was seen at a path.
pub(super) enum Sight {
    Found(Stamp),
    /// Nothing.
    Absent,
    /// Something that cannot go into a layer, and why.
    Skipped(String),
}

impl Tree {
    pub fn open(directory: &Path) -> Result<Self, SeedError> {
        let failed = |error: Errno| SeedError::Source { path: directory.to_owned(), source: error.into() };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(directory, flags, Mode::empty()).map_err(failed)?;
        let (members, skipped) = (Vec::new(), Vec::new());
        Ok(Self { directory: directory.to_owned(), root, members, skipped, left_out: None })
    }

    /// Keeps a directory of ours out.
    pub fn leave_out(&mut self, ours: &Path) {
        let inside = ours.strip_prefix(&self.directory).ok();
        self.left_out = inside.map(|path| path.as_os_str().as_bytes().to_vec());
    }

    pub fn is_left_out(&self, path: &[u8]) -> bool {
        self.left_out.as_ref().is_some_and(|ours| {
            path.strip_prefix(&ours[..]).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
        })
    }

    pub fn add(&mut self, path: Vec<u8>, body: Body) {
        self.members.push((path, body));
    }

    /// Looks at paths, which are in the order of layers; no symbolic link is followed.
    pub fn look<T: Send>(&self, paths: Vec<(Vec<u8>, T)>) -> Vec<(Vec<u8>, T, Sight)> {
        let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS);
        let share = paths.len().div_ceil(threads).max(SHARE);
        let mut paths = paths.into_iter();
        thread::scope(|scope| {
            let mut others = Vec::new();
            let first: Vec<_> = paths.by_ref().take(share).collect();
            loop {
                let next: Vec<_> = paths.by_ref().take(share).collect();
                if next.is_empty() {
                    break;
                }
                others.push(scope.spawn(|| self.look_at(next)));
            }
            let mut seen = self.look_at(first);
            for other in others {
                seen.extend(other.join().expect("looking does not panic"));
            }
            seen
        })
    }

    fn look_at<T>(&self, paths: Vec<(Vec<u8>, T)>) -> Vec<(Vec<u8>, T, Sight)> {
        let mut directories = Directories::below(self.root.as_fd());
        let mut whole = [PREFIX, b"/"].concat();
        let look = |(path, with): (Vec<u8>, T)| {
            whole.truncate(PREFIX.len() + 1);
            whole.extend_from_slice(&path);
            let sight = if self.is_left_out(&path) {
                Sight::Skipped("it is pyro's own".into())
            } else if let Err(error) = check_path(&whole) {
                Sight::Skipped(error.to_string())
            } else {
                directories.look(&path)
            };
            (path, with, sight)
        };
        paths.into_iter().map(look).collect()
    }

    /// Puts members into order.
    pub fn order(&mut self) {
        self.members.sort_by(|(a, _), (b, _)| layer_order(a, b));
    }

    /// Adds the directories that members are in, and puts all into order.
    pub fn complete(&mut self) {
        complete(&mut self.members);
    }

    /// The newest time of a file.
    pub fn newest(&self) -> Time {
        let times = self.members.iter().filter_map(|(_, body)| match body {
            Body::Found(stamp) => Some(stamp.modified),
            _ => None,
        });
        times.max().unwrap_or_default()
    }

    pub fn add_to(&self, key: &mut Key) {
        for (path, body) in &self.members {
            match body {
                Body::Found(stamp) => key.add_file(path, stamp),
                Body::Directory(time) => {
                    let time = time.unwrap_or_default();
                    key.add(path);
                    key.add(&time.seconds.to_le_bytes());
                    key.add(&time.nanos.to_le_bytes());
                }
                Body::Bytes(_) | Body::Made(_) => {}
            }
        }
        for Skipped { path, why } in &self.skipped {
            key.add(path.as_bytes());
            key.add(why.as_bytes());
        }
    }
}

/// Adds the directories that members are in, and puts all into order.
pub(super) fn complete(members: &mut Vec<Member>) {
    let mut times: HashMap<&[u8], Time> = HashMap::new();
    for (path, body) in &*members {
        let time = match body {
            Body::Found(stamp) => stamp.modified,
            Body::Directory(_) | Body::Bytes(_) | Body::Made(_) => Time::default(),
        };
        for (slash, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            let newest = times.entry(&path[..slash]).or_default();
            *newest = time.max(*newest);
        }
    }
    let made = times.into_iter().map(|(path, time)| (path.to_vec(), Body::Directory(Some(time))));
    members.extend(made.collect::<Vec<_>>());
    members.sort_by(|(a, _), (b, _)| layer_order(a, b));
    // One that came with its own time stays: sorting keeps it before the one that was added here.
    members.dedup_by(|later, first| {
        let same = later.0 == first.0;
        if same && let (Body::Directory(added), Body::Directory(given @ None)) = (&later.1, &mut first.1) {
            *given = *added;
        }
        same
    });
}

/// The directories on the way to a path, open: each is looked up once. No symbolic link is followed.
pub(super) struct Directories<'a> {
    root: BorrowedFd<'a>,
    /// Of the innermost.
    path: Vec<u8>,
    /// Each with the length of its path.
    open: Vec<(usize, Result<OwnedFd, Errno>)>,
}

impl<'a> Directories<'a> {
    pub const fn below(root: BorrowedFd<'a>) -> Self {
        Self { root, path: Vec::new(), open: Vec::new() }
    }

    /// The directory that a path is in, and its name there.
    pub fn parent<'p>(&mut self, path: &'p [u8]) -> Result<(BorrowedFd<'_>, &'p OsStr), Errno> {
        let slash = path.iter().rposition(|byte| *byte == b'/');
        let (parent, name) = slash.map_or((&b""[..], path), |at| (&path[..at], &path[at + 1..]));
        Ok((self.enter(parent)?, OsStr::from_bytes(name)))
    }

    fn look(&mut self, path: &[u8]) -> Sight {
        let stat = self
            .parent(path)
            .and_then(|(directory, name)| statat(directory, name, AtFlags::SYMLINK_NOFOLLOW));
        match stat.map(|stat| Stamp::of(&stat)) {
            Ok(stamp) if stamp.kind == Kind::Other => {
                Sight::Skipped("it is neither file, link nor directory".into())
            }
            Ok(stamp) => Sight::Found(stamp),
            // A link or a file in place of a directory on the way.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Sight::Absent,
            Err(error) => Sight::Skipped(words(error)),
        }
    }

    fn enter(&mut self, directory: &[u8]) -> Result<BorrowedFd<'_>, Errno> {
        let inside = |outer: &[u8]| {
            directory.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
        };
        while let Some((length, _)) = self.open.last()
            && !inside(&self.path[..*length])
        {
            self.open.pop();
        }
        let known = self.open.last().map_or(0, |(length, _)| *length);
        self.path.clear();
        self.path.extend_from_slice(directory);
        for name in directory[known..].split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            let before = self.open.last().map_or(0, |(length, _)| *length + 1);
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let next = self
                .innermost()
                .and_then(|outer| openat(outer, OsStr::from_bytes(name), flags, Mode::empty()));
            self.open.push((before + name.len(), next));
        }
        self.innermost()
    }

    fn innermost(&self) -> Result<BorrowedFd<'_>, Errno> {
        match self.open.last() {
            None => Ok(self.root),
            Some((_, Ok(directory))) => Ok(directory.as_fd()),
            Some((_, Err(error))) => Err(*error),
        }
    }
}

/// What an error means to who wants to know why a file is missing.
pub(super) fn words(error: Errno) -> String {
    match error {
        Errno::ACCESS | Errno::PERM => "permission denied".into(),
        error => std::io::Error::from(error).to_string(),
    }
}

/// Messages that name a path of the seed.
pub(super) fn changing(path: &[u8]) -> SeedError {
    SeedError::Changing(display(path))
}
