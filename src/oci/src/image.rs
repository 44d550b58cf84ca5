//! What an installed image is.

use crate::{Digest, Reference};
use oci_spec::image::ImageConfiguration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An image in the store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Image {
    /// Its name.
    pub reference: Reference,
    /// Digest of the store's own manifest, which lists plain tars.
    pub manifest: Digest,
    /// Digest of the config: docker's image ID.
    pub config_digest: Digest,
    /// The layers, lowest first.
    pub layers: Vec<Layer>,
    /// How its programs want to be run.
    pub config: RunConfig,
    /// What it runs on.
    pub platform: Platform,
    /// When it was built, as RFC 3339, if it says so.
    pub created: Option<String>,
    /// Where it came from, if a registry or archive gave it in another form.
    pub source: Option<Source>,
}

impl Image {
    /// The digests of the layers' tars, lowest first.
    pub fn diff_ids(&self) -> Vec<Digest> {
        self.layers.iter().map(|layer| layer.diff_id).collect()
    }

    /// Bytes of all layers, uncompressed.
    pub fn size(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum()
    }
}

/// A layer of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Digest of the uncompressed tar: the blob's name in the store.
    pub diff_id: Digest,
    /// Bytes of the uncompressed tar.
    pub size: u64,
}

/// The documents from which an image was made; they are kept as blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Digest of the manifest with compressed layers.
    pub manifest: Digest,
    /// Digest of the index that led to it.
    pub index: Option<Digest>,
}

/// An image as `env list` shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ImageSummary {
    /// Its name.
    pub reference: Reference,
    /// Digest of the store's own manifest.
    pub manifest: Digest,
    /// Digest of the config: docker's image ID.
    pub config_digest: Digest,
    /// When it was built, as RFC 3339, if it says so.
    pub created: Option<String>,
    /// Number of layers.
    pub layers: usize,
    /// Bytes of all layers, uncompressed.
    pub size: u64,
    /// Disk space of the layers that no other image has.
    pub unique_disk: u64,
    /// Disk space of the layers that other images have too.
    pub shared_disk: u64,
}

/// An operating system and a processor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`.
    pub architecture: String,
    /// The processor's level, such as `v3`.
    pub variant: Option<String>,
}

/// What an image says about running its programs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunConfig {
    /// `NAME=value` pairs.
    pub env: Vec<String>,
    /// Words before the command.
    pub entrypoint: Vec<String>,
    /// The command, or the entry point's default arguments.
    pub cmd: Vec<String>,
    /// `user`, `uid`, `user:group` or `uid:gid`; empty means root.
    pub user: String,
    /// The directory to start in; empty means `/`.
    pub working_dir: String,
    /// `port/protocol` words.
    pub exposed_ports: Vec<String>,
    /// The signal that asks the program to end.
    pub stop_signal: Option<String>,
    /// Free-form labels.
    pub labels: BTreeMap<String, String>,
}

impl RunConfig {
    pub(crate) fn of(config: &ImageConfiguration) -> Self {
        let Some(config) = config.config() else { return Self::default() };
        let mut exposed_ports = config.exposed_ports().clone().unwrap_or_default();
        exposed_ports.sort();
        Self {
            env: config.env().clone().unwrap_or_default(),
            entrypoint: config.entrypoint().clone().unwrap_or_default(),
            cmd: config.cmd().clone().unwrap_or_default(),
            user: config.user().clone().unwrap_or_default(),
            working_dir: config.working_dir().clone().unwrap_or_default(),
            exposed_ports,
            stop_signal: config.stop_signal().clone(),
            labels: config.labels().clone().unwrap_or_default().into_iter().collect(),
        }
    }
}
