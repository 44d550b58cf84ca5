//! Codex: TOML. Its own `codex mcp add` drops an entry's other keys and every comment among the servers, so the
//! file is changed here.

use super::edit::Document;
use super::launch::Launch;
use super::places::Places;
use super::{Entry, Found, HostError, NAME, Scope, Starts};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml_edit::{Array, DocumentMut, Item, Table, TableLike, Value, value};

const SERVERS: &str = "mcp_servers";

/// The user's file.
pub fn file(places: &Places) -> PathBuf {
    places.codex.join("config.toml")
}

/// Every entry, the one that wins first.
///
/// # Errors
/// When a file cannot be read.
pub fn find(places: &Places) -> Result<Vec<Found>, HostError> {
    let path = file(places);
    let user = Document::read(&path)?;
    let user = parse(&path, user.text());
    let trusted = user.as_ref().is_ok_and(|user| {
        let of =
            |directory: &Path| user.get("projects")?.get(directory.to_str()?)?.get("trust_level")?.as_str();
        places.upwards().any(|directory| of(directory) == Some("trusted"))
    });
    let mut found = Vec::new();
    for directory in places.upwards() {
        let file = directory.join(".codex/config.toml");
        if file == path {
            continue;
        }
        let document = Document::read(&file)?;
        if let Some(entry) = entry(&parse(&file, document.text()), trusted) {
            found.push(Found { scope: Scope::Project, file, entry });
        }
    }
    if let Some(entry) = entry(&user, true) {
        found.push(Found { scope: Scope::User, file: path.clone(), entry });
    }
    let plugins = user.as_ref().ok().and_then(|user| user.get("plugins")?.as_table_like());
    for (name, plugin) in plugins.into_iter().flat_map(TableLike::iter) {
        let on = plugin.get("enabled").and_then(Item::as_bool).unwrap_or(true);
        if on && name.split('@').next() == Some(NAME) {
            found.push(Found { scope: Scope::Plugin, file: path.clone(), entry: Entry::Plugin(name.into()) });
        }
    }
    Ok(found)
}

fn parse(path: &Path, text: &str) -> Result<DocumentMut, HostError> {
    text.parse().map_err(|error: toml_edit::TomlError| HostError::unparsable(path, first_lines(&error)))
}

/// Where and why, without the picture of the line.
fn first_lines(error: &toml_edit::TomlError) -> String {
    let text = error.to_string();
    let place = text.lines().next().unwrap_or_default();
    format!("{place}: {}", error.message().lines().collect::<Vec<_>>().join(", "))
}

fn entry(document: &Result<DocumentMut, HostError>, approved: bool) -> Option<Entry> {
    let document = match document {
        Ok(document) => document,
        Err(error) => return Some(Entry::Unparsable(error.to_string())),
    };
    let entry = document.get(SERVERS)?.get(NAME)?;
    let strings = |item: &Item| -> Option<Vec<String>> {
        item.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
    };
    let text = |key: &str| entry.get(key).and_then(Item::as_str);
    let args = entry.get("args").map_or(Some(Vec::new()), strings);
    let (Some(command), Some(args)) = (text("command"), args) else {
        return Some(Entry::Foreign(text("url").unwrap_or("an entry without a command").into()));
    };
    let env = entry.get("env").and_then(Item::as_table_like).into_iter().flat_map(TableLike::iter);
    let env: BTreeMap<String, String> =
        env.filter_map(|(name, value)| Some((name.to_owned(), value.as_str()?.to_owned()))).collect();
    let enabled = entry.get("enabled").and_then(Item::as_bool).unwrap_or(true);
    let launch = Launch { command: command.into(), args };
    Some(Entry::Starts(Starts { launch, env, enabled, approved }))
}

/// The file with the entry.
///
/// # Errors
/// When it is not what such a file may be.
pub fn set(path: &Path, text: &str, launch: &Launch) -> Result<String, HostError> {
    let mut document = parse(path, text)?;
    let wrong = |what: &str| HostError::unparsable(path, format_args!("{what} is not a table"));
    let servers = document.entry(SERVERS).or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    });
    let servers = servers.as_table_like_mut().ok_or_else(|| wrong(SERVERS))?;
    if !servers.contains_key(NAME) {
        servers.insert(NAME, Item::Table(Table::new()));
    }
    let entry = servers.get_mut(NAME).and_then(Item::as_table_like_mut);
    let entry = entry.ok_or_else(|| wrong("mcp_servers.pyro"))?;
    put(entry, "command", launch.command.as_str().into());
    let args = Array::from_iter(launch.args.iter().map(String::as_str));
    let same = |old: &Array| {
        old.len() == launch.args.len()
            && old.iter().zip(&launch.args).all(|(old, new)| old.as_str() == Some(new))
    };
    if !entry.get("args").and_then(Item::as_array).is_some_and(same) {
        put(entry, "args", args.into());
    }
    if entry.get("enabled").is_some_and(|it| it.as_bool() != Some(true)) {
        put(entry, "enabled", true.into());
    }
    Ok(document.to_string())
}

/// Sets a key, with the comments around its old value kept.
fn put(entry: &mut dyn TableLike, key: &str, mut new: Value) {
    match entry.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) if old.as_str().is_some() && old.as_str() == new.as_str() => {}
        Some(old) => {
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        None => drop(entry.insert(key, value(new))),
    }
}

/// The file without the entry.
///
/// # Errors
/// The same.
pub fn unset(path: &Path, text: &str) -> Result<String, HostError> {
    let mut document = parse(path, text)?;
    if let Some(servers) = document.get_mut(SERVERS).and_then(Item::as_table_like_mut) {
        servers.remove(NAME);
    }
    Ok(document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(args: &[&str]) -> Launch {
        Launch { command: "/new/pyro".into(), args: args.iter().map(ToString::to_string).collect() }
    }

    /// `after` comes of `before`, stays so, and holds what was set.
    #[track_caller]
    fn check(before: &str, after: &str) {
        let (path, launch) = (Path::new("config.toml"), launch(&["mcp", "serve"]));
        let came = set(path, before, &launch).unwrap();
        assert_eq!(came, after);
        assert_eq!(set(path, &came, &launch).unwrap(), came, "the second time");
        let Some(Entry::Starts(starts)) = entry(&parse(path, &came), true) else { panic!("{came}") };
        assert!(starts.launch == launch && starts.enabled, "{starts:?}");
    }

    #[test]
    fn an_entry_is_added() {
        let table = "[mcp_servers.pyro]\ncommand = \"/new/pyro\"\nargs = [\"mcp\", \"serve\"]\n";
        check("", table);
        check("model = \"x\" # mine\n", &format!("model = \"x\" # mine\n\n{table}"));
        let others = "[mcp_servers.other] # keep\ncommand = \"x\"\n\n[mcp_servers.other.env]\nA = \"b\"\n";
        let behind = "\n# profiles\n[profiles.p]\nmodel = \"y\"\n";
        check(&format!("{others}{behind}"), &format!("{others}\n{table}{behind}"));
    }

    #[test]
    fn only_our_keys_of_an_entry_change() {
        check(
            "# a\n[mcp_servers.pyro] # b\ncommand = \"/old\" # c\n# d\nargs = [\"x\", # e\n] # f\ntool_timeout_sec = 600 # g\nenabled = false # h\n",
            "# a\n[mcp_servers.pyro] # b\ncommand = \"/new/pyro\" # c\n# d\nargs = [\"mcp\", \"serve\"] # f\ntool_timeout_sec = 600 # g\nenabled = true # h\n",
        );
        // What is as it should be is not written anew.
        let fine = "[mcp_servers.pyro]\ncommand = '/new/pyro'\nargs = [\n  'mcp', # why\n  'serve',\n]\n";
        check(fine, fine);
    }

    #[test]
    fn inline_tables_and_dotted_keys_stay_what_they_are() {
        check(
            "mcp_servers = { pyro = { command = \"a\" }, o = { command = \"b\" } } # x\n",
            "mcp_servers = { pyro = { command = \"/new/pyro\" , args = [\"mcp\", \"serve\"] }, o = { command = \"b\" } } # x\n",
        );
        check(
            "mcp_servers.pyro.command = \"a\" # c\nmcp_servers.pyro.startup_timeout_sec = 9\n",
            "mcp_servers.pyro.command = \"/new/pyro\" # c\nmcp_servers.pyro.startup_timeout_sec = 9\nmcp_servers.pyro.args = [\"mcp\", \"serve\"]\n",
        );
    }

    #[test]
    fn what_is_broken_or_something_else_is_refused() {
        for text in ["[mcp_servers\n", "mcp_servers = 3\n", "[mcp_servers]\npyro = 3\n", "a = 1\na = 2\n"] {
            let error = set(Path::new("config.toml"), text, &launch(&[])).unwrap_err();
            assert!(error.to_string().starts_with("config.toml: "), "{error}");
        }
    }

    #[test]
    fn an_entry_goes_and_nothing_else() {
        let gone = |text: &str| unset(Path::new("config.toml"), text).unwrap();
        let text = "# a\n[mcp_servers.o]\ncommand = \"x\" # b\n\n[mcp_servers.pyro]\ncommand = \"p\"\n\n[mcp_servers.pyro.env]\nA = \"b\"\n\n[z] # c\n";
        assert_eq!(gone(text), "# a\n[mcp_servers.o]\ncommand = \"x\" # b\n\n[z] # c\n");
        assert_eq!(gone("[z]\n"), "[z]\n");
        let empty = set(Path::new("config.toml"), "x = 1\n", &launch(&[])).unwrap();
        assert_eq!(gone(&empty), "x = 1\n");
    }

    #[test]
    fn a_projects_entry_counts_once_the_user_trusts_it() {
        let bench = tempfile::tempdir().unwrap();
        let at = |name: &str| bench.path().join(name);
        let places = Places::under(bench.path());
        for name in ["home/.codex", "project/.git", "project/.codex", "project/inner"] {
            std::fs::create_dir_all(at(name)).unwrap();
        }
        let entry = "[mcp_servers.pyro]\ncommand = \"/p\"\n";
        std::fs::write(at("project/.codex/config.toml"), entry).unwrap();
        let seen = |config: &str| -> Vec<(Scope, bool)> {
            std::fs::write(at("home/.codex/config.toml"), config).unwrap();
            let approved = |found: &Found| matches!(&found.entry, Entry::Starts(starts) if starts.approved);
            find(&places).unwrap().iter().map(|found| (found.scope, approved(found))).collect()
        };
        assert_eq!(seen(entry), [(Scope::Project, false), (Scope::User, true)]);
        let trusted = format!("[projects.{:?}]\ntrust_level = \"trusted\"\n", at("project"));
        assert_eq!(seen(&trusted), [(Scope::Project, true)]);
        let plugins = "[plugins.\"pyro@m\"]\n[plugins.\"pyro@n\"]\nenabled = false\n[plugins.\"x@m\"]\n";
        assert_eq!(seen(plugins), [(Scope::Project, false), (Scope::Plugin, false)]);
    }
}
