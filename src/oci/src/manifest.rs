//! The documents of an image: index, manifest and config, docker's and OCI's, checked before use.
//!
//! They come from registries and archives: every size, count and media type is a claim.

use crate::{Digest, DigestError, Platform, RunConfig};
use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest};
use serde::Deserialize;

/// Largest manifest, index or config. Registries refuse larger ones too.
pub const DOCUMENT_MAX: u64 = 4 << 20;

/// Most layers of one image. Docker stops at 127; each one costs us a file in the disk's descriptor.
pub const LAYERS_MAX: usize = 500;

/// Largest compressed layer: what the uncompressed one may have at most.
pub const LAYER_MAX: u64 = 64 << 30;

/// Media types of manifests and indexes that are understood, most wanted first.
pub(crate) const ACCEPTED: [&str; 4] =
    [OCI_INDEX, "application/vnd.docker.distribution.manifest.list.v2+json", OCI_MANIFEST, DOCKER_MANIFEST];

pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// Layers that are tars. How one is compressed is read from its first bytes, since registries err.
const LAYERS: [&str; 6] = [
    OCI_LAYER,
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
];

/// Why a document is not one of an image that can be used here.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not the JSON that it should be.
    #[error("the {0} is malformed: {1}")]
    Malformed(&'static str, String),
    /// Over [`DOCUMENT_MAX`].
    #[error("the {0} is {1} bytes long, more than the {DOCUMENT_MAX} allowed")]
    TooLarge(&'static str, u64),
    /// Docker's format of before 2016.
    #[error("the manifest has schema version {0}; only version 2 is supported")]
    Schema(u64),
    /// Neither an image nor an index of images.
    #[error("{0:?} is not a media type of container images")]
    MediaType(String),
    /// The layer is not a tar.
    #[error("layer {0} has the unknown media type {1:?}")]
    LayerType(usize, String),
    /// The layer lies elsewhere.
    #[error("layer {0} is not in the registry but at {1:?}; such foreign layers are not fetched")]
    Foreign(usize, String),
    /// Over [`LAYERS_MAX`].
    #[error("the image has {0} layers, more than the {LAYERS_MAX} allowed")]
    Layers(usize),
    /// Over [`LAYER_MAX`].
    #[error("layer {0} claims {1} bytes, more than the {LAYER_MAX} allowed")]
    LayerSize(usize, u64),
    /// Manifest and config contradict each other.
    #[error("the manifest lists {layers} layers, the config {diff_ids}")]
    Count {
        /// Layers in the manifest.
        layers: usize,
        /// Layers in the config.
        diff_ids: usize,
    },
    /// A digest is malformed.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// For another operating system or processor.
    #[error("the image is for {os}/{architecture}; only linux/amd64 runs here")]
    Platform {
        /// Its operating system.
        os: String,
        /// Its processor.
        architecture: String,
    },
    /// The index has no entry for us.
    #[error("no linux/amd64 image among: {}", if .0.is_empty() { "nothing" } else { .0 })]
    NoPlatform(String),
}

/// A blob that a document refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blob {
    pub digest: Digest,
    pub size: u64,
}

/// A manifest that can be used here.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub config: Blob,
    pub layers: Vec<Blob>,
}

/// An index, reduced to what can be chosen from.
#[derive(Debug)]
pub(crate) struct Index {
    pub entries: Vec<Descriptor>,
}

#[derive(Debug)]
pub(crate) enum Document {
    Manifest(Manifest),
    Index(Index),
}

/// Reads a manifest or index.
pub(crate) fn parse(bytes: &[u8]) -> Result<Document, ManifestError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Head {
        schema_version: u64,
        media_type: Option<String>,
        manifests: Option<serde::de::IgnoredAny>,
    }
    within("manifest", bytes.len() as u64)?;
    let malformed = |error: serde_json::Error| ManifestError::Malformed("manifest", error.to_string());
    let head: Head = serde_json::from_slice(bytes).map_err(malformed)?;
    if head.schema_version != 2 {
        return Err(ManifestError::Schema(head.schema_version));
    }
    if let Some(other) = head.media_type.filter(|media| !ACCEPTED.contains(&media.as_str())) {
        return Err(ManifestError::MediaType(other));
    }
    if head.manifests.is_some() {
        let index: ImageIndex = serde_json::from_slice(bytes).map_err(malformed)?;
        return Ok(Document::Index(Index { entries: index.manifests().clone() }));
    }
    let manifest: ImageManifest = serde_json::from_slice(bytes).map_err(malformed)?;
    check(&manifest).map(Document::Manifest)
}

fn check(manifest: &ImageManifest) -> Result<Manifest, ManifestError> {
    let config = manifest.config();
    let media = config.media_type().as_ref();
    if media != OCI_CONFIG && media != DOCKER_CONFIG {
        return Err(ManifestError::MediaType(media.to_owned()));
    }
    within("config", config.size())?;
    if manifest.layers().len() > LAYERS_MAX {
        return Err(ManifestError::Layers(manifest.layers().len()));
    }
    let layers = manifest.layers().iter().enumerate();
    let layers = layers.map(|(number, layer)| {
        let media = layer.media_type().as_ref();
        if let Some(url) = layer.urls().as_ref().and_then(|urls| urls.first()) {
            return Err(ManifestError::Foreign(number + 1, url.clone()));
        }
        if !LAYERS.contains(&media) {
            return Err(ManifestError::LayerType(number + 1, media.to_owned()));
        }
        if layer.size() > LAYER_MAX {
            return Err(ManifestError::LayerSize(number + 1, layer.size()));
        }
        blob(layer)
    });
    Ok(Manifest { config: blob(config)?, layers: layers.collect::<Result<_, _>>()? })
}

/// The part of a descriptor that names bytes.
pub(crate) fn blob(descriptor: &Descriptor) -> Result<Blob, ManifestError> {
    Ok(Blob { digest: descriptor.digest().to_string().parse()?, size: descriptor.size() })
}

fn within(what: &'static str, size: u64) -> Result<(), ManifestError> {
    if size > DOCUMENT_MAX { Err(ManifestError::TooLarge(what, size)) } else { Ok(()) }
}

impl Index {
    /// The entry for linux/amd64 with the lowest processor level, which every such processor runs.
    /// Attestations, which call themselves `unknown/unknown`, never match.
    pub fn choose(&self) -> Result<&Descriptor, ManifestError> {
        let ours = self.entries.iter().filter(|entry| {
            let platform = entry.platform().as_ref();
            platform.is_some_and(|platform| {
                is_ours(&platform.os().to_string(), &platform.architecture().to_string())
            })
        });
        // Without a variant means v1, and sorts first.
        let variant = |entry: &&Descriptor| entry.platform().as_ref().and_then(|it| it.variant().clone());
        if let Some(chosen) = ours.min_by_key(variant) {
            return Ok(chosen);
        }
        // An index made of one image need not say what that image is for; its config does.
        if let [only] = &self.entries[..]
            && only.platform().is_none()
        {
            return Ok(only);
        }
        let offered = self.entries.iter().filter_map(|entry| {
            let platform = entry.platform().as_ref()?;
            let name = format!("{}/{}", platform.os(), platform.architecture());
            (name != "unknown/unknown").then_some(name)
        });
        Err(ManifestError::NoPlatform(offered.collect::<Vec<_>>().join(", ")))
    }
}

fn is_ours(os: &str, architecture: &str) -> bool {
    os == "linux" && architecture == "amd64"
}

/// A config that can be used here.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub diff_ids: Vec<Digest>,
    pub run: RunConfig,
    pub platform: Platform,
    pub created: Option<String>,
}

/// Reads a config.
pub(crate) fn parse_config(bytes: &[u8]) -> Result<Config, ManifestError> {
    within("config", bytes.len() as u64)?;
    let config: ImageConfiguration = serde_json::from_slice(bytes)
        .map_err(|error| ManifestError::Malformed("config", error.to_string()))?;
    let (os, architecture) = (config.os().to_string(), config.architecture().to_string());
    if !is_ours(&os, &architecture) {
        return Err(ManifestError::Platform { os, architecture });
    }
    let diff_ids = config.rootfs().diff_ids();
    if diff_ids.len() > LAYERS_MAX {
        return Err(ManifestError::Layers(diff_ids.len()));
    }
    Ok(Config {
        diff_ids: diff_ids.iter().map(|text| text.parse()).collect::<Result<_, _>>()?,
        run: RunConfig::of(&config),
        platform: Platform { os, architecture, variant: config.variant().clone() },
        created: config.created().clone(),
    })
}

impl Config {
    /// Checks that a manifest lists as many layers.
    pub fn agrees_with(&self, manifest: &Manifest) -> Result<(), ManifestError> {
        let (layers, diff_ids) = (manifest.layers.len(), self.diff_ids.len());
        if layers == diff_ids { Ok(()) } else { Err(ManifestError::Count { layers, diff_ids }) }
    }
}

/// The store's own manifest: the same image, its layers as plain tars. A function of the config alone,
/// so that however an image was compressed, it is the same image here.
pub(crate) fn local(config: Blob, layers: &[crate::Layer]) -> Vec<u8> {
    let layers = layers.iter().map(
        |layer| serde_json::json!({ "mediaType": OCI_LAYER, "digest": layer.diff_id, "size": layer.size }),
    );
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": { "mediaType": OCI_CONFIG, "digest": config.digest, "size": config.size },
        "layers": layers.collect::<Vec<_>>(),
    });
    serde_json::to_vec(&manifest).expect("plain JSON values serialize")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn digest(of: &str) -> String {
        Digest::of(of.as_bytes()).to_string()
    }

    fn entry(os: &str, architecture: &str, variant: Option<&str>) -> Value {
        let name = format!("{os}{architecture}{}", variant.unwrap_or_default());
        let mut platform = json!({ "os": os, "architecture": architecture });
        if let Some(variant) = variant {
            platform["variant"] = variant.into();
        }
        json!({ "mediaType": OCI_MANIFEST, "digest": digest(&name), "size": 1, "platform": platform })
    }

    fn chosen(entries: Vec<Value>) -> Result<String, String> {
        let bytes = json!({ "schemaVersion": 2, "manifests": entries }).to_string();
        let Document::Index(index) = parse(bytes.as_bytes()).unwrap() else { panic!("not an index") };
        index.choose().map(|it| it.digest().to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_entry_for_this_platform_is_chosen() {
        let attestation = entry("unknown", "unknown", None);
        let plain = entry("linux", "amd64", None);
        let all = vec![
            entry("windows", "amd64", None),
            attestation.clone(),
            entry("linux", "amd64", Some("v3")),
            plain,
        ];
        assert_eq!(chosen(all).unwrap(), digest("linuxamd64"));
        assert_eq!(
            chosen(vec![entry("linux", "arm64", Some("v8")), attestation]).unwrap_err(),
            "no linux/amd64 image among: linux/arm64"
        );
        assert_eq!(chosen(vec![]).unwrap_err(), "no linux/amd64 image among: nothing");
    }

    fn manifest() -> Value {
        let config = json!({ "mediaType": OCI_CONFIG, "digest": digest("c"), "size": 2 });
        let layer = json!({ "mediaType": OCI_LAYER, "digest": digest("l"), "size": 3 });
        json!({ "schemaVersion": 2, "config": config, "layers": [layer] })
    }

    #[test]
    fn a_manifest_that_cannot_be_used_is_refused_with_the_reason() {
        let refused = |change: &dyn Fn(&mut Value), expected: &str| {
            let mut manifest = manifest();
            change(&mut manifest);
            let error = parse(manifest.to_string().as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        refused(&|it| it["schemaVersion"] = 1.into(), "schema version 1");
        refused(&|it| it["mediaType"] = "text/html".into(), "\"text/html\" is not a media type");
        refused(&|it| it["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json".into(), "helm");
        refused(&|it| it["layers"][0]["mediaType"] = "a/b+encrypted".into(), "layer 1 has the unknown");
        refused(&|it| it["layers"][0]["urls"] = json!(["https://x.example/l"]), "https://x.example/l");
        refused(&|it| it["layers"][0]["size"] = (1_u64 << 40).into(), "claims 1099511627776 bytes");
        refused(&|it| it["layers"][0]["digest"] = "sha256:../../x".into(), "malformed");
        refused(&|it| it["config"]["size"] = (1_u64 << 30).into(), "the config is 1073741824 bytes");
        refused(&|it| it["layers"] = Value::Array(vec![it["layers"][0].clone(); 501]), "501 layers");
        refused(&|it| it["layers"] = "x".into(), "malformed");
        assert!(parse(&vec![b' '; DOCUMENT_MAX as usize + 1]).unwrap_err().to_string().contains("more than"));
        assert!(matches!(parse(manifest().to_string().as_bytes()), Ok(Document::Manifest(_))));
    }

    #[test]
    fn a_config_may_have_dockers_nulls() {
        let config = json!({
            "architecture": "amd64", "os": "linux", "created": "2026-01-02T03:04:05Z",
            "config": { "Env": ["A=b"], "Cmd": null, "Entrypoint": null, "Volumes": null, "ExposedPorts": null,
                        "OnBuild": null, "Labels": null, "User": "", "WorkingDir": "/w", "Healthcheck": { "Test": [] } },
            "rootfs": { "type": "layers", "diff_ids": [digest("l")] },
        });
        let config = parse_config(config.to_string().as_bytes()).unwrap();
        assert_eq!(config.run.env, ["A=b"]);
        assert_eq!(config.run.working_dir, "/w");
        assert_eq!(config.diff_ids, [Digest::of(b"l")]);
    }

    #[test]
    fn a_config_for_another_platform_is_refused() {
        let config = |os: &str, architecture: &str| {
            let config = json!({ "architecture": architecture, "os": os, "rootfs": { "type": "layers", "diff_ids": [] } });
            parse_config(config.to_string().as_bytes()).unwrap_err().to_string()
        };
        assert_eq!(config("windows", "amd64"), "the image is for windows/amd64; only linux/amd64 runs here");
        assert_eq!(config("linux", "arm64"), "the image is for linux/arm64; only linux/amd64 runs here");
    }
}
