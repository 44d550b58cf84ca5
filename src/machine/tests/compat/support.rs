//! A machine of namespaces to talk to: a root made of busybox, the real launcher, the real agent.

use pyro_machine::spec::{AGENT_SOCKET, Namespaces, READY_SOCKET};
use pyro_protocol::{Ended, Exec, Failure, Input, Ready, Reply, Request, Status, frame};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A user that owns nothing on the host.
pub const ORDINARY: u32 = 54_321;

static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Who starts the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Root of the host.
    Root,
    /// A user without privileges: ourselves, or one that root becomes.
    Ordinary,
}

impl Owner {
    /// All that can be tried here. Only root can try both.
    pub fn all() -> Vec<Self> {
        if rustix::process::geteuid().is_root() {
            vec![Self::Root, Self::Ordinary]
        } else {
            eprintln!("NOT TESTED: machines started by root, since this test is not run by root");
            vec![Self::Ordinary]
        }
    }
}

/// Runs `test` in a fresh machine of every kind of owner.
pub fn with_machines(test: impl Fn(&Machine)) {
    for owner in Owner::all() {
        test(&Machine::start(owner));
    }
}

/// A running machine. Dropping it hangs up, and awaits its end.
pub struct Machine {
    pub owner: Owner,
    pub directory: PathBuf,
    pub ready: Ready,
    pub launcher: Child,
}

impl Machine {
    pub fn start(owner: Owner) -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("pyro-compat-{}-{number}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        for part in ["writable", "run"] {
            fs::create_dir(directory.join(part)).unwrap();
        }
        busybox_root(&directory.join("lower"));
        let agent = directory.join("agent");
        let built = std::env::var_os("PYRO_AGENT").expect("PYRO_AGENT is the path of the static agent");
        fs::copy(built, &agent).unwrap();
        let spec = Namespaces {
            agent,
            lower: vec![directory.join("lower")],
            writable: directory.join("writable"),
            mem_mib: 512,
            vcpus: 1,
            run_dir: directory.join("run"),
            console: directory.join("console"),
            hostname: "testbed".to_owned(),
        };
        let listener = UnixListener::bind(directory.join("run").join(READY_SOCKET)).unwrap();
        let root = rustix::process::geteuid().is_root();
        let mut command = if root && owner == Owner::Ordinary {
            let id = ORDINARY.to_string();
            assert!(
                Command::new("chown")
                    .args(["-R", &format!("{id}:{id}")])
                    .arg(&directory)
                    .status()
                    .unwrap()
                    .success()
            );
            let mut command = Command::new("setpriv");
            command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]).arg(launcher());
            command
        } else {
            Command::new(launcher())
        };
        let mut launcher = command.stdin(Stdio::piped()).spawn().unwrap();
        serde_json::to_writer(launcher.stdin.as_mut().unwrap(), &spec).unwrap();
        use std::io::Write;
        launcher.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        listener.set_nonblocking(true).unwrap();
        let stream = loop {
            match listener.accept() {
                Ok((stream, _)) => break stream,
                Err(_) => {
                    if let Some(status) = launcher.try_wait().unwrap() {
                        panic!("the launcher ended with {status}");
                    }
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
            }
        };
        stream.set_nonblocking(false).unwrap();
        let ready: Ready = frame::read(&stream).unwrap_or_else(|error| {
            panic!("the agent did not report: {error}; the launcher: {:?}", launcher.wait())
        });
        assert_eq!(ready.problem, None);
        assert_eq!(ready.build, pyro_protocol::BUILD_ID);
        Self { owner, directory, ready, launcher }
    }

    /// Connects and asks for a command.
    pub fn begin(&self, exec: Exec) -> Session {
        let stream = self.connect();
        frame::write(&stream, &Request::Exec(exec)).unwrap();
        Session { stream }
    }

    /// A connection on which nothing was said yet.
    pub fn connect(&self) -> UnixStream {
        UnixStream::connect(self.directory.join("run").join(AGENT_SOCKET)).unwrap()
    }

    /// Runs a command to its end.
    pub fn run(&self, exec: Exec) -> Outcome {
        self.begin(exec).outcome()
    }

    /// Runs a shell script to its end.
    pub fn sh(&self, script: &str) -> Outcome {
        self.run(sh(script))
    }

    /// What a script prints, which must succeed.
    pub fn text(&self, script: &str) -> String {
        let outcome = self.sh(script);
        assert_eq!((outcome.code(), outcome.error()), (0, String::new()), "{script}");
        outcome.output()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.launcher.stdin.take());
        let _ = self.launcher.wait();
        // Modes that were set inside may keep an owner out of its own directories.
        let _ = Command::new("chmod").args(["-R", "u+rwx"]).arg(&self.directory).status();
        fs::remove_dir_all(&self.directory).unwrap();
    }
}

/// A request to run `script`.
pub fn sh(script: &str) -> Exec {
    exec(&["/bin/sh", "-c", script])
}

/// A request to run a command with an ordinary environment.
pub fn exec(argv: &[&str]) -> Exec {
    Exec {
        argv: argv.iter().map(|argument| argument.as_bytes().to_vec().into()).collect(),
        env: vec![(b"PATH".to_vec().into(), b"/usr/bin:/bin".to_vec().into())],
        ..Exec::default()
    }
}

/// A command under way.
pub struct Session {
    pub stream: UnixStream,
}

impl Session {
    pub fn send(&self, input: &Input) {
        frame::write(&self.stream, input).unwrap();
    }

    pub fn reply(&self) -> Reply {
        frame::read(&self.stream).unwrap()
    }

    /// Reads output until `text` has been seen on standard output.
    pub fn until(&self, text: &str) -> String {
        let mut seen = Vec::new();
        loop {
            if let Reply::Stdout(bytes) = self.reply() {
                seen.extend_from_slice(&bytes);
            }
            let so_far = String::from_utf8_lossy(&seen);
            if so_far.contains(text) {
                return so_far.into_owned();
            }
        }
    }

    pub fn outcome(self) -> Outcome {
        let mut outcome = Outcome { stdout: Vec::new(), stderr: Vec::new(), end: End::Cut };
        loop {
            match frame::read(&self.stream) {
                Ok(Reply::Started { .. }) => {}
                Ok(Reply::Stdout(bytes)) => outcome.stdout.extend_from_slice(&bytes),
                Ok(Reply::Stderr(bytes)) => outcome.stderr.extend_from_slice(&bytes),
                Ok(Reply::Ended(ended)) => outcome.end = End::Ended(ended),
                Ok(Reply::Failed(failure)) => outcome.end = End::Failed(failure),
                Err(_) => return outcome,
            }
        }
    }
}

#[derive(Debug)]
pub enum End {
    Cut,
    Ended(Ended),
    Failed(Failure),
}

/// All that came of a command.
#[derive(Debug)]
pub struct Outcome {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub end: End,
}

impl Outcome {
    pub fn ended(&self) -> Ended {
        match &self.end {
            End::Ended(ended) => *ended,
            other => panic!("not an end: {other:?}"),
        }
    }

    pub fn failure(&self) -> &Failure {
        match &self.end {
            End::Failed(failure) => failure,
            other => panic!("not a failure: {other:?}"),
        }
    }

    pub fn code(&self) -> u8 {
        match self.ended().status {
            Status::Exited(code) => code,
            Status::Signaled(signal) => 128 + signal,
        }
    }

    pub fn output(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }

    pub fn error(&self) -> String {
        String::from_utf8(self.stderr.clone()).unwrap()
    }
}

fn launcher() -> &'static str {
    env!("CARGO_BIN_EXE_pyro-machine")
}

/// A root directory with busybox and a user database.
fn busybox_root(root: &Path) {
    for directory in ["bin", "dev", "etc", "home/ann", "proc", "root", "run", "sys", "tmp", "usr/bin"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
    fs::copy(busybox.expect("busybox is installed (package busybox-static)"), root.join("bin/busybox"))
        .unwrap();
    let list = Command::new(root.join("bin/busybox")).arg("--list").output().unwrap();
    for applet in String::from_utf8(list.stdout).unwrap().lines().filter(|applet| *applet != "busybox") {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n")
        .unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\nann:x:1000:\ncrew:x:2000:ann\n").unwrap();
    fs::write(root.join("etc/hosts"), "").unwrap();
    program(root, "not-a-program", "nonsense\n", 0o755);
    program(root, "no-interpreter", "#!/no/such/interpreter\n", 0o755);
    program(root, "not-executable", "#!/bin/sh\n", 0o644);
}

fn program(root: &Path, name: &str, text: &str, mode: u32) {
    let path = root.join("bin").join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}
