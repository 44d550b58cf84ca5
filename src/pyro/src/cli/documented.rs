//! What the documentation tells people to type is what the parser takes.

#[path = "../../../../tests/support/pages.rs"]
mod pages;

use super::Cli;
use crate::config::Config;
use clap::Parser;

/// The `pyro` commands of a line of shell.
fn commands(line: &str) -> Vec<Vec<String>> {
    let words = shlex::split(line).unwrap_or_else(|| panic!("unbalanced quotes: {line}"));
    let ends = |word: &String| ["&&", "||", "|", ";", ">"].contains(&word.as_str());
    let commands = words.split(ends).map(<[String]>::to_vec);
    commands.filter(|words| words.first().is_some_and(|word| word == "pyro")).collect()
}

#[test]
fn every_documented_command_parses() {
    let shell = pages::blocks(&["sh"]).into_iter().map(|block| (block, ""));
    // Here commands stand after a prompt, and the rest is output.
    let sessions = pages::blocks(&["console"]).into_iter().map(|block| (block, "$ "));
    let mut count = 0;
    for (block, prompt) in shell.chain(sessions) {
        let text = block.lines.join("\n").replace("\\\n", " ");
        for words in text.lines().filter_map(|line| line.strip_prefix(prompt)).flat_map(commands) {
            match Cli::try_parse_from(&words) {
                Err(error) if error.use_stderr() => panic!("{}: {words:?}: {error}", block.place),
                _ => count += 1,
            }
        }
    }
    assert!(count > 5, "only {count} commands were found");
}

#[test]
fn every_documented_setting_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let (file, mut count) = (directory.path().join("config.toml"), 0);
    let blocks = pages::blocks(&["toml"]).into_iter();
    for block in blocks.filter(|block| block.lines[0].starts_with("# config.toml")) {
        std::fs::write(&file, block.lines.join("\n")).unwrap();
        Config::load(Some(&file), None).unwrap_or_else(|error| panic!("{}: {error}", block.place));
        count += 1;
    }
    assert!(count > 0, "no settings are documented");
}

#[test]
fn a_command_that_does_not_exist_would_be_found() {
    assert_eq!(commands("make build && pyro env lst 'x y'  # comment"), [["pyro", "env", "lst", "x y"]]);
    assert!(Cli::try_parse_from(["pyro", "env", "lst"]).is_err());
}
