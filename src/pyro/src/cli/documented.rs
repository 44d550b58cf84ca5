//! What the documentation tells people to type is what the parser takes.

#[path = "../../../../tests/support/pages.rs"]
mod pages;

use super::Cli;
use crate::host::Host;
use crate::host::launch::Launch;
use crate::mcp::args::ServeArgs;
use clap::Parser;
use std::path::Path;

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
fn a_command_that_does_not_exist_would_be_found() {
    assert_eq!(commands("make build && pyro env lst 'x y'  # comment"), [["pyro", "env", "lst", "x y"]]);
    assert!(Cli::try_parse_from(["pyro", "env", "lst"]).is_err());
}

#[test]
fn documented_entries_of_hosts_are_those_that_are_written() {
    let (program, home) = (Path::new("/usr/local/bin/pyro"), Path::new("/home/you/.local/share/pyro"));
    let launch = Launch::new(program, home, &ServeArgs::default()).unwrap();
    let blocks = pages::blocks(&["json", "toml"]).into_iter();
    let shown: Vec<String> = blocks
        .filter(|block| block.place.contains("integrations.md"))
        .map(|block| block.lines.join("\n") + "\n")
        .collect();
    assert_eq!(shown, Host::ALL.map(|host| host.snippet(&launch).unwrap()));
}
