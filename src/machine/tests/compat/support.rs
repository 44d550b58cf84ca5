//! A machine of namespaces to talk to: a root made of busybox, the real launcher, the real agent.

use pyro_machine::launch;
use pyro_machine::spec::{AGENT_SOCKET, Namespaces, Purpose, READY_SOCKET, Spec};
use pyro_protocol::{Ended, Exec, Failure, Input, Ready, Reply, Request, Status, frame};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// A user that owns nothing on the host.
pub const ORDINARY: u32 = 54_321;

/// Held while programs are written or started. A child that another thread forks in between would
/// hold open for writing, until it executes, what is to be executed.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

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
    pub ready: Ready,
    pub launched: launch::Machine,
    pub directory: TempDir,
}

impl Machine {
    pub fn start(owner: Owner) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let spec = lay_out(directory.path());
        Self::from_spec(owner, directory, spec)
    }

    /// Starts a machine that root of the host gave 8 MiB of space.
    pub fn on_small_disk() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let spec = lay_out(directory.path());
        mount("tmpfs", &spec.writable, "tmpfs", MountFlags::empty(), c"size=8m").unwrap();
        Self::from_spec(Owner::Root, directory, spec)
    }

    /// Starts a machine whose files are all in `directory`.
    pub fn from_spec(owner: Owner, directory: TempDir, spec: Namespaces) -> Self {
        let listener = UnixListener::bind(spec.run_dir.join(READY_SOCKET)).unwrap();
        let launched = {
            let _alone = alone();
            launch::launch(&program(owner, directory.path()), &Spec::Namespaces(spec), None).unwrap()
        };
        let ready = await_ready(&listener, &launched)
            .unwrap_or_else(|| panic!("a machine of {owner:?} did not start: {}", launched.end()));
        assert_eq!(ready.problem, None);
        assert_eq!(ready.build, pyro_protocol::BUILD_ID);
        Self { owner, ready, launched, directory }
    }

    /// A path in the machine's directory on the host.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Connects and asks for a command.
    pub fn begin(&self, exec: Exec) -> Session {
        let stream = self.connect();
        frame::write(&stream, &Request::Exec(exec)).unwrap();
        Session { stream }
    }

    /// A connection on which nothing was said yet.
    pub fn connect(&self) -> UnixStream {
        UnixStream::connect(self.path("run").join(AGENT_SOCKET)).unwrap()
    }

    /// Runs a command to its end.
    pub fn run(&self, exec: Exec) -> Outcome {
        self.begin(exec).outcome()
    }

    /// Runs a command if the agent takes it.
    pub fn try_run(&self, exec: Exec) -> Option<Outcome> {
        let stream = self.connect();
        frame::write(&stream, &Request::Exec(exec)).ok()?;
        let outcome = Session { stream }.outcome();
        (!matches!(outcome.end, End::Cut)).then_some(outcome)
    }

    /// Runs a shell script to its end.
    pub fn sh(&self, script: &str) -> Outcome {
        self.run(sh(script))
    }

    /// Whether a process has exactly this command line.
    pub fn is_running(&self, command: &str) -> bool {
        self.text("ps -o args").lines().any(|line| line.trim() == command)
    }

    /// Waits for the end of something that nobody reports, and that would go on for long.
    pub fn until_gone(&self, command: &str) {
        for _ in 0..500 {
            if !self.is_running(command) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("'{command}' still runs");
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
        self.launched.kill();
        // There is one if it had a disk of its own.
        let _ = unmount(self.path("writable"), UnmountFlags::DETACH);
        // Overlayfs keeps this one from its owner, who is to delete it now.
        let _ = fs::set_permissions(self.path("writable/work/work"), fs::Permissions::from_mode(0o700));
    }
}

/// What the agent says, unless the launcher ends before it says anything.
fn await_ready(listener: &UnixListener, launched: &launch::Machine) -> Option<Ready> {
    let mut fds = [PollFd::new(listener, PollFlags::IN), PollFd::new(launched, PollFlags::IN)];
    poll(&mut fds, None).unwrap();
    let connected = !fds[0].revents().is_empty();
    connected.then(|| frame::read(listener.accept().unwrap().0).ok()).flatten()
}

/// Makes what a machine of busybox needs, and says where it is.
pub fn lay_out(directory: &Path) -> Namespaces {
    let _alone = alone();
    for part in ["writable", "run"] {
        fs::create_dir(directory.join(part)).unwrap();
    }
    busybox_root(&directory.join("lower"));
    let agent = std::env::var_os("PYRO_AGENT").expect("PYRO_AGENT is the path of the static agent");
    fs::copy(agent, directory.join("agent")).unwrap();
    Namespaces {
        agent: directory.join("agent"),
        lower: vec![directory.join("lower")],
        writable: directory.join("writable"),
        mem_mib: 512,
        vcpus: 1,
        run_dir: directory.join("run"),
        console: directory.join("console"),
        hostname: "testbed".to_owned(),
        purpose: Purpose::Work,
    }
}

/// The launcher as `owner` starts it, to whom everything in `directory` is given.
pub fn program(owner: Owner, directory: &Path) -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_pyro-machine"));
    if owner == Owner::Root || !rustix::process::geteuid().is_root() {
        return program.to_owned();
    }
    // The ordinary user may not be able to look into the directory of the build.
    let copy = directory.join("pyro-machine");
    fs::copy(program, &copy).unwrap();
    let id = ORDINARY.to_string();
    let script = directory.join("as-ordinary-user");
    let line =
        format!("#!/bin/sh\nexec setpriv --reuid {id} --regid {id} --clear-groups {}\n", copy.display());
    fs::write(&script, line).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let given = Command::new("chown").args(["-hR", &format!("{id}:{id}")]).arg(directory).status();
    assert!(given.unwrap().success());
    script
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
                Ok(other) => panic!("no answer to a command: {other:?}"),
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
    file(root, "not-a-program", "nonsense\n", 0o755);
    file(root, "no-interpreter", "#!/no/such/interpreter\n", 0o755);
    file(root, "not-executable", "#!/bin/sh\n", 0o644);
}

fn file(root: &Path, name: &str, text: &str, mode: u32) {
    let path = root.join("bin").join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}
