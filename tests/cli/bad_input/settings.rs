//! Configuration files, and where state is.

use super::{Bench, GOOD, Row, listing};
use std::fs;

fn config(bench: &Bench, what: &str, file: &str, text: &str, message: &[&str]) {
    fs::write(bench.directory.path().join(file), text).unwrap();
    let name = file.rsplit('/').next().unwrap();
    let message = [&[name], message].concat();
    let words = ["env", "list"];
    let hint = "mend or remove that file";
    bench.refuses(&Row { what, words: &words, status: 1, code: "config", message: &message, hint });
}

#[test]
fn a_broken_user_file_is_named_with_line_and_field() {
    let bench = Bench::new();
    let user = |what, text, message: &[&str]| config(&bench, what, "config/pyro/config.toml", text, message);
    user("unknown field", "[defaults]\nmem_mb = 1", &["line 2", "mem_mb", "mem_mib"]);
    user("unknown table", "home = '/x'\n[colour]\n", &["line 2", "colour"]);
    user("wrong type", "[defaults]\nmem_mib = 'much'", &["line 2", "mem_mib", "\"much\""]);
    user("wrong type of a table", "registry = 5", &["line 1", "registry"]);
    user("negative", "[defaults]\n\nvcpu_count = -1", &["line 3", "vcpu_count"]);
    user("too much", "[defaults]\nvcpu_count = 17", &["line 2", "vcpu_count", "17 is not in 1..=16"]);
    user("too little", "[defaults]\nmem_mib = 5", &["line 2", "mem_mib", "5 is not in 128..=1048576"]);
    user("no time", "[defaults]\ntimeout_seconds = 0", &["line 2", "timeout_seconds", "0 is not in"]);
    user("no TOML", "{\"defaults\": {}}", &["line 1"]);
    user("twice", "[defaults]\nmem_mib = 256\nmem_mib = 512", &["line 3", "duplicate"]);
    user("wrong type in a list", "[registry]\ninsecure = [1]", &["line 2", "insecure"]);
}

#[test]
fn a_project_file_may_not_decide_about_trust() {
    let bench = Bench::new();
    let project = |what, text, message: &[&str]| config(&bench, what, "files/.pyro.toml", text, message);
    project("home", "home = '/x'", &["line 1", "home"]);
    project("registry", "[registry]\ninsecure = ['x']", &["line 1", "registry"]);
    project("host-compat", "[defaults]\nallow_host_compat = true", &["line 2", "allow_host_compat"]);
    project("wrong type", "[defaults]\nenvironment = 12", &["line 2", "environment"]);
    project("out of range", "[defaults]\nttl_seconds = 604801", &["line 2", "ttl_seconds"]);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let bench = Bench::new();
    let path = bench.directory.path().join("config/pyro/config.toml");
    let row = |what, message| Row {
        what,
        words: &["env", "list"],
        status: 1,
        code: "config",
        message,
        hint: "mend or remove that file",
    };
    fs::create_dir(&path).unwrap();
    bench.refuses(&row("a directory", &["config.toml", "directory"]));
    fs::remove_dir(&path).unwrap();
    fs::write(&path, b"a = '\xff'").unwrap();
    bench.refuses(&row("no text", &["config.toml", "UTF-8"]));
}

#[test]
fn a_state_directory_that_is_none_is_refused() {
    let bench = Bench::new();
    bench.write("file", b"mine");
    for (home, message) in
        [("file", "file is not a directory"), ("file/below", "file/below"), ("/proc/pyro", "/proc/pyro")]
    {
        for (words, status) in [(&["env", "list"][..], 1), (&["run", GOOD, "--", "true"], 125)] {
            bench.refuses(&Row {
                what: home,
                words: &[&["--home", home], words].concat(),
                status,
                code: "home",
                message: &[message],
                hint: "--home DIR",
            });
        }
    }
    assert_eq!(fs::read(bench.file("file")).unwrap(), b"mine");
}

#[test]
fn a_state_directory_of_a_newer_version_is_left_alone() {
    let bench = Bench::new();
    let newer = bench.file("newer");
    fs::create_dir(&newer).unwrap();
    fs::write(newer.join("VERSION"), "{\"layout\":99}\n").unwrap();
    let before = listing(&newer);
    for words in [&["env", "list"][..], &["env", "prune", "--all"], &["env", "rm", GOOD]] {
        bench.refuses(&Row {
            what: "a newer version",
            words: &[&["--home", "newer"], words].concat(),
            status: 1,
            code: "store",
            message: &["has layout 99; this program knows up to 1"],
            hint: "use the newer pyro",
        });
    }
    assert_eq!(listing(&newer), before);
}
