//! `env prune` beside everything else.

use crate::images::{
    layout::{Layout, Made, Packing},
    proxy::{Fault, Proxy},
    registry::Registry,
    tarball::Tarball,
};
use crate::support::{command, process::workspace_of};
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};
use tar::EntryType;
use tempfile::TempDir;

/// A small image with a shell, in a registry; and a state directory that may pull it from there.
pub struct Bench {
    pub home: TempDir,
    pub image: String,
    made: Made,
    registry: Registry,
}

impl Bench {
    pub fn new() -> Self {
        let busybox = fs::read("/bin/busybox").expect("busybox-static; run `make setup`, it installs it");
        let layers = [
            Tarball::new().directory("bin/").entry("bin/sh", EntryType::Regular, 0o755, &busybox, |_| {}),
            Tarball::new().directory("srv/").file("srv/second", b"of two layers"),
        ];
        let (layout, made) = Layout::of(&layers.map(Tarball::bytes), Packing::Zstd);
        let registry = Registry::start();
        registry.push(&layout, "latest", "shell:1");
        let home = tempfile::tempdir().unwrap();
        let config = home.path().join("config/pyro");
        fs::create_dir_all(&config).unwrap();
        let insecure = format!("[registry]\ninsecure = [\"{}\"]\n", registry.address());
        fs::write(config.join("config.toml"), insecure).unwrap();
        Self { home, image: format!("{}/shell:1", registry.address()), made, registry }
    }

    pub fn pyro(&self, words: &[&str]) -> Command {
        let mut command = command(self.home.path());
        command.args(words);
        command
    }

    fn run(&self, flags: &[&str], script: &str) -> Command {
        let words = [&["run", "--allow-host-compat", &self.image], flags, &["--", "/bin/sh", "-c", script]];
        self.pyro(&words.concat())
    }

    fn inspect(&self) -> serde_json::Value {
        let output = self.pyro(&["--json", "env", "inspect", &self.image]).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

#[test]
fn every_run_works_while_everything_unused_is_removed_all_the_time() {
    let bench = Bench::new();
    let over = AtomicBool::new(false);
    let (pruned, ran) = std::thread::scope(|scope| {
        let pruner = scope.spawn(|| {
            let mut removed = 0;
            while !over.load(Ordering::Relaxed) {
                let output = bench.pyro(&["env", "prune", "--all", "--json"]).output().unwrap();
                assert!(output.status.success(), "{output:?}");
                let pruned: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
                let items = pruned["items"].as_array().unwrap();
                removed += items.iter().filter(|item| item["kind"] == "image").count();
            }
            removed
        });
        let runner = |name: char| {
            let bench = &bench;
            scope.spawn(move || -> Vec<String> {
                let runs = (0..12).map(|_| {
                    bench.run(&[], &format!("read x < /srv/second; echo {name} $x")).output().unwrap()
                });
                let wrong = runs.filter(|ran| {
                    !ran.status.success() || ran.stdout != format!("{name} of two layers\n").into_bytes()
                });
                wrong.map(|ran| String::from_utf8_lossy(&ran.stderr).into_owned()).collect()
            })
        };
        let runners = ['a', 'b'].map(runner);
        let ran: Vec<String> = runners.into_iter().flat_map(|it| it.join().unwrap()).collect();
        over.store(true, Ordering::Relaxed);
        (pruner.join().unwrap(), ran)
    });
    assert_eq!(ran, [""; 0], "these runs failed");
    assert!(pruned > 0, "the image was never removed: the test has shown nothing");
}

#[test]
fn prune_says_that_it_waits() {
    let bench = Bench::new();
    fs::write(bench.home.path().join("gc.lock"), "").unwrap();
    let lock = fs::File::open(bench.home.path().join("gc.lock")).unwrap();
    lock.lock_shared().unwrap();
    let mut prune =
        bench.pyro(&["env", "prune"]).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(prune.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "waiting for other pyro commands that use the store\n");
    assert!(prune.try_wait().unwrap().is_none(), "it does not wait");
    lock.unlock().unwrap();
    assert!(prune.wait().unwrap().success());
}

#[test]
fn inspect_tells_who_uses_an_image() {
    let bench = Bench::new();
    let mut child =
        bench.run(&["-i"], "echo up; read x").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "up\n");
    let id = workspace_of(child.id()).file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(bench.inspect()["workspaces"][0]["id"], id.as_str());
    let text = bench.pyro(&["env", "inspect", &bench.image]).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("workspaces:\n") && text.contains(&id), "{text}");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().code().is_some());
    assert_eq!(bench.inspect()["workspaces"], serde_json::json!([]));
    // A record that nobody can read may be of a workspace that uses it.
    let odd = bench.home.path().join("workspaces/ws_0123456789ab");
    fs::create_dir(&odd).unwrap();
    fs::write(odd.join("workspace.json"), "{").unwrap();
    assert_eq!(bench.inspect()["workspaces"], serde_json::Value::Null);
}

#[test]
fn what_a_failed_pull_left_is_kept_for_the_next_and_freed_by_prune() {
    let bench = Bench::new();
    let proxy = Proxy::before(bench.registry.address());
    let config = format!("[registry]\ninsecure = [\"{}\"]\nretries = 0\nconcurrency = 1\n", proxy.address());
    fs::write(bench.home.path().join("config/pyro/config.toml"), config).unwrap();
    let image = format!("{}/shell:1", proxy.address());
    let blobs = bench.home.path().join("store/blobs/sha256");
    let count = || fs::read_dir(&blobs).unwrap().count();

    proxy.fail(&bench.made.blobs[1].0.to_string(), usize::MAX, Fault::status(404));
    assert_eq!(bench.pyro(&["env", "pull", &image]).output().unwrap().status.code(), Some(1));
    assert_eq!(count(), 1, "the layer that came whole is kept");
    let pruned = bench.pyro(&["env", "prune", "--json"]).output().unwrap();
    let pruned: serde_json::Value = serde_json::from_slice(&pruned.stdout).unwrap();
    assert!(pruned["freed_bytes"].as_u64().unwrap() > 1 << 20, "{pruned}");
    assert_eq!(count(), 0, "nothing refers to it");
    proxy.mend();
    assert!(bench.pyro(&["env", "pull", &image]).output().unwrap().status.success());
}

#[test]
fn clones_go_when_nobody_has_used_them_for_a_month() {
    let home = tempfile::tempdir().unwrap();
    let repos = home.path().join("cache/repos");
    for (name, days) in [("old", 31), ("young", 1)] {
        let tree = repos.join(name).join("tree");
        fs::create_dir_all(&tree).unwrap();
        fs::write(tree.join("file"), [b'x'; 100_000]).unwrap();
        let lock = fs::File::create(repos.join(name).join("update.lock")).unwrap();
        lock.set_modified(SystemTime::now() - Duration::from_secs(days * 86_400)).unwrap();
    }
    let prune = |flags: &[&str]| {
        let output = command(home.path()).args(["--json", "env", "prune"]).args(flags).output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let names = report["items"].as_array().unwrap().iter().map(|item| {
            assert_eq!(item["kind"], "cache");
            item["name"].as_str().unwrap().to_owned()
        });
        assert!(report["freed_bytes"].as_u64().unwrap() >= 100_000);
        names.collect::<Vec<_>>()
    };
    assert_eq!(prune(&["--dry-run"]), ["old"]);
    assert!(repos.join("old").exists());
    assert_eq!(prune(&[]), ["old"]);
    assert!(!repos.join("old").exists() && repos.join("young/tree/file").exists());
    assert_eq!(prune(&["--all"]), ["young"]);
    assert_eq!(fs::read_dir(&repos).unwrap().count(), 0);
}
