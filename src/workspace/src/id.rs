//! Identities: what a workspace is called.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The pattern of [`Name`], as users are told it.
pub const NAME_PATTERN: &str = "[A-Za-z0-9][A-Za-z0-9_.-]{0,63}";

/// A name that a user chose: of a workspace, label, snapshot, service or secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// A text that is not a [`Name`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a valid name: names match {NAME_PATTERN}")]
pub struct BadName(String);

impl Name {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let rest = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let valid = text.len() <= 64
            && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
            && text.bytes().all(rest);
        if valid { Ok(Self(text.into())) } else { Err(BadName(text.chars().take(80).collect())) }
    }
}

impl TryFrom<String> for Name {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Hexadecimal digits of an identity.
const DIGITS: usize = 12;

/// Identity of a workspace: `ws_` and twelve hexadecimal digits, made by pyro.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WorkspaceId(String);

/// A text that is not a [`WorkspaceId`].
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a workspace id")]
pub struct BadId(String);

impl WorkspaceId {
    /// A new random identity.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn random() -> std::io::Result<Self> {
        let mut bytes = [0; DIGITS / 2];
        let mut filled = 0;
        while filled < bytes.len() {
            filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
        }
        Ok(Self(format!("ws_{}", hex::encode(bytes))))
    }

    /// The identity as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an identity may begin so.
    #[must_use]
    pub fn may_begin(text: &str) -> bool {
        text.strip_prefix("ws_").is_some_and(|digits| {
            digits.len() <= DIGITS && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        })
    }
}

impl TryFrom<String> for WorkspaceId {
    type Error = BadId;

    fn try_from(text: String) -> Result<Self, BadId> {
        let whole = text.len() == "ws_".len() + DIGITS;
        if whole && Self::may_begin(&text) { Ok(Self(text)) } else { Err(BadId(text)) }
    }
}

impl From<WorkspaceId> for String {
    fn from(id: WorkspaceId) -> Self {
        id.0
    }
}

impl fmt::Display for WorkspaceId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_pattern() {
        for good in ["a", "A-b_c.9", "0", &"x".repeat(64)] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "_a", "a b", "a/b", "ä", "a\n", &"x".repeat(65)] {
            let error = bad.parse::<Name>().unwrap_err().to_string();
            assert!(error.contains(NAME_PATTERN), "{error}");
        }
    }

    #[test]
    fn ids_are_random_and_read_back() {
        let id = WorkspaceId::random().unwrap();
        assert_ne!(id, WorkspaceId::random().unwrap());
        assert_eq!(WorkspaceId::try_from(id.to_string()).unwrap(), id);
        for bad in ["", "ws_", "ws_0123456789ag", "../../etc", "ws_0123456789AB"] {
            assert!(WorkspaceId::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
