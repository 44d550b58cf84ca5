//! OpenCode: JSON with comments, in several files that it merges, the later over the earlier.

use super::edit::{Document, EditError};
use super::json::{self, Dialect};
use super::launch::Launch;
use super::places::Places;
use super::{Entry, Found, HostError, NAME, Scope};
use serde_json::Value;
use std::path::{Path, PathBuf};

const FORM: Dialect = Dialect { comments: true, servers: "mcp" };
/// Names of its file, the later over the earlier.
const FILES: [&str; 2] = ["opencode.json", "opencode.jsonc"];
/// The name that it had once, which is still read in the user's directory.
const OLD_FILE: &str = "config.json";

/// The user's file: one that has the entry, else one that is there, else the name that OpenCode itself would choose.
pub fn file(places: &Places) -> PathBuf {
    let paths = FILES.map(|name| places.opencode.join(name));
    let holds = |path: &&PathBuf| {
        matches!(said(path), Ok(Some(_)) | Err(HostError::Edit(EditError::Unparsable { .. })))
    };
    let [_, new] = &paths;
    let chosen = paths.iter().rev().find(holds).or_else(|| paths.iter().rev().find(|path| path.exists()));
    chosen.unwrap_or(new).clone()
}

/// Every entry, the one that wins first.
///
/// # Errors
/// When a file cannot be read.
pub fn find(places: &Places) -> Result<Vec<Found>, HostError> {
    // As OpenCode 1.18 was seen to merge them: of the directories `.opencode` the home's wins, then the outer one; of
    // the files the inner one.
    let mut directories = vec![(Scope::User, places.home.join(".opencode"))];
    let dotted = places.upwards().map(|directory| (Scope::Project, directory.join(".opencode")));
    directories.extend(dotted.collect::<Vec<_>>().into_iter().rev());
    directories.extend(places.upwards().map(|directory| (Scope::Project, directory.into())));
    let both = |(scope, directory): (Scope, PathBuf)| {
        FILES.map(|name| (scope, directory.join(name))).into_iter().rev()
    };
    let mut files: Vec<(Scope, PathBuf)> = directories.into_iter().flat_map(both).collect();
    files.extend(places.opencode_file.iter().map(|path| (Scope::Local, path.clone())));
    files.extend(both((Scope::User, places.opencode.clone())));
    files.push((Scope::User, places.opencode.join(OLD_FILE)));
    let mut found = Vec::new();
    // From the weakest on: a file may say no more than what it changes of what those below say.
    let mut merged = Value::Null;
    for (scope, file) in files.into_iter().rev() {
        let entry = match said(&file) {
            Ok(None) => continue,
            Ok(Some(own)) => {
                merge(&mut merged, &own);
                read(&merged, &own)
            }
            Err(HostError::Edit(error @ EditError::Unparsable { .. })) => {
                Entry::Unparsable(error.to_string())
            }
            Err(error) => return Err(error),
        };
        found.push(Found { scope, file, entry });
    }
    found.reverse();
    Ok(found)
}

/// What a file itself says of the server.
fn said(path: &Path) -> Result<Option<Value>, HostError> {
    let document = Document::read(path)?;
    Ok(FORM.parse(path, document.text())?["mcp"].get(NAME).cloned())
}

/// As OpenCode does: objects become one, everything else replaces what was there.
fn merge(lower: &mut Value, upper: &Value) {
    match (lower, upper) {
        (Value::Object(lower), Value::Object(upper)) => {
            for (name, value) in upper {
                merge(lower.entry(name).or_insert(Value::Null), value);
            }
        }
        (lower, upper) => lower.clone_from(upper),
    }
}

/// The entry as it is with what the files below say. What is set in its environment is its `own` alone: what a
/// checkout sets, under the user's own file, says nothing to a program that we start.
fn read(merged: &Value, own: &Value) -> Entry {
    let words = json::texts(&merged["command"]).filter(|_| merged["type"] != "remote");
    let mut read = json::entry(merged, words, &own["environment"]);
    if let Entry::Starts(starts) = &mut read {
        starts.enabled = merged["enabled"] != false;
    }
    read
}

/// The file with the entry.
///
/// # Errors
/// When it is not what such a file may be.
pub fn set(path: &Path, text: &str, launch: &Launch) -> Result<String, HostError> {
    let words: Vec<&str> = launch.words().collect();
    let fields = [("type", "local".into()), ("command", words.into()), ("enabled", true.into())];
    FORM.set(path, text, NAME, &fields)
}

/// The file without the entry.
///
/// # Errors
/// The same.
pub fn unset(path: &Path, text: &str) -> Result<String, HostError> {
    FORM.unset(path, text, NAME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn of_many_files_the_one_that_opencode_takes_comes_first() {
        let bench = tempfile::tempdir().unwrap();
        let at = |name: &str| bench.path().join(name);
        let places = Places { opencode_file: Some(at("custom.json")), ..Places::under(bench.path()) };
        // Its own order, as `opencode debug config` showed it.
        let order = [
            "home/.opencode/opencode.json",
            "project/.opencode/opencode.json",
            "project/inner/.opencode/opencode.json",
            "project/inner/opencode.jsonc",
            "project/inner/opencode.json",
            "project/opencode.json",
            "custom.json",
            "home/.config/opencode/opencode.jsonc",
            "home/.config/opencode/opencode.json",
            "home/.config/opencode/config.json",
        ];
        fs::create_dir_all(at("project/.git")).unwrap();
        for name in order {
            fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            fs::write(at(name), r#"{"mcp": {"pyro": {"command": ["/p"]}}}"#).unwrap();
        }
        // Outside of the project nothing is looked for.
        fs::write(at("opencode.json"), r#"{"mcp": {"pyro": {"command": ["/p"]}}}"#).unwrap();
        let found: Vec<PathBuf> = find(&places).unwrap().into_iter().map(|found| found.file).collect();
        assert_eq!(found, order.map(at));
    }

    /// What is found of a user's file and a project's, the project's first.
    fn both(users: &str, projects: &str) -> [Entry; 2] {
        let bench = tempfile::tempdir().unwrap();
        let places = Places::under(bench.path());
        for directory in ["project/.git", "home/.config/opencode"] {
            fs::create_dir_all(bench.path().join(directory)).unwrap();
        }
        fs::write(places.opencode.join("opencode.json"), users).unwrap();
        fs::write(bench.path().join("project/opencode.json"), projects).unwrap();
        let found: Vec<Entry> = find(&places).unwrap().into_iter().map(|found| found.entry).collect();
        found.try_into().unwrap()
    }

    const USERS: &str =
        r#"{"mcp": {"pyro": {"type": "local", "command": ["/p", "x"], "environment": {"A": "1"}}}}"#;

    #[test]
    fn a_file_may_only_amend_what_another_says() {
        let starts = |entry: &Entry| match entry {
            Entry::Starts(it) => (it.launch.to_string(), it.enabled, it.env.len()),
            other => panic!("{other:?}"),
        };
        let [project, user] = both(USERS, r#"{"mcp": {"pyro": {"timeout": 9000}}}"#);
        assert_eq!((starts(&project), starts(&user)), (("/p x".into(), true, 0), ("/p x".into(), true, 1)));
        let [project, user] = both(USERS, r#"{"mcp": {"pyro": {"enabled": false}}}"#);
        assert_eq!((starts(&project).1, starts(&user).1), (false, true));
        let [project, _] =
            both(USERS, r#"{"mcp": {"pyro": {"command": ["/q"], "environment": {"B": "2"}}}}"#);
        assert_eq!(starts(&project), ("/q".into(), true, 1));
        // Nothing is set in the user's by what a checkout says.
        let [project, user] = both(r#"{"mcp": {"pyro": {"enabled": true}}}"#, USERS);
        assert_eq!((starts(&project).2, user), (1, Entry::Foreign("an entry without a command".into())));
        let [project, _] =
            both(USERS, r#"{"mcp": {"pyro": {"type": "remote", "url": "https://example.org"}}}"#);
        assert_eq!(project, Entry::Foreign("https://example.org".into()));
    }

    #[test]
    fn the_file_is_the_one_that_holds_the_entry_or_is_there() {
        let bench = tempfile::tempdir().unwrap();
        let places = Places::under(bench.path());
        fs::create_dir_all(&places.opencode).unwrap();
        let [json, jsonc] = FILES.map(|name| places.opencode.join(name));
        assert_eq!(file(&places), jsonc);
        fs::write(&json, "{}").unwrap();
        assert_eq!(file(&places), json);
        fs::write(&jsonc, "{}").unwrap();
        assert_eq!(file(&places), jsonc);
        fs::write(&json, r#"{"mcp": {"pyro": {}}}"#).unwrap();
        assert_eq!(file(&places), json);
    }
}
