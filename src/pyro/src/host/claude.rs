//! Claude Code. `~/.claude.json` is its own live state, which it rewrites all the time: there the entry goes in and
//! out through `claude mcp`. `.mcp.json` of a project is a plain file.

use super::edit::Document;
use super::json::{self, Dialect};
use super::launch::Launch;
use super::places::Places;
use super::{Entry, Found, HostError, NAME, Scope};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One comment in it, and Claude Code refuses the whole file.
const FORM: Dialect = Dialect { comments: false, servers: "mcpServers" };

/// The file in which the entry of a scope belongs.
pub fn file(places: &Places, scope: Scope) -> PathBuf {
    match scope {
        Scope::Project => places.project().join(".mcp.json"),
        _ => places.claude.as_ref().unwrap_or(&places.home).join(".claude.json"),
    }
}

fn settings(places: &Places) -> PathBuf {
    places.claude.clone().unwrap_or_else(|| places.home.join(".claude")).join("settings.json")
}

/// Every entry, the one that wins first: this project's own, the project's if approved, the user's.
///
/// # Errors
/// When a file cannot be read.
pub fn find(places: &Places) -> Result<Vec<Found>, HostError> {
    let mut found = Vec::new();
    let path = file(places, Scope::User);
    let document = Document::read(&path)?;
    let state = match FORM.parse(&path, document.text()) {
        Ok(state) => state,
        Err(error) => {
            let entry = Entry::Unparsable(error.to_string());
            found.push(Found { scope: Scope::User, file: path.clone(), entry });
            Value::Null
        }
    };
    // A project that is nowhere in the state is an unknown one, of which nothing is allowed or forbidden.
    let known = places.upwards().find_map(|directory| state["projects"].get(directory.to_str()?));
    let own = &Document::read(&settings(places))?;
    let own = FORM.parse(own.path(), own.text()).unwrap_or_default();
    if let Some(entry) = known.and_then(|project| project["mcpServers"].get(NAME)) {
        found.push(Found { scope: Scope::Local, file: path.clone(), entry: read(entry) });
    }
    for directory in places.upwards() {
        let path = directory.join(".mcp.json");
        let document = Document::read(&path)?;
        let entry = match FORM.parse(&path, document.text()) {
            Ok(value) => value["mcpServers"].get(NAME).map(read),
            Err(error) => Some(Entry::Unparsable(error.to_string())),
        };
        if let Some(mut entry) = entry {
            if let Entry::Starts(starts) = &mut entry {
                let judges = judges(places, known, &own)?;
                let lists = |key: &str| judges.iter().any(|judge| lists(&judge[key]));
                let all = judges.iter().any(|judge| judge["enableAllProjectMcpServers"] == true);
                starts.enabled = !lists("disabledMcpjsonServers");
                starts.approved = all || lists("enabledMcpjsonServers");
            }
            found.push(Found { scope: Scope::Project, file: path, entry });
            break;
        }
    }
    if let Some(entry) = state["mcpServers"].get(NAME) {
        found.push(Found { scope: Scope::User, file: path, entry: read(entry) });
    }
    for (plugin, on) in own["enabledPlugins"].as_object().into_iter().flatten() {
        if plugin.split('@').next() == Some(NAME) && on == true {
            let entry = Entry::Plugin(plugin.clone());
            found.push(Found { scope: Scope::Plugin, file: settings(places), entry });
        }
    }
    // The user switched it off for this project, wherever it comes from.
    let off = known.is_some_and(|known| lists(&known["disabledMcpServers"]));
    for found in &mut found {
        if let Entry::Starts(starts) = &mut found.entry {
            starts.enabled &= !off;
        }
    }
    Ok(found)
}

/// The settings that may approve what a project brings along: the user's, what the user said of this project, and,
/// once the project is trusted, its own.
fn judges(places: &Places, known: Option<&Value>, own: &Value) -> Result<Vec<Value>, HostError> {
    let mut judges = vec![own.clone()];
    if let Some(known) = known {
        judges.push(known.clone());
        if known["hasTrustDialogAccepted"] == true {
            for name in ["settings.json", "settings.local.json"] {
                let document = Document::read(&places.project().join(".claude").join(name))?;
                judges.push(FORM.parse(document.path(), document.text()).unwrap_or_default());
            }
        }
    }
    Ok(judges)
}

fn lists(names: &Value) -> bool {
    names.as_array().is_some_and(|names| names.iter().any(|name| name == NAME))
}

fn read(entry: &Value) -> Entry {
    let command = entry["command"].as_str().map(|command| vec![command.to_owned()]);
    let args = entry.get("args").map_or(Some(Vec::new()), json::texts);
    let words = command.zip(args).map(|(command, args)| [command, args].concat());
    json::entry(entry, words, &entry["env"])
}

fn fields(launch: &Launch) -> [(&'static str, Value); 3] {
    [
        ("type", "stdio".into()),
        ("command", launch.command.clone().into()),
        ("args", launch.args.clone().into()),
    ]
}

/// `.mcp.json` with the entry.
///
/// # Errors
/// When it is not what such a file may be.
pub fn set(path: &Path, text: &str, launch: &Launch) -> Result<String, HostError> {
    FORM.set(path, text, NAME, &fields(launch))
}

/// `.mcp.json` without the entry.
///
/// # Errors
/// The same.
pub fn unset(path: &Path, text: &str) -> Result<String, HostError> {
    FORM.unset(path, text, NAME)
}

/// The entry of the user's scope, whole, with what else the user put into it.
///
/// # Errors
/// When the state makes no sense.
pub fn users(document: &Document) -> Result<Option<Value>, HostError> {
    let state = FORM.parse(document.path(), document.text())?;
    Ok(state["mcpServers"].get(NAME).cloned())
}

/// The entry as it should be: `old` with our fields in it.
pub fn merged(old: Option<&Value>, launch: &Launch) -> Value {
    let mut entry = old.filter(|old| old.is_object()).cloned().unwrap_or_else(|| json!({}));
    for (field, value) in fields(launch) {
        entry[field] = value;
    }
    entry
}

/// The words that put an entry into the user's scope.
pub fn add_words(entry: &Value) -> Vec<String> {
    let words = ["mcp", "add-json", "-s", "user", NAME, &entry.to_string()];
    words.map(str::to_owned).to_vec()
}

/// Puts an entry into the user's scope, in place of `old`.
///
/// # Errors
/// [`HostError::Program`]; then the old entry is there again, if Claude Code takes it.
pub fn add(program: &Path, old: Option<&Value>, entry: &Value) -> Result<(), HostError> {
    if old.is_some() {
        remove(program)?;
    }
    let added = run(program, &add_words(entry));
    if let (Err(_), Some(old)) = (&added, old) {
        run(program, &add_words(old))?;
    }
    added
}

/// Takes the entry out of the user's scope.
///
/// # Errors
/// [`HostError::Program`].
pub fn remove(program: &Path) -> Result<(), HostError> {
    run(program, &remove_words())
}

/// The words that take the entry out of the user's scope.
pub fn remove_words() -> Vec<String> {
    ["mcp", "remove", NAME, "-s", "user"].map(str::to_owned).to_vec()
}

fn run(program: &Path, words: &[String]) -> Result<(), HostError> {
    let failed = |said: String| {
        // The entry itself may hold what is nobody's business.
        let verb: Vec<&str> = words.iter().take(2).map(String::as_str).collect();
        HostError::Program { command: format!("claude {}", verb.join(" ")), said }
    };
    let output = Command::new(program).args(words).stdin(Stdio::null()).output();
    let output = output.map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [&output.stderr[..], &output.stdout[..]].concat();
    Err(failed(String::from_utf8_lossy(&said).trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    struct Bench {
        directory: tempfile::TempDir,
        places: Places,
    }

    impl Bench {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let at = |name: &str| directory.path().join(name);
            for name in ["home/.claude", "project/.git", "project/.claude", "project/inner"] {
                fs::create_dir_all(at(name)).unwrap();
            }
            let places = Places::under(directory.path());
            Self { directory, places }
        }

        fn write(&self, name: &str, value: &Value) {
            fs::write(self.directory.path().join(name), value.to_string()).unwrap();
        }

        /// The state, with `more` about the project.
        fn state(&self, more: Value) {
            let project = self.directory.path().join("project").display().to_string();
            self.write(
                "home/.claude.json",
                &json!({ "mcpServers": { "pyro": entry() }, "projects": { project: more } }),
            );
        }

        /// Scopes, and whether they are enabled and approved.
        fn seen(&self) -> Vec<(Scope, Option<(bool, bool)>)> {
            let found = find(&self.places).unwrap().into_iter();
            found
                .map(|found| match found.entry {
                    Entry::Starts(starts) => (found.scope, Some((starts.enabled, starts.approved))),
                    _ => (found.scope, None),
                })
                .collect()
        }
    }

    fn entry() -> Value {
        json!({ "type": "stdio", "command": "/p", "args": ["mcp", "serve"], "timeout": 9 })
    }

    const LIVE: Option<(bool, bool)> = Some((true, true));

    #[test]
    fn this_projects_own_comes_before_the_projects_and_the_users() {
        let bench = Bench::new();
        bench.state(json!({ "mcpServers": { "pyro": entry() }, "enabledMcpjsonServers": ["pyro"] }));
        bench.write("project/.mcp.json", &json!({ "mcpServers": { "pyro": entry() } }));
        assert_eq!(bench.seen(), [(Scope::Local, LIVE), (Scope::Project, LIVE), (Scope::User, LIVE)]);
    }

    #[test]
    fn what_comes_with_a_checkout_waits_for_the_user() {
        let bench = Bench::new();
        bench.write("project/.mcp.json", &json!({ "mcpServers": { "pyro": entry() } }));
        let waits = [(Scope::Project, Some((true, false)))];
        assert_eq!(bench.seen(), waits);
        // A checkout cannot approve itself,
        bench.write("project/.claude/settings.json", &json!({ "enableAllProjectMcpServers": true }));
        assert_eq!(bench.seen(), waits);
        // but once it is trusted it can,
        bench.state(json!({ "hasTrustDialogAccepted": true }));
        assert_eq!(bench.seen()[0], (Scope::Project, LIVE));
        // and the user always.
        bench.state(json!({}));
        assert_eq!(bench.seen()[0], waits[0]);
        bench.write("home/.claude/settings.json", &json!({ "enabledMcpjsonServers": ["pyro"] }));
        assert_eq!(bench.seen()[0], (Scope::Project, LIVE));
        bench.state(json!({ "disabledMcpjsonServers": ["pyro"] }));
        assert_eq!(bench.seen()[0], (Scope::Project, Some((false, true))));
    }

    #[test]
    fn a_server_can_be_switched_off_for_a_project() {
        let bench = Bench::new();
        bench.state(json!({ "disabledMcpServers": ["pyro"] }));
        assert_eq!(bench.seen(), [(Scope::User, Some((false, true)))]);
    }

    #[test]
    fn plugins_and_broken_files_are_seen() {
        let bench = Bench::new();
        bench.write(
            "home/.claude/settings.json",
            &json!({ "enabledPlugins": { "pyro@m": true, "x@m": true } }),
        );
        fs::write(bench.directory.path().join("project/.mcp.json"), "{} // no comments here").unwrap();
        assert_eq!(bench.seen(), [(Scope::Project, None), (Scope::Plugin, None)]);
    }

    #[test]
    fn what_the_user_put_into_an_entry_stays() {
        let launch = Launch { command: "/new".into(), args: vec!["mcp".into(), "serve".into()] };
        let merged = merged(Some(&entry()), &launch);
        assert_eq!((&merged["command"], &merged["timeout"]), (&json!("/new"), &json!(9)));
    }
}
