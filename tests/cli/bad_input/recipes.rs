//! Recipes of modes: a user's, and a project's, which may be anybody's.

use super::{Bench, Row};
use std::fs;
use std::path::{Path, PathBuf};

/// A recipe without tools.
const HEAD: &str =
    "summary = 'a mode'\ninstructions = 'do it'\n[prompt]\ndescription = 'does it'\ntext = 'do {task}'\n";

fn recipe(tools: &str) -> String {
    format!("{HEAD}{tools}")
}

fn with_recipe(bench: &Bench, place: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = bench.directory.path().join(place);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path
}

/// The mode `name` is refused with words of its file.
#[track_caller]
fn refused(bench: &Bench, what: &str, name: &str, path: &Path, message: &[&str]) {
    let place = path.to_str().unwrap();
    let message = [&[place], message].concat();
    let hint = "mend or remove that file";
    for words in [&["mode", "show", name][..], &["mcp", "serve", "--mode", name]] {
        bench.refuses(&Row { what, words, status: 1, code: "recipe", message: &message, hint });
    }
}

#[test]
fn a_broken_recipe_is_named_with_line_and_field() {
    let bench = Bench::new();
    let user = |what: &str, text: &str, message: &[&str]| {
        let path = with_recipe(&bench, "config/pyro/recipes/m.toml", text);
        refused(&bench, what, "m", &path, message);
    };
    user("no TOML", "{}", &["line 1:"]);
    user("nothing", "", &["line 1, summary: missing field"]);
    user("wrong type", "summary = 1", &["line 1, summary: ", "expected a string"]);
    user("unknown field", &recipe("network = 'on'"), &["line 6, prompt.network: unknown field"]);
    user("no tools", &format!("tools = []\n{HEAD}"), &["line 1, tools: ", "at least one tool"]);
    let exec = |said: &str| recipe(&format!("[[tools]]\nname = 'workspace_exec'\n{said}\n"));
    user(
        "no such tool",
        &exec("").replace("exec", "exce"),
        &["line 7, tools[0].name: ", "\"workspace_exce\""],
    );
    let unknown = ["line 8, tools[0].arguments.time: ", "no such argument", "timeout_seconds"];
    user("no such argument", &exec("arguments.time.maximum = 5"), &unknown);
    let default = exec("arguments.timeout_seconds.default = 'long'");
    user(
        "wrong default",
        &default,
        &["line 8, tools[0].arguments.timeout_seconds.default: ", "not a string"],
    );
    let maximum = exec("arguments.workspace_id.maximum = 5");
    user("wrong maximum", &maximum, &["line 8, tools[0].arguments.workspace_id.maximum: ", "no maximum"]);
    let much = recipe("").replacen("summary", "resources.mem_mib = 5\nsummary", 1);
    user("too little memory", &much, &["line 1, resources.mem_mib: 5 is not in 128.."]);
    let escape = exec("description = \"\\u001b[2J\"");
    user("a terminal's escape", &escape, &["line 8, tools[0].description: ", "U+001B"]);
    let long = exec(&format!("description = '{}'", "x".repeat(601)));
    user("a long text", &long, &["line 8, tools[0].description: 601 characters are more than 600"]);
    let path = with_recipe(&bench, "config/pyro/recipes/m.toml", b"a = '\xff'");
    refused(&bench, "no text", "m", &path, &["UTF-8"]);
}

#[test]
fn a_project_may_not_loosen_a_mode() {
    let bench = Bench::new();
    fs::create_dir(bench.file(".git")).unwrap();
    let project = |what: &str, name: &str, tools: &str, message: &[&str]| {
        let path = with_recipe(&bench, &format!("files/.pyro/recipes/{name}.toml"), recipe(tools));
        refused(&bench, what, name, &path, message);
        fs::remove_file(path).unwrap();
    };
    let write = "[[tools]]\nname = 'workspace_file_write'";
    project(
        "one tool more",
        "inspect",
        write,
        &["line 7, tools[0].name: ", "may not add workspace_file_write"],
    );
    let longer = "[[tools]]\nname = 'workspace_exec'\narguments.timeout_seconds.maximum = 999";
    let most = ["line 8, tools[0].arguments.timeout_seconds.maximum: ", "may not raise a maximum"];
    project("a larger maximum", "inspect", longer, &most);
    let output = "[[tools]]\nname = 'workspace_export'\narguments.output.default = '/home/me/.profile'";
    let place = ["line 8, tools[0].arguments.output.default: ", "a place on the host"];
    project("a place to write to", "own", output, &place);
    let seed = "[[tools]]\nname = 'workspace_create'\narguments.seed_path.default = '/home/me/.ssh'";
    project("a place to read from", "own", seed, &["seed_path.default: ", "a place on the host"]);
}

#[test]
fn a_mode_that_is_not_there_is_said_so() {
    let bench = Bench::new();
    let row = |what, name: &'static str, code, message, hint| Row {
        what,
        words: vec!["mode", "show", name].leak(),
        status: 1,
        code,
        message,
        hint,
    };
    let known = &["there is no mode \"nope\"", "cold-start, inspect, repro-fix, review-eval"];
    bench.refuses(&row("no such mode", "nope", "not_found", known, "pyro mode list"));
    let name = &["is no name for a mode"];
    bench.refuses(&row("a path", "../inspect", "recipe", name, "another name"));
    bench.refuses(&row("a hostile name", "\u{1b}[31m", "recipe", name, "another name"));
}
