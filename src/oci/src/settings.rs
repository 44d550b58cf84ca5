//! How registries are reached: the `[registry]` table of `config.toml`.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// Settings for registries. Everything has a default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegistryConfig {
    /// For a registry (`docker.io`), the mirrors that are asked before it, in order: `host[:port][/prefix]`.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// Registries and mirrors (`host[:port]`) that are spoken to in plain HTTP.
    pub insecure: Vec<String>,
    /// Layers that are downloaded at once, 1 to 16.
    pub concurrency: usize,
    /// How often a failed request is made again. The count starts anew when bytes have arrived.
    pub retries: u32,
    /// Milliseconds before the first retry; each further one waits twice as long, up to a minute.
    pub retry_delay_ms: u64,
    /// Seconds to wait for a connection.
    pub connect_timeout_seconds: u64,
    /// Seconds to wait for the next bytes of an answer.
    pub read_timeout_seconds: u64,
    /// A docker `config.json` to take credentials from, instead of docker's and podman's usual files.
    pub credentials: Option<PathBuf>,
    /// PEM files of certificate authorities to trust besides the system's.
    pub certificates: Vec<PathBuf>,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            mirrors: BTreeMap::new(),
            insecure: Vec::new(),
            concurrency: 4,
            retries: 5,
            retry_delay_ms: 500,
            connect_timeout_seconds: 10,
            read_timeout_seconds: 60,
            credentials: None,
            certificates: Vec::new(),
        }
    }
}

/// Longest wait before a request is made again, also when a registry asks for more.
const DELAY_MAX: Duration = Duration::from_secs(60);

impl RegistryConfig {
    /// How long to wait before the `attempt`th retry, counted from 0.
    pub(crate) fn delay(&self, attempt: u32, asked: Option<Duration>) -> Duration {
        let ours = Duration::from_millis(self.retry_delay_ms.saturating_mul(1 << attempt.min(16)));
        asked.unwrap_or(ours).min(DELAY_MAX)
    }
}
