//! OCI images: references, registries, the local store.

mod compression;
mod digest;
mod disk;
mod files;
mod image;
mod ingest;
mod manifest;
mod progress;
mod reference;
mod settings;
mod store;

pub use digest::{Digest, DigestError};
pub use disk::{DiskError, ImageDisk};
pub use files::FileError;
pub use image::{Image, ImageSummary, Layer, Platform, RunConfig, Source};
pub use ingest::LayerError;
pub use manifest::{DOCUMENT_MAX, LAYER_MAX, LAYERS_MAX, ManifestError};
pub use progress::{Event, Progress, Silent};
pub use reference::{DOCKER_HUB, LOCAL, Reference, ReferenceError};
pub use settings::RegistryConfig;
pub use store::{InUse, Store, StoreError};
