//! Flags, names and references.

use super::{Bench, GOOD, Row};

fn usage(bench: &Bench, words: &[&str], message: &str, hint: &str) {
    let what = words.join(" ");
    bench.refuses(&Row { what: &what, words, status: 2, code: "usage", message: &[message], hint });
}

#[test]
fn wrong_arguments_are_explained() {
    let bench = Bench::new();
    usage(&bench, &["frobnicate"], "frobnicate", "pyro --help");
    usage(&bench, &["env", "lst"], "lst", "pyro env --help");
    usage(&bench, &["--frobnicate", "env", "list"], "--frobnicate", "pyro env list --help");
    usage(&bench, &["env", "pull"], "<ENV>", "pyro env pull --help");
    usage(&bench, &["env", "export", "debian:12", "x", "--format", "zip"], "zip", "pyro env export --help");
    usage(&bench, &["completion", "tcsh"], "tcsh", "pyro completion --help");
    usage(&bench, &["run"], "<ENV>", "pyro run --help");
    usage(&bench, &["run", "debian:12"], "COMMAND", "pyro run --help");
    usage(&bench, &["run", "debian:12", "--"], "COMMAND", "pyro run --help");
    usage(&bench, &["run", "debian:12", "true"], "true", "pyro run --help");
}

#[test]
fn wrong_values_are_explained() {
    let bench = Bench::new();
    let run = |flag: &str, value: &str, message: &str| {
        usage(&bench, &["run", "debian:12", flag, value, "--", "true"], message, "pyro run --help");
    };
    run("--vcpu-count", "0", "1..=16");
    run("--vcpu-count", "17", "1..=16");
    run("--vcpu-count", "1.5", "--vcpu-count");
    run("--mem-mib", "12", "128..=1048576");
    run("--mem-mib", "99999999", "128..=1048576");
    run("--mem-mib", "99999999999999999999", "--mem-mib");
    run("--timeout-seconds", "0", "--timeout-seconds");
    run("--timeout-seconds", "604801", "--timeout-seconds");
    run("--ttl-seconds", "soon", "--ttl-seconds");
    run("--env", "A", "NAME=VALUE");
    run("--env", "=x", "NAME=VALUE");
    run("--workdir", "relative", "absolute");
    run("--no-such-flag", "x", "--no-such-flag");
}

#[test]
fn what_is_not_there_yet_is_said() {
    Bench::new().refuses(&Row {
        what: "network",
        words: &["run", GOOD, "--network", "--", "true"],
        status: 2,
        code: "unsupported",
        message: &["offline"],
        hint: "leave --network out",
    });
}

#[test]
fn names_that_are_none_are_refused() {
    let long = "a".repeat(300);
    let rows: &[(&str, &str)] = &[
        ("", "an image name is empty"),
        ("..", "\"..\" must be lower-case"),
        ("Debian:12", "\"Debian\" must be lower-case"),
        ("a:", "tag \"\""),
        ("../../etc/passwd", "not a registry"),
        ("x.org:99999/x", "not a registry"),
        ("x@sha256:00", "64 lower-case hex digits"),
        ("x@md5:00", "other than sha256"),
        (&long, "longer than 255"),
        ("a\u{1b}[2Jb", "must be lower-case"),
    ];
    let bench = Bench::new();
    for (name, message) in rows {
        for verb in ["pull", "inspect", "rm"] {
            let (words, message, hint) = (["env", verb, name], [*message], "pyro env list");
            bench.refuses(&Row {
                what: name,
                words: &words,
                status: 2,
                code: "usage",
                message: &message,
                hint,
            });
        }
        let (words, message, hint) = (["run", name, "--", "true"], [*message], "pyro env list");
        let row =
            Row { what: name, words: &words, status: 125, code: "environment", message: &message, hint };
        bench.refuses(&row);
    }
}

#[test]
fn images_that_are_not_there_lead_to_the_list() {
    let bench = Bench::new();
    for words in [
        &["env", "inspect", "pyro.local/nothing:1"][..],
        &["env", "rm", "pyro.local/nothing:1"],
        &["env", "export", "pyro.local/nothing:1", "out.tar"],
    ] {
        bench.refuses(&Row {
            what: words[1],
            words,
            status: 1,
            code: "not_installed",
            message: &["pyro.local/nothing:1 is not installed"],
            hint: "pyro env list",
        });
    }
    assert!(!bench.file("out.tar").exists());
    bench.refuses(&Row {
        what: "inspect what could be pulled",
        words: &["env", "inspect", "debian:12"],
        status: 1,
        code: "not_installed",
        message: &["debian:12 is not installed"],
        hint: "pyro env pull debian:12",
    });
    for (words, status) in [
        (&["env", "pull", "pyro.local/nothing:1"][..], 1),
        (&["run", "pyro.local/nothing:1", "--", "true"], 125),
    ] {
        bench.refuses(&Row {
            what: words[0],
            words,
            status,
            code: "pull",
            message: &["pyro.local/nothing:1 is an image of this store alone"],
            hint: "pyro env list",
        });
    }
}

#[test]
fn exports_go_where_nothing_is_yet() {
    let bench = Bench::new();
    bench.write("taken", b"mine");
    std::fs::create_dir(bench.file("directory")).unwrap();
    for (file, message) in [
        ("taken", "taken exists already"),
        ("directory", "directory exists already"),
        ("missing/out.tar", "no such file or directory"),
        ("taken/out.tar", "taken"),
    ] {
        bench.refuses(&Row {
            what: file,
            words: &["env", "export", GOOD, file],
            status: 1,
            code: "export",
            message: &[message],
            hint: "choose a FILE that does not exist",
        });
    }
    assert_eq!(std::fs::read(bench.file("taken")).unwrap(), b"mine");
}
