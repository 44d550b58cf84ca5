//! Environments: the official ones by their short names, and every other image by its reference.

use pyro_oci::{Reference, ReferenceError};
use serde::Deserialize;
use std::fmt;
use std::sync::LazyLock;

/// The official environments, which are data: `images/catalog.toml`.
const CATALOG: &str = include_str!("../../../images/catalog.toml");

/// The repository, in the local registry, under which official environments are installed. An image
/// of the same short name from a public registry is another image, and can be installed beside it.
const LOCAL_REPOSITORY: &str = "environments/";

/// The environment where nothing names one.
pub const DEFAULT_ENVIRONMENT: &str = "debian:12";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Catalog {
    environment: Vec<Official>,
}

/// An official environment.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Official {
    /// Short name, such as `debian:12`.
    pub name: String,
    /// What is in it: a few words.
    pub description: String,
    /// The public image that it is pulled from.
    pub reference: Reference,
    /// Debian packages that make the same, for `images/build.sh`.
    #[serde(rename = "packages")]
    _packages: Vec<String>,
}

/// The catalog, in its order.
pub fn official() -> &'static [Official] {
    static PARSED: LazyLock<Catalog> =
        LazyLock::new(|| toml::from_str(CATALOG).expect("the embedded catalog was tested"));
    &PARSED.environment
}

/// An environment as a user named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    name: String,
    source: Reference,
    local: Reference,
    official: bool,
}

impl Environment {
    /// An official environment if `name` is the short name of one, else an image reference.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(name: &str) -> Result<Self, ReferenceError> {
        if let Some(official) = official().iter().find(|official| official.name == name) {
            return official.environment();
        }
        let reference: Reference = name.parse()?;
        Ok(Self { name: name.into(), source: reference.clone(), local: reference, official: false })
    }

    /// The reference that it is pulled from.
    pub const fn source(&self) -> &Reference {
        &self.source
    }

    /// The reference that it is installed under.
    pub const fn local(&self) -> &Reference {
        &self.local
    }

    /// Whether it is in the catalog.
    pub const fn is_official(&self) -> bool {
        self.official
    }
}

impl Official {
    /// The environment of this entry.
    ///
    /// # Errors
    /// When the name is no repository and tag.
    pub fn environment(&self) -> Result<Environment, ReferenceError> {
        let (repository, tag) = self.name.split_once(':').unwrap_or((&self.name, "latest"));
        let local = Reference::local(&format!("{LOCAL_REPOSITORY}{repository}"), tag)?;
        Ok(Environment { name: self.name.clone(), source: self.reference.clone(), local, official: true })
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.name)
    }
}

/// The name that users know the image installed under `reference` by.
pub fn display_name(reference: &Reference) -> String {
    let known =
        official().iter().find(|entry| entry.environment().is_ok_and(|known| known.local == *reference));
    known.map_or_else(|| reference.to_string(), |entry| entry.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn official_names_lead_to_public_images_and_are_installed_apart() {
        for name in ["debian:12", "debian:12-base", "debian:12-build"] {
            let environment = Environment::parse(name).unwrap();
            assert!(environment.is_official(), "{name}");
            assert_eq!(environment.source().registry(), "docker.io");
            assert_eq!(environment.local().registry(), pyro_oci::LOCAL);
            assert_eq!(display_name(environment.local()), name);
        }
    }

    #[test]
    fn every_other_name_is_a_reference() {
        let environment = Environment::parse("python:3.12").unwrap();
        assert_eq!(environment.source().to_string(), "docker.io/library/python:3.12");
        assert_eq!(environment.source(), environment.local());
        assert!(Environment::parse("Not A Name").is_err());
    }
}
