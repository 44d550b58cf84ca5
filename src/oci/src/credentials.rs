//! Who we are to a registry: docker's configuration, its credential helpers, podman's.

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential, get_podman_credential};
use oci_distribution::secrets::RegistryAuth;
use std::{
    env,
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

/// Why the configured credentials of a registry cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file, its content or a helper program failed.
    #[error("credentials for {registry} cannot be read: {why}")]
    Unreadable {
        /// The registry.
        registry: String,
        /// What failed.
        why: String,
    },
    /// A login of a kind that is not supported.
    #[error(
        "the credential for {0} is an identity token; only user names with passwords or access tokens work"
    )]
    IdentityToken(String),
}

/// Docker's key for its own registry.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// Finds the credential for a registry. Helpers are programs: this blocks.
pub(crate) fn find(registry: &str, file: Option<&Path>) -> Result<RegistryAuth, CredentialError> {
    let key = if registry == crate::DOCKER_HUB { HUB_KEY } else { registry };
    let found = match file {
        Some(path) => match File::open(path) {
            Ok(file) => docker_credential::get_credential_from_reader(BufReader::new(file), key),
            Err(error) => {
                let why = format!("{}: {error}", path.display());
                return Err(CredentialError::Unreadable { registry: registry.into(), why });
            }
        },
        None => match get_credential(key) {
            // One error for a file that is missing and for one that is broken: only the latter is told.
            Err(CredentialRetrievalError::ConfigReadError)
                if !docker_file().is_some_and(|it| it.exists()) =>
            {
                podman(registry)
            }
            Err(error) if means_none(&error) => podman(registry),
            found => found,
        },
    };
    match found {
        Ok(DockerCredential::UsernamePassword(user, password)) => Ok(RegistryAuth::Basic(user, password)),
        Ok(DockerCredential::IdentityToken(_)) => Err(CredentialError::IdentityToken(registry.into())),
        Err(error) if means_none(&error) => Ok(RegistryAuth::Anonymous),
        Err(error) => {
            // A helper's output can hold what it should not have printed: only its name is told.
            let why = match error {
                CredentialRetrievalError::HelperFailure { helper, .. } => format!("{helper} failed"),
                other => other.to_string(),
            };
            Err(CredentialError::Unreadable { registry: registry.into(), why })
        }
    }
}

/// Podman's file, which hardly anyone has.
fn podman(registry: &str) -> Result<DockerCredential, CredentialRetrievalError> {
    get_podman_credential(registry).map_err(|error| match error {
        CredentialRetrievalError::ConfigReadError => CredentialRetrievalError::NoCredentialConfigured,
        error => error,
    })
}

/// Where [`get_credential`] looks.
fn docker_file() -> Option<PathBuf> {
    let directory = env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    directory.or_else(|| env::home_dir().map(|home| home.join(".docker"))).map(|it| it.join("config.json"))
}

fn means_none(error: &CredentialRetrievalError) -> bool {
    match error {
        CredentialRetrievalError::ConfigNotFound | CredentialRetrievalError::NoCredentialConfigured => true,
        // What all of docker's helpers say, with status 1, when they hold nothing for a registry.
        CredentialRetrievalError::HelperFailure { stdout, .. } => stdout.contains("credentials not found"),
        _ => false,
    }
}
