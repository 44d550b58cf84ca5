//! The command that a host starts, as pyro writes it, and back.
//!
//! Hosts differ in the environment and directory that they give a server, so nothing is left to them: the program
//! and the state directory are absolute, and there is nothing in it that a host would replace.

use crate::mcp::args::ServeArgs;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use serde::Serialize;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

/// What hosts replace in a configuration: Claude Code `${NAME}`, OpenCode `{env:NAME}` and `{file:PATH}`.
const REPLACED: [&str; 3] = ["${", "{env:", "{file:"];

/// A command in the configuration of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Launch {
    /// The program.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
}

/// Why a command cannot be written down.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// A configuration is text.
    #[error("{} is not UTF-8, which a host's configuration must be", .0.display())]
    NotText(PathBuf),
    /// It would arrive as something else.
    #[error("{0:?} holds {1:?}, which a host would replace")]
    Replaced(String, &'static str),
}

impl Launch {
    /// The one form in which pyro writes it.
    ///
    /// # Errors
    /// [`LaunchError`].
    pub fn new(program: &Path, home: &Path, serve: &ServeArgs) -> Result<Self, LaunchError> {
        let text =
            |path: &Path| path.to_str().map(str::to_owned).ok_or_else(|| LaunchError::NotText(path.into()));
        // `http` is not for hosts: they start the server and speak to it over its standard input.
        let ServeArgs {
            mode,
            profile,
            project_path,
            repo_url,
            repo_ref,
            no_project_source,
            environment,
            allow_host_compat,
            http: _,
        } = serve;
        let mut args = vec!["--home".into(), text(home)?, "mcp".into(), "serve".into()];
        let mut put = |flag: &str, value: Option<String>| {
            if let Some(value) = value {
                args.extend([flag.into(), value]);
            }
        };
        put("--mode", mode.clone());
        put("--profile", profile.map(|profile| profile.to_string()));
        put("--project-path", project_path.as_deref().map(text).transpose()?);
        put("--repo-url", repo_url.clone());
        put("--repo-ref", repo_ref.clone());
        put("--environment", environment.clone());
        let switches =
            [(*no_project_source, "--no-project-source"), (*allow_host_compat, "--allow-host-compat")];
        args.extend(switches.into_iter().filter(|(on, _)| *on).map(|(_, flag)| flag.to_owned()));
        let launch = Self { command: text(program)?, args };
        for word in launch.words() {
            if let Some(mark) = REPLACED.into_iter().find(|mark| word.contains(mark)) {
                return Err(LaunchError::Replaced(word.into(), mark));
            }
        }
        Ok(launch)
    }

    /// Program and arguments.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.command).chain(&self.args).map(String::as_str)
    }

    /// Whether it starts a pyro, of whatever age and place. What is not ours is left alone.
    pub fn is_ours(&self) -> bool {
        let named = Path::new(&self.command).file_name() == Some(OsStr::new("pyro"));
        named || self.args.starts_with(&["mcp".into(), "serve".into()]) || self.choices().is_ok()
    }

    /// What it serves: the user's choice, which a repair keeps.
    ///
    /// # Errors
    /// What this pyro says of arguments that it does not take.
    pub fn choices(&self) -> Result<ServeArgs, String> {
        let Line { verb: Verb::Mcp { verb: McpVerb::Serve(serve) }, home: _ } = Line::parse_args(&self.args)
            .map_err(|error| {
                let text = error.render().to_string();
                text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
            })?;
        Ok(serve)
    }
}

/// As one would type it.
impl fmt::Display for Launch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match shlex::try_join(self.words()) {
            Ok(line) => out.write_str(&line),
            // A NUL, which no program can be started with.
            Err(_) => write!(out, "{:?}", self.words().collect::<Vec<_>>()),
        }
    }
}

/// The part of pyro's command line that starts a server.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct Line {
    #[arg(long, global = true)]
    home: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Mcp {
        #[command(subcommand)]
        verb: McpVerb,
    },
}

#[derive(Debug, Subcommand)]
enum McpVerb {
    Serve(ServeArgs),
}

impl Line {
    /// The same as `pyro` would make of them, but that our own environment says nothing.
    fn parse_args(args: &[String]) -> Result<Self, clap::Error> {
        let deaf = |serve: clap::Command| serve.mut_args(|arg| arg.env(None::<&'static str>));
        let command = Self::command().mut_subcommand("mcp", |mcp| mcp.mut_subcommand("serve", deaf));
        Self::from_arg_matches(&command.try_get_matches_from(args)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::args::Profile;

    fn launch(args: &[&str]) -> Launch {
        Launch { command: "/opt/pyro".into(), args: args.iter().map(ToString::to_string).collect() }
    }

    fn written(serve: &ServeArgs) -> Launch {
        Launch::new(Path::new("/opt/pyro"), Path::new("/state"), serve).unwrap()
    }

    #[test]
    fn what_is_written_is_read_back_whole() {
        let everything = [
            ServeArgs::default(),
            ServeArgs {
                mode: Some("repro-fix".into()),
                project_path: Some("/a b".into()),
                environment: Some("debian:12".into()),
                allow_host_compat: true,
                ..ServeArgs::default()
            },
            ServeArgs {
                profile: Some(Profile::WorkspaceFull),
                repo_url: Some("https://example.org/x".into()),
                repo_ref: Some("main".into()),
                ..ServeArgs::default()
            },
            ServeArgs { no_project_source: true, ..ServeArgs::default() },
        ];
        for serve in everything {
            assert_eq!(written(&serve).choices().unwrap(), serve);
        }
    }

    #[test]
    fn state_directory_and_program_stand_in_it() {
        let serve = ServeArgs { mode: Some("inspect".into()), ..ServeArgs::default() };
        assert_eq!(written(&serve).to_string(), "/opt/pyro --home /state mcp serve --mode inspect");
    }

    #[test]
    fn flags_in_another_order_are_understood() {
        let choices = launch(&["mcp", "serve", "--mode=inspect", "--home", "/x"]).choices().unwrap();
        assert_eq!(choices.mode.as_deref(), Some("inspect"));
        assert!(launch(&["mcp", "serve", "--fancy"]).choices().unwrap_err().contains("--fancy"));
        assert!(launch(&["run"]).choices().is_err());
    }

    #[test]
    fn ours_is_named_so_or_serves() {
        assert!(launch(&[]).is_ours());
        let wrapped = |command: &str, args: &[&str]| Launch { command: command.into(), ..launch(args) };
        assert!(wrapped("/usr/bin/pyro2", &["mcp", "serve"]).is_ours());
        assert!(!wrapped("python", &["-m", "pyro"]).is_ours());
    }

    #[test]
    fn what_a_host_would_replace_is_refused() {
        let serve = ServeArgs { project_path: Some("/x/${HOME}".into()), ..ServeArgs::default() };
        let error = Launch::new(Path::new("/p"), Path::new("/s"), &serve).unwrap_err();
        assert!(matches!(error, LaunchError::Replaced(..)), "{error}");
    }
}
