//! OCI image layouts, made by hand: what the registry is filled with.

use super::tarball::sample;
use flate2::write::GzEncoder;
use pyro_oci::Digest;
use serde_json::{Value, json};
use std::{fs, io::Write as _, path::PathBuf};
use tempfile::TempDir;

pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// How layers are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    Plain,
    Gzip,
    /// Two gzip members, one after the other.
    GzipMembers,
    Zstd,
}

impl Packing {
    pub fn pack(self, tar: &[u8]) -> Vec<u8> {
        let gzip = |bytes: &[u8]| {
            let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        match self {
            Self::Plain => tar.to_vec(),
            Self::Gzip => gzip(tar),
            Self::GzipMembers => [gzip(&tar[..700]), gzip(&tar[700..])].concat(),
            Self::Zstd => zstd::encode_all(tar, 1).unwrap(),
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::Plain => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip | Self::GzipMembers => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }
}

/// An image that was made.
#[derive(Clone, Debug)]
pub struct Made {
    pub manifest: Value,
    /// Descriptor of the manifest.
    pub descriptor: Value,
    pub config: Digest,
    pub diff_ids: Vec<Digest>,
    /// Digests and sizes of the layers as they are packed.
    pub blobs: Vec<(Digest, u64)>,
}

/// A layout on disk.
pub struct Layout {
    directory: TempDir,
    entries: Vec<Value>,
}

impl Layout {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("blobs/sha256")).unwrap();
        fs::write(directory.path().join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let mut layout = Self { directory, entries: Vec::new() };
        layout.save();
        layout
    }

    /// A layout with one image, tagged `latest`.
    pub fn of(layers: &[Vec<u8>], packing: Packing) -> (Self, Made) {
        let mut layout = Self::new();
        let made = layout.image(layers, packing);
        layout.tag("latest", &made.descriptor);
        (layout, made)
    }

    /// The sample image, tagged `latest`.
    pub fn sample(packing: Packing) -> (Self, Made) {
        Self::of(&sample(), packing)
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.directory.path().join("blobs/sha256").join(digest.hex())
    }

    /// Stores bytes and describes them.
    pub fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes);
        fs::write(self.blob_path(&digest), bytes).unwrap();
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    }

    pub fn image(&self, layers: &[Vec<u8>], packing: Packing) -> Made {
        self.image_for("amd64", layers, packing)
    }

    pub fn image_for(&self, architecture: &str, layers: &[Vec<u8>], packing: Packing) -> Made {
        let diff_ids: Vec<Digest> = layers.iter().map(|tar| Digest::of(tar)).collect();
        let packed: Vec<Vec<u8>> = layers.iter().map(|tar| packing.pack(tar)).collect();
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "created": "2026-01-02T03:04:05Z",
            "config": { "Env": ["PATH=/bin", "LANG=C"], "Cmd": ["sh"], "WorkingDir": "/srv", "User": "1000:50" },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = self.blob(OCI_CONFIG, config.to_string().as_bytes());
        let layers = packed.iter().map(|bytes| self.blob(packing.media_type(), bytes)).collect::<Vec<_>>();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers,
        });
        Made {
            descriptor: self.blob(OCI_MANIFEST, manifest.to_string().as_bytes()),
            config: config["digest"].as_str().unwrap().parse().unwrap(),
            manifest,
            diff_ids,
            blobs: packed.iter().map(|bytes| (Digest::of(bytes), bytes.len() as u64)).collect(),
        }
    }

    /// An index over images, described.
    pub fn index(&self, entries: &[(&Made, &str, &str)]) -> Value {
        let entries = entries.iter().map(|(made, os, architecture)| {
            let mut entry = made.descriptor.clone();
            entry["platform"] = json!({ "os": os, "architecture": architecture });
            entry
        });
        let index = json!({
            "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries.collect::<Vec<_>>(),
        });
        self.blob(OCI_INDEX, index.to_string().as_bytes())
    }

    /// Gives something a name in `index.json`.
    pub fn tag(&mut self, name: &str, descriptor: &Value) {
        let mut entry = descriptor.clone();
        entry["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
        self.entries.push(entry);
        self.save();
    }

    fn save(&mut self) {
        let index = json!({ "schemaVersion": 2, "manifests": self.entries });
        fs::write(self.directory.path().join("index.json"), index.to_string()).unwrap();
    }
}
