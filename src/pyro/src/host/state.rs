//! What is to be said of an entry: whether it is what pyro would write here and now, and if not, how it differs.

use super::launch::{Launch, LaunchError};
use super::places::runs;
use super::{Entry, Found, Scope};
use crate::mcp::args::ServeArgs;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Who would be started: this program, with this state directory.
#[derive(Clone, Debug)]
pub struct Seat {
    /// Absolute path of the program.
    pub program: PathBuf,
    /// Absolute path of the state directory.
    pub home: PathBuf,
}

/// How an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is what pyro would write, and it works.
    Ok,
    /// The user switched it off.
    Disabled,
    /// Its program is not there, cannot be run, or is another pyro.
    StalePath,
    /// Its arguments are not those that pyro would write.
    ArgsDiffer,
    /// The host takes another entry instead, or both.
    Shadowed,
    /// The host does not start it before the user has approved it.
    PendingApproval,
    /// It is as it should be, but what it starts does not answer.
    NotStarting,
    /// The file makes no sense.
    Unparsable,
    /// It is called pyro and is none.
    Foreign,
}

/// An entry, judged.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Whose entry.
    pub scope: Scope,
    /// Where it is.
    pub file: PathBuf,
    /// How it stands.
    pub state: State,
    /// Why, unless it is as it should be.
    pub detail: Option<String>,
    /// What it starts.
    pub has: Option<Launch>,
    /// What it should start, where that is something else.
    pub wants: Option<Launch>,
    /// How to prove that it works, if nothing speaks against it.
    #[serde(skip)]
    pub proof: Option<Proof>,
}

/// What to start, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The command.
    pub launch: Launch,
    /// Where.
    pub directory: PathBuf,
    /// With this in its environment.
    pub env: BTreeMap<String, String>,
}

impl Proof {
    /// An entry of the user's serves every project; one that comes with a checkout, that one. The checkout may be
    /// anybody's: what it sets in the environment says nothing to a program that we start.
    pub fn new(scope: Scope, project: &Path, launch: &Launch, env: &BTreeMap<String, String>) -> Self {
        let (directory, env) = match scope {
            Scope::Project => (project, BTreeMap::new()),
            Scope::User | Scope::Local | Scope::Plugin => (Path::new("/"), env.clone()),
        };
        Self { launch: launch.clone(), directory: directory.into(), env }
    }
}

impl Seat {
    /// The entry for these choices, in the place of `old`.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub fn launch(&self, serve: &ServeArgs, old: Option<&Launch>) -> Result<Launch, LaunchError> {
        // A link to this program is as good, and may outlive the file that it leads to.
        let program = old.map(|old| Path::new(&old.command)).filter(|path| self.is_here(path));
        Launch::new(program.unwrap_or(&self.program), &self.home, serve)
    }

    /// The entry that `old` should be: its choices are the user's and stay.
    ///
    /// # Errors
    /// The same.
    pub fn mended(&self, old: &Launch) -> Result<Launch, LaunchError> {
        self.launch(&old.choices().unwrap_or_default(), Some(old))
    }

    fn is_here(&self, path: &Path) -> bool {
        let real = |path: &Path| fs::canonicalize(path).ok();
        path.is_absolute() && real(path).is_some_and(|path| Some(path) == real(&self.program))
    }

    /// What is wrong with the program of an entry.
    fn misplaced(&self, command: &str) -> Option<String> {
        let path = Path::new(command);
        if !path.is_absolute() {
            return Some(format!("{command} is looked for on the host's PATH, which may be another"));
        }
        if !path.exists() {
            return Some(format!("{command} is not there"));
        }
        if !runs(path) {
            return Some(format!("{command} cannot be run"));
        }
        (!self.is_here(path)).then(|| format!("{command} is not this pyro, {}", self.program.display()))
    }

    /// Judges all entries of a host, of which the first wins.
    ///
    /// # Errors
    /// When what should stand there cannot be written down.
    pub fn judge(&self, found: &[Found]) -> Result<Vec<Finding>, LaunchError> {
        let counts = |found: &&Found| match &found.entry {
            Entry::Starts(starts) => starts.enabled && starts.approved,
            Entry::Foreign(_) => true,
            Entry::Plugin(_) | Entry::Unparsable(_) => false,
        };
        let winner = found.iter().find(counts);
        let plugin = found.iter().find_map(|found| match &found.entry {
            Entry::Plugin(name) => Some(name.as_str()),
            _ => None,
        });
        found.iter().map(|found| self.judge_one(found, winner, plugin)).collect()
    }

    fn judge_one(
        &self,
        found: &Found,
        winner: Option<&Found>,
        plugin: Option<&str>,
    ) -> Result<Finding, LaunchError> {
        let base = Finding {
            scope: found.scope,
            file: found.file.clone(),
            state: State::Ok,
            detail: None,
            has: None,
            wants: None,
            proof: None,
        };
        let say = |state, detail: &str| Finding { state, detail: Some(detail.to_owned()), ..base.clone() };
        let starts = match &found.entry {
            Entry::Starts(starts) => starts,
            Entry::Plugin(name) => {
                return Ok(Finding { detail: Some(format!("the plugin {name}")), ..base });
            }
            Entry::Foreign(what) => return Ok(say(State::Foreign, &format!("not a pyro of ours: {what}"))),
            Entry::Unparsable(why) => return Ok(say(State::Unparsable, why)),
        };
        let has = Some(starts.launch.clone());
        if !starts.launch.is_ours() {
            let what = format!("not a pyro of ours: {}", starts.launch);
            return Ok(Finding { has, ..say(State::Foreign, &what) });
        }
        let wants = self.mended(&starts.launch)?;
        let other = winner.filter(|winner| match &winner.entry {
            _ if *winner == found => false,
            Entry::Starts(first) => first.launch != starts.launch,
            _ => true,
        });
        let verdict = if !starts.enabled {
            Some((State::Disabled, "it is switched off".to_owned()))
        } else if let Some(what) = self.misplaced(&starts.launch.command) {
            Some((State::StalePath, what))
        } else if starts.launch.args != wants.args {
            let what = starts.launch.choices().err();
            Some((State::ArgsDiffer, what.unwrap_or_else(|| "other arguments than pyro would write".into())))
        } else if !starts.approved {
            Some((State::PendingApproval, "the host does not start it before you approve it there".into()))
        } else if let Some(other) = other {
            let what =
                format!("the host takes the {} entry in {} instead", other.scope, other.file.display());
            Some((State::Shadowed, what))
        } else {
            plugin.map(|name| {
                (
                    State::Shadowed,
                    format!("the plugin {name} brings the same tools along; keep one of the two"),
                )
            })
        };
        let project = found.file.parent().unwrap_or(Path::new("/"));
        let proof = || Proof::new(found.scope, project, &starts.launch, &starts.env);
        let proof = verdict.is_none().then(proof);
        let (state, detail) = verdict.map_or((State::Ok, None), |(state, detail)| (state, Some(detail)));
        let wants = Some(wants).filter(|wants| *wants != starts.launch);
        Ok(Finding { state, detail, has, wants, proof, ..base })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Starts;
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    struct Bench {
        directory: tempfile::TempDir,
        seat: Seat,
    }

    impl Bench {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let program = directory.path().join("pyro");
            fs::write(&program, "").unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
            symlink("pyro", directory.path().join("link")).unwrap();
            fs::copy(&program, directory.path().join("another")).unwrap();
            fs::write(directory.path().join("data"), "").unwrap();
            let seat = Seat { program, home: "/state".into() };
            Self { directory, seat }
        }

        fn entry(&self, scope: Scope, program: &str, args: &str) -> Found {
            let command = self.directory.path().join(program).display().to_string();
            let launch = Launch { command, args: args.split(' ').map(str::to_owned).collect() };
            let starts = Starts { launch, env: BTreeMap::new(), enabled: true, approved: true };
            Found { scope, file: "/f".into(), entry: Entry::Starts(starts) }
        }

        fn states(&self, found: &[Found]) -> Vec<State> {
            self.seat.judge(found).unwrap().into_iter().map(|finding| finding.state).collect()
        }

        fn state(&self, program: &str, args: &str) -> State {
            self.states(&[self.entry(Scope::User, program, args)])[0]
        }
    }

    const GOOD: &str = "--home /state mcp serve --mode inspect";

    fn starts(mut found: Found, change: impl FnOnce(&mut Starts)) -> Found {
        if let Entry::Starts(starts) = &mut found.entry {
            change(starts);
        }
        found
    }

    #[test]
    fn an_entry_is_ok_or_it_is_said_why_not() {
        let bench = Bench::new();
        assert_eq!(bench.state("pyro", GOOD), State::Ok);
        assert_eq!(bench.state("link", GOOD), State::Ok);
        assert_eq!(bench.state("gone/pyro", GOOD), State::StalePath);
        assert_eq!(bench.state("data", GOOD), State::StalePath);
        assert_eq!(bench.state("another", GOOD), State::StalePath);
        assert_eq!(bench.state("pyro", "mcp serve --mode inspect"), State::ArgsDiffer);
        assert_eq!(bench.state("pyro", "--home /state mcp serve --fancy"), State::ArgsDiffer);
        assert_eq!(bench.state("another", "-m server"), State::Foreign);
    }

    #[test]
    fn choices_stay_and_the_rest_is_mended() {
        let bench = Bench::new();
        let found = bench.entry(Scope::User, "gone/pyro", "mcp serve --mode inspect --allow-host-compat");
        let wants = bench.seat.judge(&[found]).unwrap().remove(0).wants.unwrap();
        assert_eq!(wants.command, bench.seat.program.to_str().unwrap());
        assert_eq!(wants.args.join(" "), "--home /state mcp serve --mode inspect --allow-host-compat");
    }

    #[test]
    fn of_two_entries_the_first_wins() {
        let bench = Bench::new();
        let first = bench.entry(Scope::Local, "pyro", "--home /state mcp serve --mode inspect");
        let second = bench.entry(Scope::User, "pyro", "--home /state mcp serve");
        assert_eq!(bench.states(&[first.clone(), second.clone()]), [State::Ok, State::Shadowed]);
        // The same twice is no conflict.
        let same = Found { scope: Scope::User, ..first.clone() };
        assert_eq!(bench.states(&[first, same]), [State::Ok, State::Ok]);
        let waiting = starts(bench.entry(Scope::Project, "pyro", GOOD), |it| it.approved = false);
        assert_eq!(bench.states(&[waiting, second]), [State::PendingApproval, State::Ok]);
    }

    #[test]
    fn a_plugin_beside_an_entry_is_one_too_many() {
        let bench = Bench::new();
        let entry = Entry::Plugin("pyro@market".into());
        let plugin = Found { scope: Scope::Plugin, file: "/f".into(), entry };
        assert_eq!(bench.states(std::slice::from_ref(&plugin)), [State::Ok]);
        let both = [bench.entry(Scope::User, "pyro", GOOD), plugin];
        assert_eq!(bench.states(&both), [State::Shadowed, State::Ok]);
    }

    #[test]
    fn what_a_checkout_sets_is_not_set_for_a_proof() {
        let bench = Bench::new();
        let setting = |it: &mut Starts| drop(it.env.insert("LD_PRELOAD".into(), "/theirs.so".into()));
        let proof = |scope| {
            let found = starts(bench.entry(scope, "pyro", GOOD), setting);
            bench.seat.judge(&[found]).unwrap().remove(0).proof.unwrap().env
        };
        assert_eq!((proof(Scope::User).len(), proof(Scope::Project).len()), (1, 0));
    }

    #[test]
    fn a_disabled_entry_is_not_proved() {
        let bench = Bench::new();
        let off = starts(bench.entry(Scope::User, "pyro", GOOD), |it| it.enabled = false);
        let finding = bench.seat.judge(&[off]).unwrap().remove(0);
        assert_eq!((finding.state, finding.proof), (State::Disabled, None));
    }
}
