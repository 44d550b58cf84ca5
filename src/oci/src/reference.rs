//! Names of images: `[registry/]repository[:tag][@digest]`, as docker reads them.

use crate::{Digest, DigestError};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The registry of names without one.
pub const DOCKER_HUB: &str = "docker.io";

/// The registry name of images that only exist in a local store; it is never contacted.
pub const LOCAL: &str = "pyro.local";

/// The longest repository name that registries take.
const REPOSITORY_MAX: usize = 255;

/// The longest tag that registries take.
const TAG_MAX: usize = 128;

/// A full image name. Displayed canonically: registry, repository, tag and digest, nothing implied.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is not an image name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing there.
    #[error("an image name is empty")]
    Empty,
    /// The registry part is not `host[:port]`.
    #[error("image name {0:?}: {1:?} is not a registry (host or host:port)")]
    Registry(String, String),
    /// A repository component breaks the rules.
    #[error(
        "image name {0:?}: {1:?} must be lower-case letters and digits, with single '.', '_', '__' or dashes between them"
    )]
    Repository(String, String),
    /// The repository is too long.
    #[error("image name {0:?}: the repository is longer than {REPOSITORY_MAX} characters")]
    TooLong(String),
    /// The tag breaks the rules.
    #[error(
        "image name {0:?}: tag {1:?} must be 1 to {TAG_MAX} of letters, digits, '_', '.' and '-', not starting with '.' or '-'"
    )]
    Tag(String, String),
    /// The digest breaks the rules.
    #[error("image name {0:?}: {1}")]
    Digest(String, DigestError),
}

impl Reference {
    /// `pyro.local/<repository>:<tag>`: an image of this store alone.
    pub fn local(repository: &str, tag: &str) -> Result<Self, ReferenceError> {
        format!("{LOCAL}/{repository}:{tag}").parse()
    }

    /// Host, or host and port, of the registry.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Path of the repository in its registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `latest` was filled in when neither tag nor digest was given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of the manifest or index, when the name pins one.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// Whether the image can only be in a local store.
    pub fn is_local(&self) -> bool {
        self.registry == LOCAL
    }

    /// The same name without a digest; for one that has a tag.
    pub(crate) fn without_digest(&self) -> Self {
        Self { digest: None, ..self.clone() }
    }

    /// The name as people type it: without Docker Hub's parts.
    pub fn familiar(&self) -> String {
        let whole = self.to_string();
        let short = whole.strip_prefix("docker.io/").unwrap_or(&whole);
        short.strip_prefix("library/").unwrap_or(short).to_owned()
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let whole = || text.to_owned();
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                let digest = digest.parse().map_err(|error| ReferenceError::Digest(whole(), error))?;
                (name, Some(digest))
            }
            None => (text, None),
        };
        let (registry, rest) = match name.split_once('/') {
            Some((first, rest)) if names_a_registry(first) => (first, rest),
            _ => (DOCKER_HUB, name),
        };
        let (repository, tag) = match rest.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (rest, None),
        };
        let registry = if registry == "index.docker.io" { DOCKER_HUB } else { registry };
        if !is_host_and_port(registry) {
            return Err(ReferenceError::Registry(whole(), registry.into()));
        }
        if let Some(bad) = repository.split('/').find(|part| !is_component(part)) {
            return Err(ReferenceError::Repository(whole(), bad.into()));
        }
        if let Some(bad) = tag.filter(|tag| !is_tag(tag)) {
            return Err(ReferenceError::Tag(whole(), bad.into()));
        }
        let bare = registry == DOCKER_HUB && !repository.contains('/');
        let repository = if bare { format!("library/{repository}") } else { repository.to_owned() };
        if repository.len() > REPOSITORY_MAX {
            return Err(ReferenceError::TooLong(whole()));
        }
        let tag = match (tag, digest) {
            (None, None) => Some("latest".to_owned()),
            (tag, _) => tag.map(str::to_owned),
        };
        Ok(Self { registry: registry.to_owned(), repository, tag, digest })
    }
}

/// Docker's rule: the part before the first slash is a registry if no repository could look like it.
fn names_a_registry(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

pub(crate) fn is_host_and_port(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let label = |label: &str| {
        let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        plain && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    host.split('.').all(label) && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0))
}

fn is_component(text: &str) -> bool {
    let runs = text.split(|char: char| char.is_ascii_lowercase() || char.is_ascii_digit());
    let edges =
        |char: Option<char>| char.is_some_and(|char| char.is_ascii_lowercase() || char.is_ascii_digit());
    edges(text.chars().next())
        && edges(text.chars().next_back())
        && runs
            .into_iter()
            .all(|run| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|byte| byte == b'-'))
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= TAG_MAX
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

impl fmt::Display for Reference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(out, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(out, "@{digest}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Reference {
    type Error = ReferenceError;

    fn try_from(text: String) -> Result<Self, ReferenceError> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let reference: Reference = text.parse().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(reference.to_string(), expected);
        assert_eq!(expected.parse::<Reference>().unwrap(), reference, "canonical names parse to themselves");
    }

    #[test]
    fn short_names_are_filled_in() {
        let digest = Digest::of(b"x");
        check("debian:12", "docker.io/library/debian:12");
        check("debian", "docker.io/library/debian:latest");
        check("index.docker.io/a/b", "docker.io/a/b:latest");
        check("docker.io/library/python:3.12", "docker.io/library/python:3.12");
        check("localhost/x", "localhost/x:latest");
        check(&format!("localhost:5000/x@{digest}"), &format!("localhost:5000/x@{digest}"));
        check(&format!("x:1@{digest}"), &format!("docker.io/library/x:1@{digest}"));
        check("pyro.local/ws_12:baseline", "pyro.local/ws_12:baseline");
        check("127.0.0.1:5000/a", "127.0.0.1:5000/a:latest");
        check("quay.io/a/b--c/d__e.f:V1.0-x", "quay.io/a/b--c/d__e.f:V1.0-x");
    }

    #[test]
    fn people_see_short_names() {
        assert_eq!("docker.io/library/debian:12".parse::<Reference>().unwrap().familiar(), "debian:12");
        assert_eq!("docker.io/a/b:1".parse::<Reference>().unwrap().familiar(), "a/b:1");
        assert_eq!("ghcr.io/library/b:1".parse::<Reference>().unwrap().familiar(), "ghcr.io/library/b:1");
    }

    #[test]
    fn malformed_names_are_refused_with_the_part_that_is_wrong() {
        let error = |text: &str| text.parse::<Reference>().unwrap_err().to_string();
        assert_eq!(error(""), "an image name is empty");
        assert!(error("a/B").contains("\"B\" must be lower-case"), "{}", error("a/B"));
        assert!(error("a//b").contains("\"\" must be"), "{}", error("a//b"));
        assert!(error("a:").contains("tag \"\""));
        assert!(error("a:-x").contains("tag \"-x\""));
        assert!(error("a._b").contains("\"a._b\""));
        assert!(error("../../etc").contains("not a registry"), "{}", error("../../etc"));
        assert!(error("exa mple.org/x").contains("not a registry"));
        assert!(error("x.org:99999/x").contains("not a registry"));
        assert!(error("x@sha512:00").contains("other than sha256"));
        assert!(error("x@sha256:00").contains("64 lower-case"));
        assert!(error(&format!("x:{}", "a".repeat(129))).contains("1 to 128"));
        assert!(error(&"a".repeat(256)).contains("longer than 255"));
    }
}
