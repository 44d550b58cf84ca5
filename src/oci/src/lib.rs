//! OCI images: references, registries, the local store.

mod archive;
mod compression;
mod credentials;
mod digest;
mod disk;
mod files;
mod image;
mod import;
mod ingest;
mod manifest;
mod parallel;
mod progress;
mod pull;
mod reference;
mod registry;
mod settings;
mod store;
mod unpack;

pub use credentials::CredentialError;
pub use digest::{Digest, DigestError};
pub use disk::{DiskError, ImageDisk};
pub use files::FileError;
pub use image::{Image, ImageSummary, Layer, Platform, RunConfig, Source};
pub use import::{ImportError, import};
pub use ingest::LayerError;
pub use manifest::{DOCUMENT_MAX, LAYER_MAX, LAYERS_MAX, ManifestError};
pub use progress::{Event, Progress, Silent};
pub use pull::{PullError, pull};
pub use reference::{DOCKER_HUB, LOCAL, Reference, ReferenceError};
pub use registry::RegistryError;
pub use settings::RegistryConfig;
pub use store::{InUse, Store, StoreError};
pub use unpack::UnpackError;
