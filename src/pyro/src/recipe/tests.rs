//! What a recipe may say, and what a project's may not.

use super::error::Problem;
use super::*;
use serde_json::json;
use std::fs;
use tempfile::TempDir;

/// A part of the server's tools: two that are built, and some that are to come.
fn known(name: &str) -> Option<KnownTool> {
    let schema = match name {
        "workspace_exec" => json!({
            "properties": {
                "workspace_id": {"type": "string"},
                "command": {"type": "string"},
                "cwd": {"type": ["string", "null"]},
                "detach": {"type": "boolean", "default": false},
                "timeout_seconds": {"type": "integer", "minimum": 1, "maximum": 3600, "default": 30},
            },
            "required": ["workspace_id", "command"],
        }),
        "workspace_export" => json!({
            "properties": {
                "host_path": {"type": "string"},
                "format": {"type": "string", "enum": ["files", "tar", "patch"], "default": "files"},
            },
            "required": ["host_path"],
        }),
        "workspace_list" => json!({"properties": {}}),
        "shell_open" | "service_start" => return Some(KnownTool::Planned),
        _ => return None,
    };
    schema.as_object().map(|schema| KnownTool::Built(Arc::new(schema.clone())))
}

/// A recipe with these tools.
fn with(tools: &str) -> String {
    format!(
        "summary = 's'\nenvironment = 'debian:12'\ninstructions = 'i'\n\
         [prompt]\ndescription = 'd'\ntext = 't {{task}}'\n{tools}"
    )
}

/// The lines that stand before the tools.
const HEAD: usize = 6;

/// `text` is refused, at this line and field, with these words.
#[track_caller]
fn refused(text: &str, line: usize, field: &str, why: &str) {
    let error = parse(text, &known).expect_err("it is broken");
    assert!(error.problem.to_string().contains(why), "{error}");
    assert_eq!((error.line, error.field.as_str()), (line, field), "{error}");
}

/// The same for what is said of tools, with lines counted from the first of `tools`.
#[track_caller]
fn tools_refused(tools: &str, line: usize, field: &str, why: &str) {
    refused(&with(tools), HEAD + line, field, why);
}

#[test]
fn a_recipe_says_what_its_file_says() {
    let recipe = parse(
        &with(
            "[resources]\nmem_mib = 256\n[[tools]]\nname = 'workspace_exec'\ndescription = 'run'\n\
             arguments.timeout_seconds = { maximum = 60, default = 10 }\narguments.cwd = { hidden = true }\n\
             [[tools]]\nname = 'shell_open'\narguments.whatever = { hidden = true }\n",
        ),
        &known,
    )
    .unwrap();
    assert_eq!(recipe.environment.as_deref(), Some("debian:12"));
    assert_eq!(recipe.resources, Resources { mem_mib: Some(256), ..Resources::default() });
    let names: Vec<_> = recipe.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["workspace_exec", "shell_open"]);
    let arguments = &recipe.tools[0].arguments;
    assert_eq!((arguments["timeout_seconds"].maximum, arguments["cwd"].hidden), (Some(60), true));
    assert_eq!(recipe.prompt.fill(" fix {task} "), "t fix {task}");
}

#[test]
fn what_is_no_recipe_is_named_with_line_and_field() {
    refused("summary", 1, "", "expected");
    refused("", 1, "summary", "missing field `summary`");
    refused("summary = 's'\nsummary = 't'", 2, "summary", "duplicate");
    refused("summary = 5", 1, "summary", "expected a string");
    refused("summary = 's'\ncolour = 'red'", 2, "colour", "unknown field `colour`");
    refused(&with(""), 1, "tools", "missing field `tools`");
    tools_refused("[resources]\nmem_mib = 5", 2, "resources.mem_mib", "5 is not in 128..=");
    tools_refused("[resources]\nmem_mb = 512", 2, "resources.mem_mb", "unknown field `mem_mb`");
    tools_refused("[[tools]]\ndescription = 'x'", 1, "tools[0].name", "missing field `name`");
    let long_away =
        "[[tools]]\nname = 'workspace_list'\n\n[[tools]]\nname = 'shell_open'\nargument.x.hidden = true";
    tools_refused(long_away, 6, "tools[1].argument", "unknown field `argument`");
    let deep = "[[tools]]\nname = 'shell_open'\n[tools.arguments.x]\nhidden = 'no'";
    tools_refused(deep, 4, "tools[0].arguments.x.hidden", "expected a boolean");
    let unknown = "[[tools]]\nname = 'shell_open'\narguments.x = { hide = true }";
    tools_refused(unknown, 3, "tools[0].arguments.x.hide", "unknown field `hide`");
}

#[test]
fn texts_are_short_and_seen() {
    let tools = "[[tools]]\nname = 'workspace_list'\n";
    let changed = |from: &str, to: &str| with(tools).replace(from, to);
    let long = "x".repeat(601);
    refused(&changed("'i'", &format!("'{long}'")), 3, "instructions", "601 characters are more than 600");
    refused(&changed("'s'", "''"), 1, "summary", "empty");
    refused(&changed("'s'", "\"a\\nb\""), 1, "summary", "one line");
    refused(&changed("'d'", "\"\\u202e\""), 5, "prompt.description", "U+202E");
    refused(&changed("'t {task}'", "\"\\u001b[2J\""), 6, "prompt.text", "U+001B");
    refused(&changed("'debian:12'", "'Not one'"), 2, "environment", "Not one");
    let described = format!("{tools}description = '{long}'");
    tools_refused(&described, 3, "tools[0].description", "601 characters");
}

#[test]
fn tools_are_ones_that_there_are() {
    tools_refused("tools = []", 1, "prompt.tools", "unknown field");
    refused(&format!("tools = []\n{}", with("")), 1, "tools", "at least one");
    tools_refused("[[tools]]\nname = 'workspace_exce'", 2, "tools[0].name", "no tool \"workspace_exce\"");
    let twice = "[[tools]]\nname = 'shell_open'\n[[tools]]\nname = 'shell_open'";
    tools_refused(twice, 4, "tools[1].name", "shell_open is listed twice");
    let many = "[[tools]]\nname = 'shell_open'\n".repeat(65);
    tools_refused(&many, 1, "tools", "65 tools are more than the 64");
}

#[test]
fn arguments_are_narrowed_as_the_tool_has_them() {
    #[track_caller]
    fn argument(name: &str, said: &str, field: &str, why: &str) {
        let tools = format!("[[tools]]\nname = 'workspace_exec'\narguments.{name} = {said}");
        let field = format!("tools[0].arguments.{name}{field}");
        tools_refused(&tools, 3, &field, why);
    }
    argument(
        "timeout",
        "{ maximum = 5 }",
        "",
        "workspace_exec takes no such argument; it takes command, cwd",
    );
    argument("cwd", "{ }", "", "it says nothing");
    argument("cwd", "{ hidden = false }", "", "it says nothing");
    argument("command", "{ hidden = true }", ".hidden", "only be hidden with a default");
    argument("timeout_seconds", "{ default = 'long' }", ".default", "an integer, not a string");
    argument("timeout_seconds", "{ default = 1.5 }", ".default", "an integer, not a number");
    argument("timeout_seconds", "{ default = 2020-01-01 }", ".default", "an integer, not an object");
    argument("timeout_seconds", "{ default = 0 }", ".default", "the tool takes 1 and more");
    argument("timeout_seconds", "{ default = 3601 }", ".default", "the tool takes 3600 at most");
    argument("timeout_seconds", "{ default = 61, maximum = 60 }", ".default", "the maximum is 60");
    argument("timeout_seconds", "{ maximum = 3601 }", ".maximum", "the tool takes 3600 at most");
    argument("timeout_seconds", "{ maximum = 20 }", ".maximum", "without a default it would be 30");
    argument("timeout_seconds", "{ maximum = 'x' }", ".maximum", "expected u64");
    argument("timeout_seconds", "{ one_of = ['1'] }", ".one_of", "an integer, which has no one_of");
    argument("detach", "{ default = 1 }", ".default", "a boolean, not an integer");
    argument("cwd", "{ maximum = 1 }", ".maximum", "a string, which has no maximum");
    argument("cwd", "{ one_of = [] }", ".one_of", "a choice of nothing");
    argument("cwd", "{ one_of = ['/a'], default = '/b' }", ".default", "none of one_of");
    let none = "[[tools]]\nname = 'workspace_list'\narguments.x.hidden = true";
    tools_refused(none, 3, "tools[0].arguments.x", "it takes none");
    let format = |said: &str| format!("[[tools]]\nname = 'workspace_export'\narguments.format = {said}");
    let place = "tools[0].arguments.format";
    let unknown = format("{ one_of = ['patch', 'zip'], default = 'patch' }");
    tools_refused(&unknown, 3, &format!("{place}.one_of"), "takes \"files\", \"tar\", \"patch\"");
    let own = format("{ one_of = ['patch'] }");
    tools_refused(&own, 3, &format!("{place}.one_of"), "it would be \"files\"");
    parse(&with(&format("{ one_of = ['patch'], default = 'patch' }")), &known).unwrap();
}

#[test]
fn who_is_nearer_names_the_environment() {
    let mode = parse(&with(LIST).replace("debian:12", "of/mode"), &known).unwrap();
    let files = Defaults { environment: Some("of/files".into()), ..Defaults::default() };
    assert_eq!(environment(Some("of/call"), Some("of/flag"), &files, Some(&mode)), "of/call");
    assert_eq!(environment(None, Some("of/flag"), &files, Some(&mode)), "of/flag");
    assert_eq!(environment(None, None, &files, Some(&mode)), "of/files");
    assert_eq!(environment(None, None, &Defaults::default(), Some(&mode)), "of/mode");
    assert_eq!(environment(None, None, &Defaults::default(), None), DEFAULT_ENVIRONMENT);
}

/// Directories for a user's and a project's recipes.
struct Bench {
    directory: TempDir,
    places: Places,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| Some(directory.path().join(name));
        let places = Places { user: place("user"), project: place("project") };
        Self { directory, places }
    }

    fn write(&self, place: &str, name: &str, text: impl AsRef<[u8]>) {
        let place = self.directory.path().join(place);
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join(name), text).unwrap();
    }

    fn find(&self, mode: &str) -> Result<Found, LoadError> {
        self.places.find(mode, &known)
    }

    /// A project's recipe with these tools is refused where the user's has `base`.
    #[track_caller]
    fn project_refused(&self, base: &str, tools: &str, field: &str, why: &str) {
        self.write("user", "m.toml", with(base));
        self.write("project", "m.toml", with(tools));
        match self.find("m").expect_err("it loosens") {
            LoadError::Broken { path, source } => {
                assert!(path.ends_with("project/m.toml"));
                assert_eq!(source.field, field, "{source}");
                assert!(matches!(source.problem, Problem::Loosens(_)), "{source}");
                assert!(source.to_string().contains(why), "{source}");
            }
            other => panic!("{other}"),
        }
    }
}

const LIST: &str = "[[tools]]\nname = 'workspace_list'\n";
const EXEC: &str = "[[tools]]\nname = 'workspace_exec'\n";
const EXPORT: &str = "[[tools]]\nname = 'workspace_export'\n";

#[test]
fn a_later_place_replaces_an_earlier_one() {
    let bench = Bench::new();
    bench.write("user", "mine.toml", with(&format!("{LIST}{EXEC}")));
    let found = bench.find("mine").unwrap();
    assert_eq!((found.source.kind(), found.replaces.len()), ("user", 0));
    bench.write("project", "mine.toml", with(LIST).replace("'s'", "'ours'"));
    let found = bench.find("mine").unwrap();
    assert_eq!((found.source.kind(), found.recipe.summary.as_str()), ("project", "ours"));
    let replaced: Vec<_> = found.replaces.iter().map(Source::kind).collect();
    assert_eq!(replaced, ["user"]);
}

#[test]
fn what_is_not_found_is_said_with_what_there_is() {
    let bench = Bench::new();
    bench.write("project", "extra.toml", with(LIST));
    for ignored in ["notes.md", ".hidden.toml", "extra.toml~"] {
        bench.write("project", ignored, "nonsense");
    }
    let error = bench.find("nope").unwrap_err().to_string();
    assert_eq!(
        error,
        "there is no mode \"nope\"; there are cold-start, extra, inspect, repro-fix, review-eval"
    );
    for outside in ["../extra", "/etc/passwd", "", "a b", ".hidden"] {
        assert!(matches!(bench.find(outside), Err(LoadError::Name(_))), "{outside}");
    }
}

#[test]
fn a_broken_file_says_where_it_is_also_when_it_is_replaced() {
    let bench = Bench::new();
    bench.write("user", "m.toml", "summary = 1");
    bench.write("project", "m.toml", with(LIST));
    let error = bench.find("m").unwrap_err().to_string();
    assert!(error.contains("user/m.toml, line 1, summary: "), "{error}");
}

#[test]
fn a_file_that_is_none_is_not_waited_for() {
    let bench = Bench::new();
    let path = bench.directory.path().join("project/m.toml");
    bench.write("project", "other.toml", "");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .unwrap();
    let error = bench.find("m").unwrap_err().to_string();
    assert!(error.ends_with("project/m.toml: a recipe must be a file"), "{error}");
    fs::remove_file(&path).unwrap();
    bench.write("project", "m.toml", vec![b'#'; 300 << 10]);
    assert!(bench.find("m").unwrap_err().to_string().contains("at most 262144 bytes"));
    bench.write("project", "m.toml", b"\xff");
    assert!(bench.find("m").unwrap_err().to_string().contains("UTF-8"));
}

#[test]
fn a_project_adds_no_tool_to_a_mode() {
    let bench = Bench::new();
    let more = format!("{LIST}{EXEC}");
    bench.project_refused(LIST, &more, "tools[1].name", "may not add workspace_exec to the mode m");
    // To a mode of its own it may give any.
    bench.write("project", "own.toml", with(&more));
    assert_eq!(bench.find("own").unwrap().recipe.tools.len(), 2);
}

#[test]
fn a_project_loosens_no_argument() {
    let bench = Bench::new();
    let base = format!(
        "{EXEC}arguments.timeout_seconds = {{ maximum = 60 }}\n\
         arguments.cwd = {{ one_of = ['/workspace', '/tmp'], default = '/tmp' }}\n\
         arguments.detach = {{ hidden = true }}\n"
    );
    let refused = |said: &str, field: &str, why: &str| {
        let field = format!("tools[0].arguments.{field}");
        bench.project_refused(&base, &format!("{EXEC}arguments.{said}\n"), &field, why);
    };
    refused("timeout_seconds = { maximum = 90 }", "timeout_seconds.maximum", "takes 60 at most");
    refused("timeout_seconds = { default = 90 }", "timeout_seconds.default", "90 is more than 60");
    refused("cwd = { one_of = ['/root'] }", "cwd.one_of", "choose a text");
    refused("cwd = { one_of = ['/workspace'] }", "cwd.one_of", "leave out \"/tmp\"");
    refused("detach = { default = true }", "detach.default", "choose a text");

    bench.write("user", "m.toml", with(&base));
    bench.write("project", "m.toml", with(EXEC));
    let silent = bench.find("m").unwrap().recipe.tools.remove(0);
    let base = parse(&with(&base), &known).unwrap().tools.remove(0);
    assert_eq!(silent.arguments, base.arguments, "what it does not mention stays narrowed");

    let more = "arguments.timeout_seconds = { maximum = 40, default = 20 }\narguments.detach = { maximum = 1, hidden = true }";
    bench.write("project", "m.toml", with(&format!("{EXEC}{}", more.replace("maximum = 1, ", ""))));
    let narrowed = bench.find("m").unwrap().recipe.tools.remove(0);
    assert_eq!(narrowed.arguments["timeout_seconds"].maximum, Some(40));
    assert_eq!(narrowed.arguments["timeout_seconds"].default, Some(20.into()));
    assert!(narrowed.arguments["detach"].hidden);
}

#[test]
fn a_project_names_no_place_on_the_host() {
    let bench = Bench::new();
    let refused = |said: &str, field: &str| {
        bench.write("project", "own.toml", with(&format!("{EXPORT}arguments.{said}\n")));
        let error = bench.find("own").unwrap_err().to_string();
        assert!(
            error.contains(&format!("tools[0].arguments.{field}: a project's recipe may not")),
            "{error}"
        );
    };
    refused("host_path = { default = '/home/me/.profile' }", "host_path.default");
    refused("host_path = { hidden = true, default = '/home/me/.profile' }", "host_path.default");
    refused("host_path = { one_of = ['/home/me/.profile'] }", "host_path.one_of");
    // What the tool itself lists, it may choose.
    let format = format!("{EXPORT}arguments.format = {{ one_of = ['patch'], default = 'patch' }}\n");
    bench.write("project", "own.toml", with(&format));
    bench.find("own").unwrap();
    // And a user may name places.
    let place = format!("{EXPORT}arguments.host_path = {{ default = '/tmp/out' }}\n");
    bench.write("user", "theirs.toml", with(&place));
    bench.find("theirs").unwrap();
}

#[test]
fn nothing_but_tools_resources_an_environment_and_words_is_in_a_recipe() {
    // The fields of every type that is read, so that a new one is looked at here.
    let Recipe { summary: _, environment: _, resources, instructions: _, prompt: _, tools } =
        parse(&with(EXEC), &known).unwrap();
    let Resources { vcpu_count: _, mem_mib: _, disk_mib: _, ttl_seconds: _ } = resources;
    let Tool { name: _, description: _, arguments: _ } = &tools[0];
    let Argument { hidden: _, default: _, maximum: _, one_of: _ } = Argument::default();
    for open in ["allow_host_compat = true", "network_policy = 'egress'", "project_path = '/'", "home = '/'"]
    {
        let text = format!("{open}\n{}", with(EXEC));
        assert!(parse(&text, &known).unwrap_err().to_string().contains("unknown field"), "{open}");
    }
}

#[test]
fn the_modes_that_come_with_pyro_are_those_of_the_contract() {
    let known = crate::mcp::known_tool;
    let tools = |mode: &str| -> Vec<String> {
        let found = Places::default().find(mode, &known).unwrap_or_else(|error| panic!("{error}"));
        assert!(found.recipe.prompt.text.contains(TASK), "{mode}");
        let first = found.recipe.instructions.split_inclusive(['.', ':']).next().unwrap();
        assert!(first.contains("microVM sandbox"), "{mode}: {first}");
        for word in ["microVM", "sandbox", "solated", "run", "command", "test"] {
            assert!(found.recipe.instructions.contains(word), "{mode} cannot be found by {word}");
        }
        let mut names: Vec<_> = found.recipe.tools.into_iter().map(|tool| tool.name).collect();
        names.sort();
        names
    };
    let of = |more: &[&str]| {
        let words = "create list status exec logs summary file_list file_read export delete";
        let mut names: Vec<String> = words.split(' ').map(|it| format!("workspace_{it}")).collect();
        names.extend(more.iter().map(|it| (*it).to_owned()));
        names.sort();
        names
    };
    assert_eq!(tools("inspect"), of(&[]));
    let core = ["update", "sync_push", "file_write", "patch_apply", "diff", "reset"];
    let core = core.map(|it| format!("workspace_{it}"));
    assert_eq!(tools("repro-fix"), of(&core.each_ref().map(String::as_str)));
    let services = ["service_start", "service_list", "service_status", "service_logs", "service_stop"];
    assert_eq!(tools("cold-start"), of(&[&["workspace_reset"], &services[..]].concat()));
    let more = ["workspace_diff", "workspace_reset", "snapshot_create", "snapshot_list", "snapshot_delete"];
    let shells = ["shell_open", "shell_read", "shell_write", "shell_signal", "shell_close"];
    assert_eq!(tools("review-eval"), of(&[more, shells].concat()));
    let all = Places::default().list(&known).unwrap();
    let names: Vec<_> = all.iter().map(|it| it.mode.as_str()).collect();
    assert_eq!(names, ["cold-start", "inspect", "repro-fix", "review-eval"]);
}

#[test]
fn the_recipe_in_the_documentation_is_one() {
    let page = include_str!("../../../../docs/modes.md");
    let (_, rest) = page.split_once("```toml\n").unwrap();
    let (text, _) = rest.split_once("```").unwrap();
    let recipe = parse(text, &crate::mcp::known_tool).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(recipe.tools.len(), 4);
    // And the error shown there is what comes of this slip.
    let line = 1 + text.lines().position(|line| line.starts_with("arguments.timeout")).unwrap();
    let broken = text.replace("timeout_seconds", "timeout");
    let error = parse(&broken, &crate::mcp::known_tool).unwrap_err().to_string();
    let shown =
        format!("line {line}, tools[1].arguments.timeout: workspace_exec takes no such argument; it takes");
    assert!(error.starts_with(&shown) && page.contains(&shown), "{error}");
}
