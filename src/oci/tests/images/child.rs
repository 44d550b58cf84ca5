//! A pull in a process of its own: to be killed, or to have its own environment.

use super::support::home::Seen;
use pyro_oci::{Reference, RegistryConfig, Store, pull};
use std::{
    env,
    path::Path,
    process::{Command, Stdio},
};

const HOME: &str = "PYRO_OCI_CHILD_HOME";
const NAME: &str = "PYRO_OCI_CHILD_NAME";
const CONFIG: &str = "PYRO_OCI_CHILD_CONFIG";

/// The command that pulls `name`; `before` may be a program that runs it.
pub fn command(before: &[&str], home: &Path, name: &str, config: &RegistryConfig) -> Command {
    let own = env::current_exe().unwrap();
    let mut words: Vec<&str> = before.to_vec();
    words.extend([own.to_str().unwrap(), "--exact", "child::pulls", "--ignored", "--nocapture"]);
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env(HOME, home).env(NAME, name);
    command.env(CONFIG, serde_json::to_string(config).unwrap());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it; gives its error, if it had one.
pub fn outcome(mut command: Command) -> Result<(), String> {
    let output = command.output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    match (output.status.success(), words.split_once("pull failed: ")) {
        (true, _) => Ok(()),
        (false, Some((_, why))) => Err(why.lines().next().unwrap_or_default().to_owned()),
        (false, None) => panic!("the child did not even pull: {words}"),
    }
}

#[test]
#[ignore = "the other half of tests that start it"]
fn pulls() {
    let get = |name: &str| env::var(name).expect("started by another test");
    let store = Store::open(Path::new(&get(HOME))).unwrap();
    let name: Reference = get(NAME).parse().unwrap();
    let config: RegistryConfig = serde_json::from_str(&get(CONFIG)).unwrap();
    if let Err(error) = pull(&store, &name, &name, &config, &Seen::default()) {
        panic!("pull failed: {error}");
    }
}
