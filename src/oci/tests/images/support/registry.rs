//! Debian's `docker-registry` on loopback, filled by skopeo.

use super::{layout::Layout, skopeo};
use std::{
    fs,
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};
use tempfile::TempDir;

/// The only account of a registry with accounts, and its line in an htpasswd file.
pub const USER: &str = "tester";
pub const PASSWORD: &str = "correct horse";
const HTPASSWD: &str = "tester:$2y$04$EDiKEI4JtUo5nG.Fuoo25uEfVALiYj8YkFy.ZDvyIWFKuDsfTU//u\n";

/// A running registry. It ends with the value.
pub struct Registry {
    process: Child,
    address: String,
    credentials: Option<String>,
    _directory: TempDir,
}

impl Registry {
    pub fn start() -> Self {
        Self::launch(None)
    }

    /// One that lets nobody in without [`USER`] and [`PASSWORD`].
    pub fn start_private() -> Self {
        Self::launch(Some(format!("{USER}:{PASSWORD}")))
    }

    fn launch(credentials: Option<String>) -> Self {
        let attempts = (0..5).find_map(|_| Self::attempt(credentials.clone()));
        attempts.expect("docker-registry ends by itself, whatever port it is given")
    }

    /// None if another program took the port first.
    fn attempt(credentials: Option<String>) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().display();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut config = format!(
            "version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {at}/data }} }}\n\
             http: {{ addr: \"{address}\" }}\n"
        );
        if credentials.is_some() {
            fs::write(directory.path().join("htpasswd"), HTPASSWD).unwrap();
            config += &format!("auth: {{ htpasswd: {{ realm: tests, path: {at}/htpasswd }} }}\n");
        }
        let file = directory.path().join("config.yml");
        fs::write(&file, config).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        let process =
            command.spawn().unwrap_or_else(|error| panic!("docker-registry ({error}): run `make setup`"));
        let mut registry = Self { process, address, credentials, _directory: directory };
        registry.listens().then_some(registry)
    }

    fn listens(&mut self) -> bool {
        for _ in 0..600 {
            let connected = TcpStream::connect(&self.address).is_ok();
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            if connected {
                return true;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("docker-registry does not listen on {}", self.address);
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Copies what a layout calls `tag`, byte for byte, with all platforms.
    pub fn push(&self, layout: &Layout, tag: &str, name: &str) {
        self.copy(layout, tag, name, &["--all", "--preserve-digests"]);
    }

    /// Copies an image as docker would have pushed it.
    pub fn push_as_docker(&self, layout: &Layout, tag: &str, name: &str) {
        self.copy(layout, tag, name, &["--format", "v2s2"]);
    }

    fn copy(&self, layout: &Layout, tag: &str, name: &str, options: &[&str]) {
        let from = format!("oci:{}:{tag}", layout.path().display());
        let to = format!("docker://{}/{name}", self.address);
        let login = self
            .credentials
            .as_deref()
            .map(|it| ["--dest-creds", it])
            .unwrap_or(["--dest-tls-verify=false", "-q"]);
        skopeo(&[&["copy", "-q", "--dest-tls-verify=false"], &login[..], options, &[&from, &to]].concat());
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}
