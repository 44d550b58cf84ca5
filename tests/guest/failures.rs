//! What goes wrong with a real guest, and how it is told: what failed, why, and the console's last lines.

use crate::pyro;
use crate::support::machine::{Machine, Size};
use crate::support::{ENVIRONMENT, process};
use pyro_workspace::StartError;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A state directory of its own with everything that the shared one has, to be damaged.
struct Copy {
    directory: tempfile::TempDir,
}

impl Copy {
    fn new() -> Self {
        let shared = pyro();
        // What a microVM needs is in the cache once one has run.
        shared.run(&[], &["true"]).ended(0);
        let home = shared.home();
        let directory = tempfile::tempdir_in(home.path().parent().unwrap()).unwrap();
        // Names of the same files: a damaged one must be another file.
        let copied =
            Command::new("cp").arg("-al").arg(home.path()).arg(directory.path().join("home")).status();
        assert!(copied.unwrap().success());
        Self { directory }
    }

    fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    /// The files in `directory` of the home whose names end so.
    fn files(&self, directory: &str, end: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.home().join(directory)).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.to_str().unwrap().ends_with(end)).collect()
    }

    /// The one of them that there is.
    fn file(&self, directory: &str, end: &str) -> PathBuf {
        let files = self.files(directory, end);
        let [file] = &files[..] else { panic!("{directory} has {files:?} that end in {end}") };
        file.clone()
    }

    fn run(&self) -> Output {
        let mut command = crate::support::command(&self.home());
        command.args(["run", ENVIRONMENT, "--", "true"]).output().unwrap()
    }

    /// Runs and expects that it fails for a reason that has all of `words`.
    #[track_caller]
    fn fails(&self, words: &[&str]) {
        let output = self.run();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{text}");
        for word in words {
            assert!(text.contains(word), "no {word:?} in {text}");
        }
    }
}

/// Puts another file in the place of `path`.
fn replace(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

const CONSOLE: &str = "the last lines of its console:\n";

#[test]
fn an_agent_disk_of_garbage_is_a_guest_without_a_root() {
    let copy = Copy::new();
    replace(&copy.file("cache", ".erofs"), &[0x5a; 1 << 20]);
    copy.fails(&["the guest's kernel panicked", "Unable to mount root", CONSOLE, "pyro doctor"]);
}

#[test]
fn a_damaged_index_is_named() {
    let copy = Copy::new();
    // Other tests may have made images in the shared directory.
    for index in copy.files("cache/base", ".erofs") {
        let length = fs::metadata(&index).unwrap().len();
        replace(&index, &vec![0x5a; usize::try_from(length).unwrap()]);
    }
    copy.fails(&["the workspace's root could not be made", "mount the image (/dev/vdb) as erofs", CONSOLE]);
}

#[test]
fn a_layer_that_is_gone_is_named() {
    let copy = Copy::new();
    let home = pyro_workspace::Home::open(&copy.home()).unwrap();
    let image = home.store().find(&ENVIRONMENT.parse().unwrap()).unwrap().unwrap();
    let layer = image.layers[0].diff_id;
    fs::remove_file(home.store().blob(&layer)).unwrap();
    copy.fails(&[&layer.hex(), "missing"]);
}

#[test]
fn a_writable_disk_that_is_none_is_named() {
    let started = Machine::try_start(&pyro(), &[], Size::default(), |workspace| {
        fs::write(workspace.generation().upper(), vec![0x5a; 4 << 20]).unwrap();
    });
    let Err(error) = started else { panic!("a machine started on garbage") };
    assert!(matches!(error, StartError::Root { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("mount the writable disk (/dev/vdc) as ext4") && text.contains(CONSOLE), "{text}");
}

#[test]
fn the_monitor_that_is_killed_is_told_apart_from_the_guest() {
    let (mut child, monitor) = running("sleep 1000");
    kill(monitor);
    ends(&mut child, &["the machine stopped while the command ran", "killed by signal 9"]);
}

#[test]
fn a_panic_of_the_guest_while_a_command_runs_is_quoted() {
    // The agent, PID 1, cannot be killed from inside, and the kernel spares it when memory is short.
    let (mut child, _) = running("kill -9 1; echo 2 > /proc/sys/vm/panic_on_oom; tail /dev/zero");
    ends(&mut child, &["the machine stopped while the command ran", "the guest's kernel panicked", "memory"]);
}

/// A command that has begun, and the process of its machine.
fn running(script: &str) -> (std::process::Child, u32) {
    let script = format!("echo started; {script}");
    let flags = ["--timeout-seconds", "600", "--mem-mib", "192"];
    let mut command = pyro().run_command(&flags, &["sh", "-c", &script]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "started\n");
    let below = process::descendants(child.id());
    let monitor = below.iter().find(|process| process::descendants(process.pid).is_empty());
    (child, monitor.expect("the machine has a process").pid)
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// Waits for the end of a command whose machine went, for a reason that has all of `words`.
#[track_caller]
fn ends(child: &mut std::process::Child, words: &[&str]) {
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(125), "{text}");
    for word in words {
        assert!(text.contains(word), "no {word:?} in {text}");
    }
}
