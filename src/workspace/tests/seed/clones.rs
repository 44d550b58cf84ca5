//! Clones of repositories: over files, and over HTTP from git's own server program.

use super::support::{Bench, Checkout, git_in, text};
use pyro_workspace::{Cancel, Cloned, Repository, RepositoryError, Until, idle_clones};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

fn url(checkout: &Checkout) -> String {
    format!("file://{}", checkout.path().display())
}

fn fetch(bench: &Bench, url: &str, name: Option<&str>) -> Result<Cloned, RepositoryError> {
    let until = Until { deadline: None, cancel: &Cancel::new().unwrap() };
    Repository::parse(url, name)?.fetch(&bench.home, until)
}

/// The directories of clones, and what is in the one of the only repository.
fn kept(bench: &Bench) -> Vec<String> {
    let repos = bench.home.cache().join("repos");
    let repository = fs::read_dir(repos).unwrap().next().unwrap().unwrap().path();
    let names = fs::read_dir(repository).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.retain(|name| !name.ends_with(".lock") && name != "current");
    names.sort();
    names
}

#[test]
fn a_clone_is_clean_shallow_and_of_what_was_asked_for() {
    let (bench, there) = (Bench::new(), Checkout::new());
    there.write("a", "two\n").commit("two");
    there.git(&["tag", "-m", "annotated", "v1"]);
    there.git(&["checkout", "-q", "-b", "feature/x"]);
    there.write("a", "three\n").commit("three");
    there.git(&["checkout", "-q", "main"]);
    there.write("a", "not committed\n");
    let first = there.git(&["rev-parse", "HEAD~1"]).trim().to_owned();
    let address = url(&there);
    for (name, content, commits) in [
        (None, "two\n", "1\n"),
        (Some("main"), "two\n", "1\n"),
        (Some("v1"), "two\n", "1\n"),
        (Some("feature/x"), "three\n", "1\n"),
        (Some("refs/heads/feature/x"), "three\n", "1\n"),
        (Some(first.as_str()), "first\n", "1\n"),
    ] {
        let cloned = fetch(&bench, &address, name).unwrap_or_else(|error| panic!("{name:?}: {error}"));
        let git = |words: &[&str]| text(git_in(&cloned.path, words));
        assert_eq!(fs::read_to_string(cloned.path.join("a")).unwrap(), content, "{name:?}");
        assert_eq!(git(&["status", "--porcelain"]), "", "{name:?}");
        assert_eq!(git(&["rev-list", "--count", "HEAD"]), commits, "{name:?}");
        assert_eq!(git(&["rev-parse", "HEAD"]).trim(), cloned.commit, "{name:?}");
        assert_eq!(cloned.stale, None);
        // And it is a source of files like any other.
        assert_eq!(bench.seed(&cloned.path).facts.entries, 3);
    }
}

#[test]
fn what_is_not_there_is_named() {
    let (bench, there) = (Bench::new(), Checkout::new());
    let refused = |url: &str, name| fetch(&bench, url, name).unwrap_err().to_string();
    assert_eq!(refused(&url(&there), Some("nope")), format!("{} has no branch or tag nope", url(&there)));
    let none = refused("file:///nonexistent/repository", None);
    assert!(none.contains("/nonexistent/repository") && none.contains("gets nothing"), "{none}");
    let commit = refused(&url(&there), Some("0123456789012345678901234567890123456789"));
    assert!(commit.contains("gets nothing"), "{commit}");
    assert_eq!(
        refused(&url(&Checkout::empty(&[])), None).split(' ').skip(1).collect::<Vec<_>>().join(" "),
        "has no branch or tag HEAD"
    );
    assert_eq!(kept(&bench), [""; 0], "nothing is left of it");
}

#[test]
fn a_clone_is_used_again_until_the_repository_moves() {
    let (bench, there) = (Bench::new(), Checkout::new());
    let first = fetch(&bench, &url(&there), None).unwrap();
    let made = fs::metadata(first.path.join("a")).unwrap().modified().unwrap();
    let again = fetch(&bench, &url(&there), None).unwrap();
    assert_eq!(
        (&again.path, again.path.join("a").metadata().unwrap().modified().unwrap()),
        (&first.path, made)
    );
    there.write("a", "moved\n").commit("moved");
    let moved = fetch(&bench, &url(&there), None).unwrap();
    assert_eq!(fs::read_to_string(moved.path.join("a")).unwrap(), "moved\n");
    // Whoever has the old one, keeps it.
    assert_eq!(fs::read_to_string(first.path.join("a")).unwrap(), "first\n");
    drop((first, again));
    assert_eq!(kept(&bench).len(), 2);
    drop(moved);
    let moved = fetch(&bench, &url(&there), None).unwrap();
    assert_eq!(kept(&bench), [moved.commit.as_str()]);
}

#[test]
fn what_was_cloned_will_do_where_the_server_is_gone() {
    let (bench, there) = (Bench::new(), Checkout::new());
    let address = url(&there);
    let commit = fetch(&bench, &address, None).unwrap().commit;
    drop(there);
    let old = fetch(&bench, &address, None).unwrap();
    assert_eq!(old.commit, commit);
    assert!(old.stale.as_ref().is_some_and(|why| why.contains("gets nothing")), "{:?}", old.stale);
    // A commit is what it is: nobody is asked.
    assert_eq!(fetch(&bench, &address, None).unwrap().path, old.path);
}

#[test]
fn two_servers_at_once_make_one_clone() {
    let (bench, there) = (Bench::new(), Checkout::new());
    let start = Barrier::new(4);
    let paths: Vec<PathBuf> = thread::scope(|scope| {
        let fetch = || {
            start.wait();
            fetch(&bench, &url(&there), None).unwrap().path
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(fetch)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(paths.iter().all(|path| *path == paths[0] && path.join("a").is_file()), "{paths:?}");
    assert_eq!(kept(&bench).len(), 1);
}

#[test]
fn an_interrupted_clone_leaves_nothing() {
    let bench = Bench::new();
    // It takes connections, and says nothing.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = format!("http://{}/a.git", silent.local_addr().unwrap());
    let cancel = Cancel::new().unwrap();
    let until = Until { deadline: None, cancel: &cancel };
    let repository = Repository::parse(&address, None).unwrap();
    thread::scope(|scope| {
        let fetching = scope.spawn(|| repository.fetch(&bench.home, until));
        let (connection, _) = silent.accept().unwrap();
        cancel.cancel();
        assert!(matches!(fetching.join().unwrap(), Err(RepositoryError::Cancelled)));
        // git is gone, too: else its end of the connection would stay open.
        let mut rest = Vec::new();
        BufReader::new(connection).read_to_end(&mut rest).unwrap();
    });
    assert_eq!(kept(&bench), [""; 0]);
    let cancel = Cancel::new().unwrap();
    let past = Until { deadline: Some(Instant::now() + Duration::from_millis(300)), cancel: &cancel };
    assert!(matches!(repository.fetch(&bench.home, past), Err(RepositoryError::Slow { .. })));
}

#[test]
fn what_a_killed_one_left_goes_with_the_next() {
    let (bench, there) = (Bench::new(), Checkout::new());
    let cloned = fetch(&bench, &url(&there), None).unwrap();
    let place = cloned.path.parent().unwrap();
    fs::create_dir_all(place.join("new-killed/clone/.git")).unwrap();
    fs::write(place.join("new-current"), "half").unwrap();
    fs::write(place.join("current"), "nonsense").unwrap();
    let again = fetch(&bench, &url(&there), None).unwrap();
    assert_eq!(kept(&bench), [again.commit.as_str()]);
    assert_eq!(fs::read_to_string(place.join("current")).unwrap(), again.commit);
}

#[test]
fn a_clone_has_no_hooks_and_its_submodules_are_not_followed() {
    let (bench, there, other) = (Bench::new(), Checkout::new(), Checkout::new());
    let module = format!("[submodule \"x\"]\n\tpath = x\n\turl = {}\n", url(&other));
    there.write(".gitmodules", &module);
    let commit = other.git(&["rev-parse", "HEAD"]);
    there.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{},x", commit.trim())]);
    there.git(&["add", ".gitmodules"]);
    there.git(&["commit", "-q", "-m", "a submodule"]);
    let cloned = fetch(&bench, &url(&there), None).unwrap();
    assert!(!cloned.path.join(".git/hooks").exists(), "no template is copied");
    assert_eq!(fs::read_dir(cloned.path.join("x")).unwrap().count(), 0);
}

#[test]
fn a_checkout_around_the_state_directory_has_no_say() {
    let (around, there) = (Checkout::new(), Checkout::new());
    let address = url(&there);
    around.git(&["config", "url.file:///nonexistent/.insteadOf", &address]);
    let home = pyro_workspace::Home::open(&around.path().join("state")).unwrap();
    let until = Until { deadline: None, cancel: &Cancel::new().unwrap() };
    let cloned = Repository::parse(&address, None).unwrap().fetch(&home, until).unwrap();
    assert!(cloned.path.join("a").is_file());
}

/// git's own HTTP server program for the repositories below a directory, behind a login.
struct Served {
    address: String,
    /// Headers of the requests.
    heard: Arc<Mutex<String>>,
}

impl Served {
    fn new(root: &Path, login: Option<&'static str>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let heard = Arc::new(Mutex::new(String::new()));
        let (root, log) = (root.to_owned(), Arc::clone(&heard));
        // It ends with the test program.
        thread::spawn(move || {
            for connection in listener.incoming() {
                let connection = connection.unwrap();
                let mut reader = BufReader::new(connection.try_clone().unwrap());
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
                log.lock().unwrap().push_str(&head);
                let answer = answer(&root, login, &head, &mut reader);
                (&connection).write_all(&answer).unwrap();
            }
        });
        Self { address, heard }
    }
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let found =
        head.lines().filter_map(|line| line.split_once(": ")).find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map_or("", |(_, value)| value)
}

/// One answer, after which the connection ends.
fn answer(root: &Path, login: Option<&str>, head: &str, body: &mut impl std::io::Read) -> Vec<u8> {
    if login.is_some_and(|login| header(head, "Authorization") != login) {
        return b"HTTP/1.0 401 No\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n"
            .to_vec();
    }
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut input = vec![0; header(head, "Content-Length").parse().unwrap_or(0)];
    body.read_exact(&mut input).unwrap();
    let mut backend = Command::new("git");
    backend.arg("http-backend").env("GIT_PROJECT_ROOT", root).env("GIT_HTTP_EXPORT_ALL", "1");
    backend.env("REQUEST_METHOD", method).env("PATH_INFO", path).env("QUERY_STRING", query);
    backend.env("CONTENT_TYPE", header(head, "Content-Type")).env("CONTENT_LENGTH", input.len().to_string());
    backend.env("HTTP_CONTENT_ENCODING", header(head, "Content-Encoding"));
    backend.env("GIT_PROTOCOL", header(head, "Git-Protocol")).env("REMOTE_ADDR", "127.0.0.1");
    let mut backend = backend.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    backend.stdin.take().unwrap().write_all(&input).unwrap();
    let output = backend.wait_with_output().unwrap().stdout;
    let status = if output.starts_with(b"Status: 404") { "404 No" } else { "200 OK" };
    [format!("HTTP/1.0 {status}\r\n").as_bytes(), &output].concat()
}

/// A bare copy of a checkout, as servers have them.
fn bare(there: &Checkout) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let (from, to) = (there.path().to_str().unwrap(), root.path().join("a.git"));
    git_in(root.path(), &["clone", "-q", "--bare", from, to.to_str().unwrap()]);
    root
}

#[test]
fn a_clone_over_the_network_is_shallow() {
    let (bench, there) = (Bench::new(), Checkout::new());
    there.write("a", "two\n").commit("two");
    let root = bare(&there);
    let served = Served::new(root.path(), None);
    let cloned = fetch(&bench, &format!("http://{}/a.git", served.address), Some("main")).unwrap();
    assert_eq!(text(git_in(&cloned.path, &["rev-list", "--count", "HEAD"])), "1\n");
    let error = fetch(&bench, &format!("http://{}/b.git", served.address), None).unwrap_err().to_string();
    assert!(error.contains("/b.git") && error.contains("not found"), "{error}");
}

#[test]
fn a_login_opens_the_door_and_is_kept_nowhere() {
    let (bench, there) = (Bench::new(), Checkout::new());
    let root = bare(&there);
    // "me:s3cret pass"
    let served = Served::new(root.path(), Some("Basic bWU6czNjcmV0IHBhc3M="));
    let with = format!("http://me:s3cret%20pass@{}/a.git", served.address);
    let without = format!("http://{}/a.git", served.address);
    let closed = fetch(&bench, &without, None).unwrap_err().to_string();
    assert!(closed.contains("gets nothing"), "{closed}");
    let wrong = fetch(&bench, &with.replace("s3cret", "wr0ng"), None).unwrap_err();
    assert!(!format!("{wrong} {wrong:?}").contains("wr0ng"), "{wrong:?}");
    let repository = Repository::parse(&with, None).unwrap();
    let cloned = fetch(&bench, &with, None).unwrap();
    assert!(served.heard.lock().unwrap().contains("Basic bWU6czNjcmV0IHBhc3M="));
    assert_eq!(text(git_in(&cloned.path, &["remote", "get-url", "origin"])).trim(), without);
    assert!(!format!("{repository} {repository:?} {cloned:?}").contains("s3cret"));
    bench.seed(&cloned.path);
    let mut grep = Command::new("grep");
    grep.args(["-r", "-l", "-a", "-e", "s3cret", "-e", "bWU6czNjcmV0"]).arg(bench.home.path());
    let found = grep.output().unwrap();
    assert_eq!((found.status.code(), text(found.stdout)), (Some(1), String::new()));
}

#[test]
fn a_login_is_not_given_to_a_server_that_another_leads_to() {
    let (bench, there) = (Bench::new(), Checkout::new());
    let root = bare(&there);
    // Both would take it, if they were asked for by name.
    let (login, typed) = ("Basic bWU6czNjcmV0", "me:s3cret");
    let elsewhere = Served::new(root.path(), Some(login));
    let leads = leading(&elsewhere.address);
    let led = fetch(&bench, &format!("http://{typed}@{leads}/a.git"), None).unwrap_err().to_string();
    assert!(led.contains("gets nothing"), "{led}");
    let heard = elsewhere.heard.lock().unwrap().clone();
    assert!(heard.contains("GET /a.git/info/refs") && !heard.contains("Authorization"), "{heard}");
    fetch(&bench, &format!("http://{typed}@{}/a.git", elsewhere.address), None).unwrap();
}

/// A server that sends everybody to another one.
fn leading(to: &str) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (address, to) = (listener.local_addr().unwrap().to_string(), to.to_owned());
    thread::spawn(move || {
        for connection in listener.incoming() {
            let connection = connection.unwrap();
            let mut reader = BufReader::new(connection.try_clone().unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
            let target = head.split(' ').nth(1).unwrap();
            let answer =
                format!("HTTP/1.0 302 Found\r\nLocation: http://{to}{target}\r\nContent-Length: 0\r\n\r\n");
            (&connection).write_all(answer.as_bytes()).unwrap();
        }
    });
    address
}

#[test]
fn a_clone_that_nobody_asks_for_is_idle_in_a_month() {
    let (bench, there) = (Bench::new(), Checkout::new());
    let idle = |all| idle_clones(&bench.home, all).unwrap().into_iter().map(|it| it.path).collect::<Vec<_>>();
    assert_eq!(idle(true), [""; 0].map(PathBuf::from), "before there is any");
    let cloned = fetch(&bench, &url(&there), None).unwrap();
    let place = cloned.path.parent().unwrap().to_owned();
    assert_eq!(idle(true), [""; 0].map(PathBuf::from), "one that is used");
    drop(cloned);
    assert_eq!((idle(false), idle(true)), (vec![], vec![place.clone()]));
    let asked = |days: u64| {
        let lock = fs::File::options().append(true).open(place.join("update.lock")).unwrap();
        lock.set_modified(SystemTime::now() - Duration::from_secs(days * 86_400)).unwrap();
    };
    asked(29);
    assert_eq!(idle(false), [""; 0].map(PathBuf::from));
    asked(31);
    let held = idle_clones(&bench.home, false).unwrap();
    assert_eq!(held[0].path, place);
    // While it is about to go nobody gets it, and then it is made anew.
    let got = thread::scope(|scope| {
        let waiting = scope.spawn(|| fetch(&bench, &url(&there), None).unwrap().path.join("a"));
        thread::sleep(Duration::from_millis(200));
        assert!(!waiting.is_finished());
        fs::rename(&place, bench.home.cache().join("gone")).unwrap();
        drop(held);
        waiting.join().unwrap()
    });
    assert!(got.is_file(), "{}", got.display());
    asked(31);
    drop(fetch(&bench, &url(&there), None).unwrap());
    assert_eq!(idle(false), [""; 0].map(PathBuf::from), "asked for again");
}
