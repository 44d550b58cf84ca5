//! Seeding in a process of its own: as another user, or watched.

use pyro_workspace::{Cancel, Home, Owner, Seed};
use rustix::process::geteuid;
use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::support::{never, run};

const HOME: &str = "PYRO_SEED_CHILD_HOME";
const SOURCE: &str = "PYRO_SEED_CHILD_SOURCE";

/// A user without rights.
const NOBODY: &str = "65534";

/// The command that seeds; `before` runs it.
pub fn command(before: &[&str], home: &Path, source: &Path) -> Command {
    let own = env::current_exe().unwrap();
    let words =
        [before, &[own.to_str().unwrap(), "--exact", "child::seeds", "--ignored", "--nocapture"]].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env(HOME, home).env(SOURCE, source);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    command
}

/// What the child tells.
pub fn told(command: &mut Command) -> String {
    told_and_took(command).0
}

/// What it tells, and how much memory it took at most.
pub fn told_and_took(command: &mut Command) -> (String, u64) {
    let output = run(command);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line =
        |start| text.lines().find_map(|line| line.split_once(start)).unwrap_or_else(|| panic!("{text}")).1;
    let kibibytes: u64 = line("VmHWM:").trim().trim_end_matches(" kB").parse().unwrap();
    (line("told: ").to_owned(), kibibytes << 10)
}

/// Seeds as one who may not read everything, and owns the checkout. A plain user is one already.
pub fn seed_as_nobody(source: &Path) -> String {
    if geteuid().is_root() {
        run(Command::new("chown").arg("-R").arg(format!("{NOBODY}:{NOBODY}")).arg(source));
    }
    other(source, NOBODY)
}

/// Seeds as one to whom the checkout does not belong: needs root, or a name space that shows it so.
pub fn seed_as_stranger(source: &Path) -> String {
    if geteuid().is_root() {
        run(Command::new("chmod").arg("755").arg(source));
    }
    other(source, NOBODY)
}

fn other(source: &Path, user: &str) -> String {
    let home = tempfile::tempdir().unwrap();
    let own = env::current_exe().unwrap();
    if !geteuid().is_root() {
        return told(&mut command(&["unshare", "--user"], home.path(), source));
    }
    // The program may lie where this user cannot go.
    let copy = tempfile::Builder::new().tempdir().unwrap();
    for directory in [home.path(), copy.path()] {
        run(Command::new("chown").arg(user).arg(directory));
    }
    let program = copy.path().join("program");
    fs::copy(own, &program).unwrap();
    let mut command =
        command(&["setpriv", "--reuid", user, "--regid", user, "--clear-groups"], home.path(), source);
    let words: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    let mut again = Command::new("setpriv");
    again.args(
        words
            .iter()
            .map(|word| if *word == env::current_exe().unwrap() { program.as_os_str() } else { word }),
    );
    again.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir("/");
    again.env("HOME", home.path());
    drop(std::mem::replace(&mut command, again));
    told(&mut command)
}

#[test]
#[ignore = "the other half of tests that start it"]
#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "how the two halves talk")]
fn seeds() {
    let get = |name: &str| env::var(name).expect("started by another test");
    let home = Home::open(Path::new(&get(HOME))).unwrap();
    let cancel = Cancel::new().unwrap();
    let seeded = Seed::of(Path::new(&get(SOURCE)))
        .and_then(|seed| seed.layer(&home, Owner::default(), never(&cancel)));
    let words = match seeded {
        Ok(seeded) => {
            let skipped = seeded.skipped.iter().map(|it| format!("{}: {}", it.path, it.why));
            let skipped = skipped.collect::<Vec<_>>().join(", ");
            format!("{} entries, skipped {skipped}", seeded.facts.entries)
        }
        Err(error) => error.to_string(),
    };
    println!("\ntold: {words}");
    print!("{}", fs::read_to_string("/proc/self/status").unwrap());
}
