//! Addresses of repositories and names of their states, as somebody typed them.

use super::RepositoryError;
use crate::seed::without_credentials;
use std::fmt;

/// Longest address or name: more is no address.
const LONGEST: usize = 2048;

/// Ways to a repository that run no program of somebody's choice.
const SCHEMES: &[&str] = &["file", "git", "http", "https", "ssh", "git+ssh", "ssh+git"];

/// Where a repository is.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// Without what would let others in: this is shown, kept and asked.
    pub shown: String,
    /// What came with it for a web server. It is given to git alone, and kept nowhere.
    pub login: Option<Login>,
}

/// A user of a web server.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login {
    pub user: String,
    pub password: Option<String>,
}

impl fmt::Debug for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Address").field(&self.shown).finish_non_exhaustive()
    }
}

impl Address {
    pub fn parse(text: &str) -> Result<Self, RepositoryError> {
        let shown = without_credentials(text).filter(|_| is_plain(text));
        // Of what is no address, nothing is repeated: it may be a password.
        let shown = shown.ok_or_else(|| RepositoryError::address("it", "is no address of a repository"))?;
        let refuse = |why| Err(RepositoryError::address(&shown, why));
        let Some((scheme, rest)) = text.split_once("://") else {
            return match text.split_once(':') {
                _ if text.starts_with('-') => refuse("is no address of a repository"),
                _ if text.starts_with('/') => {
                    // git clones a path whole, and an address as shallow as it is asked to.
                    Ok(Self { shown: format!("file://{}", text.replace('%', "%25")), login: None })
                }
                Some((_, path)) if path.starts_with(':') => refuse("names a program to be run"),
                Some((host, path)) if !host.is_empty() && !host.contains('/') && !path.is_empty() => {
                    Ok(Self { shown, login: None })
                }
                _ => refuse("is no address of a repository: https://…, ssh://…, host:path or /path"),
            };
        };
        if scheme.contains("::") {
            return refuse("names a program to be run");
        }
        if !SCHEMES.contains(&scheme) {
            return refuse(
                "is reached in a way that pyro does not take; it takes https, http, ssh, git, file",
            );
        }
        if text.contains(['?', '#']) {
            return refuse("has a query or a fragment, which repositories do not");
        }
        let authority = rest.split('/').next().unwrap_or_default();
        let login = authority.rsplit_once('@').filter(|_| scheme.starts_with("http")).map(|(user, _)| {
            let (user, password) =
                user.split_once(':').map_or((user, None), |(user, password)| (user, Some(password)));
            Login { user: decoded(user), password: password.map(decoded) }
        });
        // One line for each would be read as more than it is.
        if login.iter().any(|it| {
            it.user.contains(['\n', '\0']) || it.password.iter().any(|it| it.contains(['\n', '\0']))
        }) {
            return refuse("has a user or a password with a line break");
        }
        Ok(Self { shown, login })
    }
}

impl Address {
    /// The server: scheme, name and port.
    pub fn origin(&self) -> &str {
        let authority = self.shown.find("://").map_or(0, |at| at + 3);
        let end = self.shown[authority..].find('/').map_or(self.shown.len(), |at| authority + at);
        &self.shown[..end]
    }
}

/// What `%xx` stands for.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut found = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let code = (byte == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(code) => {
                found.push(code);
                at += 3;
            }
            None => {
                found.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&found).into_owned()
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST && !text.contains(|it: char| it.is_control() || it == ' ')
}

/// Whether a text is the whole name of a commit.
pub(super) fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
}

/// A state of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// What the repository shows first.
    Head,
    /// A branch or a tag, or a reference with all of its name.
    Name(String),
    /// A commit, with all of its digits.
    Commit(String),
}

impl State {
    pub fn parse(text: Option<&str>) -> Result<Self, RepositoryError> {
        let Some(text) = text else { return Ok(Self::Head) };
        let lower = text.to_ascii_lowercase();
        if is_commit(&lower) {
            return Ok(Self::Commit(lower));
        }
        // git's own rules for names; what begins with a dash would be an option.
        let bad = !is_plain(text)
            || text.starts_with(['-', '/', '+'])
            || text.ends_with(['/', '.'])
            || text.contains(['~', '^', ':', '?', '*', '[', '\\'])
            || ["..", "@{", "//", "/."].iter().any(|part| text.contains(part));
        if bad {
            Err(RepositoryError::Name(text.chars().take(64).collect()))
        } else {
            Ok(Self::Name(text.into()))
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => out.write_str("HEAD"),
            Self::Name(name) | Self::Commit(name) => out.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_told_from_the_address() {
        let login = |text: &str| {
            let address = Address::parse(text).unwrap();
            assert!(!format!("{address:?}").contains("s3cret"));
            (address.shown, address.login.map(|it| (it.user, it.password)))
        };
        assert_eq!(login("https://example.org/a.git"), ("https://example.org/a.git".into(), None));
        assert_eq!(
            login("https://me:s3cr%65t%2f@example.org/a"),
            ("https://example.org/a".into(), Some(("me".into(), Some("s3cret/".into()))))
        );
        let token = ("https://example.org/a".into(), Some(("s3cret".into(), None)));
        assert_eq!(login("https://s3cret@example.org/a"), token);
        assert_eq!(login("ssh://git:s3cret@example.org/a"), ("ssh://git@example.org/a".into(), None));
        assert_eq!(login("git@example.org:a/b.git"), ("git@example.org:a/b.git".into(), None));
        assert_eq!(login("/srv/100%/a.git"), ("file:///srv/100%25/a.git".into(), None));
    }

    #[test]
    fn an_address_names_its_server() {
        let origin = |text: &str| Address::parse(text).unwrap().origin().to_owned();
        assert_eq!(origin("https://me:pw@example.org:8443/a/b.git"), "https://example.org:8443");
        assert_eq!(origin("http://example.org"), "http://example.org");
    }

    #[test]
    fn what_runs_programs_is_no_address() {
        for text in [
            "ext::sh -c id",
            "ext::sh",
            "foreign::https://example.org/a",
            "--upload-pack=id",
            "-x:y",
            "",
            "a b",
            "relative/path",
            "data://x",
            "https://example.org/a?token=s3cret",
            "https://a\n@example.org",
            "https://a%0a@example.org/a",
            ":x",
        ] {
            let error = Address::parse(text).expect_err(text).to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_state_is_a_name_or_a_whole_commit() {
        let commit = "0123456789ABCDEF0123456789abcdef01234567";
        assert_eq!(State::parse(Some(commit)).unwrap(), State::Commit(commit.to_lowercase()));
        for name in ["main", "v1.2", "feature/x", "refs/pull/1/head", "012345"] {
            assert_eq!(State::parse(Some(name)).unwrap(), State::Name(name.into()));
        }
        for bad in ["", "-x", "a:b", "+a", "a..b", "a b", "HEAD~1", "@{u}", "a\n", "refs/*"] {
            assert!(State::parse(Some(bad)).is_err(), "{bad}");
        }
    }
}
