//! The `.git` of a seed: a repository of one commit, made by git itself from the host's.

use super::SeedError;
use super::cache::failed;
use super::checkout::{Head, Repository};
use super::git::Git;
use super::tree::{Body, Member, complete};
use std::collections::HashSet;
use std::fs::{self, File, FileTimes};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

/// The members of each repository's `.git`, complete and in order. `scratch` must stay as long as they do.
pub(super) fn all(repositories: &[Repository], scratch: &Path) -> Result<Vec<Member>, SeedError> {
    let mut all = Vec::new();
    for (number, repository) in repositories.iter().enumerate() {
        all.extend(members(repository, &scratch.join(number.to_string()))?);
    }
    complete(&mut all);
    Ok(all)
}

/// Those of one; `scratch` does not exist yet.
fn members(repository: &Repository, scratch: &Path) -> Result<Vec<Member>, SeedError> {
    fs::create_dir(scratch).map_err(failed(scratch))?;
    let git =
        repository.settings.filters().into_iter().fold(Git::in_directory(&repository.top), |git, name| {
            let key = |last: &[u8]| [b"filter.", name, last].concat();
            let git = git.setting(&key(b".clean"), "").setting(&key(b".process"), "");
            git.setting(&key(b".required"), "false")
        });
    let heads = heads(repository)?;
    let commits: Vec<&[u8]> = repository.head.commit.iter().map(|it| &it[..]).chain(named(&heads)).collect();
    let (index, pack) = thread::scope(|scope| {
        let pack = scope.spawn(|| pack(repository, &git, scratch, &commits));
        let index = index(&repository.files.index, &git, scratch);
        (index, pack.join().expect("packing does not panic"))
    });
    let mut members = Members { at: repository.path.clone(), members: Vec::new() };
    for directory in ["objects/info", "objects/pack", "refs/heads", "refs/tags"] {
        members.add(directory, Body::Directory(None));
    }
    for (name, path) in pack? {
        members.add(&format!("objects/pack/{name}"), Body::Made(path));
    }
    if let Some(index) = index? {
        members.add("index", Body::Made(index));
    }
    for (name, path) in &repository.files.info {
        if let Some(bytes) = read(path)? {
            members.add(name, Body::Bytes(bytes));
        }
    }
    let Head { branch, commit } = &repository.head;
    let config = repository.settings.render(&repository.object_format);
    members.add("config", Body::Bytes(config));
    let line = |parts: &[&[u8]]| Body::Bytes([parts, &[b"\n"]].concat().concat());
    match (branch, commit) {
        (Some(branch), _) => members.add("HEAD", line(&[b"ref: ", branch])),
        (None, Some(commit)) => members.add("HEAD", line(&[commit])),
        (None, None) => {}
    }
    if let (Some(commit), Some(branch)) = (commit, branch) {
        members.add("packed-refs", line(&[commit, b" ", branch]));
    }
    if !commits.is_empty() {
        members.add("shallow", line(&[&commits.join(&b'\n')]));
    }
    for (name, text) in heads {
        members.add(name, Body::Bytes(text));
    }
    Ok(members.members)
}

/// What is there of the commits of an unfinished merge.
fn heads(repository: &Repository) -> Result<Vec<(&'static str, Vec<u8>)>, SeedError> {
    let mut heads = Vec::new();
    for (name, path) in &repository.files.heads {
        heads.extend(read(path)?.map(|text| (*name, text)));
    }
    Ok(heads)
}

/// The commits that they name.
fn named<'h>(heads: &'h [(&str, Vec<u8>)]) -> impl Iterator<Item = &'h [u8]> {
    let lines = heads.iter().flat_map(|(_, text)| text.split(|byte| *byte == b'\n'));
    lines.filter(|line| !line.is_empty() && line.iter().all(u8::is_ascii_hexdigit))
}

/// A file of the repository, if it is there.
fn read(path: &Path) -> Result<Option<Vec<u8>>, SeedError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SeedError::Source { path: path.to_owned(), source }),
    }
}

struct Members {
    at: Vec<u8>,
    members: Vec<Member>,
}

impl Members {
    fn add(&mut self, name: &str, body: Body) {
        let slash: &[u8] = if self.at.is_empty() { b"" } else { b"/" };
        self.members.push(([&self.at, slash, b".git/", name.as_bytes()].concat(), body));
    }
}

/// What the commits and the index are made of, as one pack; nothing if there is nothing.
fn pack(
    repository: &Repository,
    git: &Git,
    scratch: &Path,
    commits: &[&[u8]],
) -> Result<Vec<(String, PathBuf)>, SeedError> {
    let mut wanted = Vec::new();
    let mut want = |words: &[&[u8]]| {
        wanted.extend(words.concat());
        wanted.push(b'\n');
    };
    for commit in commits {
        // Its parents are not asked for.
        want(&[b"--shallow ", commit]);
        want(&[commit]);
    }
    let partial = repository.settings.is_partial();
    let missing = if partial { missing(repository, git)? } else { HashSet::new() };
    let present = repository.objects().filter(|object| !missing.contains(*object));
    present.for_each(|object| want(&[object]));
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let base = scratch.join("pack");
    let mut words = vec!["pack-objects", "--quiet", "--revs", "--window=0", "--delta-base-offset"];
    if partial {
        words.push("--missing=allow-any");
    }
    let base_text = base.to_str().ok_or_else(|| failed(&base)(io::Error::other("its path is not UTF-8")))?;
    words.push(base_text);
    let objects = scratch.join("objects");
    fs::create_dir(&objects).map_err(failed(&objects))?;
    git.clone().objects(&repository.files.objects, &objects).feed(&words, &wanted)?;
    let mut files = Vec::new();
    for entry in fs::read_dir(scratch).map_err(failed(scratch))? {
        let path = entry.map_err(failed(scratch))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("pack-") && (name.ends_with(".pack") || name.ends_with(".idx")) {
            if partial && name.ends_with(".pack") {
                let promisor = path.with_extension("promisor");
                fs::write(&promisor, b"").map_err(failed(&promisor))?;
                files.push((name.replace(".pack", ".promisor"), promisor));
            }
            files.push((name, path));
        }
    }
    Ok(files)
}

/// Which of the objects a partial clone does not have.
fn missing(repository: &Repository, git: &Git) -> Result<HashSet<Vec<u8>>, SeedError> {
    let question = repository.objects().flat_map(|object| [object, b"\n"]).collect::<Vec<_>>().concat();
    let answers = git.feed(&["cat-file", "--batch-check"], &question)?;
    let missing = answers.split(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b" missing"));
    Ok(missing.map(<[u8]>::to_vec).collect())
}

/// A plain copy of the index, that knows the files as the guest's git will see them.
fn index(original: &Path, git: &Git, scratch: &Path) -> Result<Option<PathBuf>, SeedError> {
    let copy = scratch.join("index");
    match fs::copy(original, &copy) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(SeedError::Source { path: original.to_owned(), source }),
        Ok(_) => {}
    }
    // git looks closer at files that are not older than the index; so the copy keeps its time until git
    // has looked with the eyes of the guest, and writes what it found.
    let time = fs::metadata(original).and_then(|it| it.modified());
    let set = time.and_then(|time| File::open(&copy)?.set_times(FileTimes::new().set_modified(time)));
    set.map_err(failed(&copy))?;
    let git = git.clone().index(&copy).setting(b"core.checkStat", "minimal");
    let git = git.setting(b"core.trustCtime", "false").setting(b"core.ignoreStat", "false");
    // Its threads are wanted elsewhere.
    let git = git.setting(b"core.preloadIndex", "false");
    let words = [
        "update-index",
        "--no-split-index",
        "--no-untracked-cache",
        "--no-fsmonitor",
        "--clear-resolve-undo",
        "--force-write-index",
        "-q",
        "--unmerged",
        "--refresh",
    ];
    let output = git.run(&words)?;
    // 1: there are changes.
    match output.status.code() {
        Some(0 | 1) => Ok(Some(copy)),
        _ => Err(git.refusal(&words, &output).into()),
    }
}
