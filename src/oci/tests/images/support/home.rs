//! State directories, and someone who watches.

use super::proxy::Proxy;
use pyro_oci::{Digest, Event, Image, Progress, PullError, Reference, RegistryConfig, Store, pull};
use std::{
    fs,
    path::Path,
    sync::{Mutex, OnceLock},
    time::Duration,
};
use tempfile::TempDir;
use walkdir::WalkDir;

/// A state directory that goes away.
pub struct Home {
    directory: TempDir,
}

impl Home {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn store(&self) -> Store {
        Store::open(self.path()).unwrap()
    }

    /// Everything that can be seen in the store: names, sizes; but no locks and caches.
    pub fn visible(&self) -> Vec<String> {
        let root = self.path().join("store");
        let files = WalkDir::new(&root).sort_by_file_name().into_iter().map(Result::unwrap);
        let files =
            files.filter(|entry| entry.file_type().is_file() && !entry.path().ends_with("index.lock"));
        let line = |entry: walkdir::DirEntry| {
            let name = entry.path().strip_prefix(&root).unwrap().display().to_string();
            let size = entry.metadata().unwrap().len();
            let text =
                if name == "index.json" { fs::read_to_string(entry.path()).unwrap() } else { String::new() };
            format!("{name} {size} {text}")
        };
        files.map(line).collect()
    }

    /// Files in `ingest/`.
    pub fn partial(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path().join("store/ingest")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    pub fn pull(&self, name: &str, config: &RegistryConfig) -> Result<Image, PullError> {
        self.pull_watched(name, config, &Seen::default())
    }

    pub fn pull_watched(&self, name: &str, config: &RegistryConfig, seen: &Seen) -> Result<Image, PullError> {
        let reference: Reference = name.parse().unwrap();
        pull(&self.store(), &reference, &reference, config, seen)
    }
}

/// How the tests reach a registry or proxy: quickly tried again.
pub fn config(addresses: &[&str]) -> RegistryConfig {
    // What the user who runs the tests has configured is no part of them.
    static NO_LOGINS: OnceLock<TempDir> = OnceLock::new();
    let directory = NO_LOGINS.get_or_init(|| tempfile::tempdir().unwrap());
    let credentials = directory.path().join("config.json");
    if !credentials.exists() {
        fs::write(&credentials, "{}").unwrap();
    }
    RegistryConfig {
        insecure: addresses.iter().map(|&address| address.to_owned()).collect(),
        retry_delay_ms: 10,
        credentials: Some(credentials),
        ..RegistryConfig::default()
    }
}

/// The same for one proxy.
pub fn through(proxy: &Proxy) -> RegistryConfig {
    config(&[proxy.address()])
}

/// What a watcher was told.
#[derive(Default)]
pub struct Seen {
    pub resumed: Mutex<Vec<u64>>,
    pub waits: Mutex<Vec<Duration>>,
    pub stored: Mutex<Vec<Digest>>,
    pub present: Mutex<Vec<Digest>>,
    pub mirrors: Mutex<Vec<String>>,
}

impl Progress for Seen {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Resumed { bytes, .. } => self.resumed.lock().unwrap().push(bytes),
            Event::Retrying { wait, .. } => self.waits.lock().unwrap().push(wait),
            Event::Stored(layer) => self.stored.lock().unwrap().push(layer),
            Event::Present(layer) => self.present.lock().unwrap().push(layer),
            Event::MirrorFailed { mirror, .. } => self.mirrors.lock().unwrap().push(mirror.to_owned()),
            _ => {}
        }
    }
}
