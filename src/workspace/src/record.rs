//! The record of a workspace: `workspace.json`, versioned, replaced by rename alone.

use crate::id::WorkspaceId;
use jiff::Timestamp;
use pyro_oci::Digest;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The version that this program writes. A newer one is refused, never rewritten.
pub const VERSION: u32 = 1;

/// Name of the file in the directory of the workspace.
pub(crate) const FILE: &str = "workspace.json";
const FRESH: &str = "workspace.json.new";

/// What kind of machine runs a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecutionMode {
    /// A KVM microVM; the agent is reached over vsock.
    GuestVsock,
    /// Namespaces of the host's kernel.
    HostCompat,
}

impl ExecutionMode {
    /// The name that results carry.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GuestVsock => "guest_vsock",
            Self::HostCompat => "host_compat",
        }
    }
}

/// What a workspace may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Virtual processors.
    pub vcpu_count: u8,
    /// Memory, in MiB.
    pub mem_mib: u32,
    /// Writable disk, in MiB.
    pub disk_mib: u32,
}

/// What is known of a workspace while nothing of it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`VERSION`] of the program that wrote it.
    pub version: u32,
    /// Its identity; also the name of its directory.
    pub id: WorkspaceId,
    /// The environment, as a canonical reference.
    pub environment: String,
    /// The image's manifest in the store.
    pub manifest: Digest,
    /// The image's layers, lowest first: what must stay in the store.
    pub diff_ids: Vec<Digest>,
    /// Layers on top of the image, lowest first: a seed, snapshots. They must stay in the store too.
    #[serde(default)]
    pub delta: Vec<Digest>,
    /// How it runs.
    pub execution_mode: ExecutionMode,
    /// What it may use.
    pub resources: Resources,
    /// Whether it goes with the process that made it.
    pub ephemeral: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// After this many seconds without activity it is deleted.
    pub ttl_seconds: u64,
}

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not a record.
    #[error("{} is not a workspace record: {source}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A newer pyro wrote it.
    #[error("{} has version {found}; this pyro knows up to {VERSION}", path.display())]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
}

/// Only the version, which every version of the record has.
#[derive(Deserialize)]
struct Header {
    version: u32,
}

impl Record {
    /// Reads the record in `directory`.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn load(directory: &Path) -> Result<Self, RecordError> {
        let path = directory.join(FILE);
        let text = fs::read(&path).map_err(|source| RecordError::Io { path: path.clone(), source })?;
        let malformed = |source| RecordError::Malformed { path: path.clone(), source };
        let header: Header = serde_json::from_slice(&text).map_err(malformed)?;
        if header.version > VERSION {
            return Err(RecordError::Newer { path, found: header.version });
        }
        serde_json::from_slice(&text).map_err(malformed)
    }

    /// Replaces the record in `directory`: it is the old one or the new one, whatever happens.
    ///
    /// # Errors
    /// [`RecordError::Io`].
    pub fn save(&self, directory: &Path) -> Result<(), RecordError> {
        let path = directory.join(FILE);
        let fresh = directory.join(FRESH);
        let text = serde_json::to_vec_pretty(self).expect("a record has only plain fields");
        let write = || -> io::Result<()> {
            let mut file = File::create(&fresh)?;
            file.write_all(&text)?;
            // A workspace that goes with its process need not survive a power cut.
            if !self.ephemeral {
                file.sync_all()?;
            }
            fs::rename(&fresh, &path)
        };
        write().map_err(|source| RecordError::Io { path: path.clone(), source })
    }
}
