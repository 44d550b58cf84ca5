//! Paths that users type.

use pyro_protocol::path::PATH_MAX;
use std::fmt;

/// The directory of a workspace's files in its machine.
pub const WORKSPACE: &str = "/workspace";

/// A place at or below `/workspace`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place(Vec<u8>);

/// Why a path names no such place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPlace {
    /// It is somewhere else.
    #[error("{0} is not under {WORKSPACE}")]
    Elsewhere(String),
    /// Through a `..` it could be anywhere.
    #[error("{0} has a '..' in it")]
    Parent(String),
    /// It has a zero byte, or is too long.
    #[error("{0:?} is no path of Linux")]
    Impossible(String),
}

impl Place {
    /// Takes an absolute path under `/workspace`, or one that is relative to it.
    ///
    /// # Errors
    /// [`BadPlace`].
    pub fn parse(text: &[u8]) -> Result<Self, BadPlace> {
        let shown = || crate::patch::display_path(text);
        if text.len() > PATH_MAX || text.contains(&0) {
            return Err(BadPlace::Impossible(shown()));
        }
        let names = || text.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
        if names().any(|name| name == b"..") {
            return Err(BadPlace::Parent(shown()));
        }
        let mut names = names();
        if text.starts_with(b"/") && names.next() != Some(&WORKSPACE.as_bytes()[1..]) {
            return Err(BadPlace::Elsewhere(shown()));
        }
        Ok(Self(names.collect::<Vec<_>>().join(&b'/')))
    }

    /// Relative to `/workspace`; empty for itself.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path of something below it.
    #[must_use]
    pub fn join(&self, path: &[u8]) -> Vec<u8> {
        let slash: &[u8] = if self.0.is_empty() || path.is_empty() { b"" } else { b"/" };
        [&self.0[..], slash, path].concat()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let absolute = [WORKSPACE.as_bytes(), if self.0.is_empty() { b"" } else { b"/" }, &self.0].concat();
        out.write_str(&crate::patch::display_path(&absolute))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let found = Place::parse(text.as_bytes()).map(|place| place.to_string());
        let found = found.map_err(|error| error.to_string());
        assert_eq!(found.as_deref().map_err(|error| &**error), expected, "{text}");
    }

    #[test]
    fn places_are_relative_to_the_workspace_or_absolute_in_it() {
        for root in ["", ".", "/workspace", "/workspace/", "//workspace/./"] {
            check(root, Ok("/workspace"));
        }
        for file in ["a/b", "./a//b/", "/workspace/a/b", "/workspace//a/./b"] {
            check(file, Ok("/workspace/a/b"));
        }
        check("workspace/a", Ok("/workspace/workspace/a"));
        check("..a/b..", Ok("/workspace/..a/b.."));
    }

    #[test]
    fn places_elsewhere_are_refused() {
        check("/etc/passwd", Err("/etc/passwd is not under /workspace"));
        check("/", Err("/ is not under /workspace"));
        check("/workspaces/a", Err("/workspaces/a is not under /workspace"));
        check("a/../../etc", Err("a/../../etc has a '..' in it"));
        check("/workspace/..", Err("/workspace/.. has a '..' in it"));
        check("a\0b", Err("\"\\\"a\\\\000b\\\"\" is no path of Linux"));
        assert!(Place::parse(&[b'a'; PATH_MAX + 1]).is_err());
    }
}
