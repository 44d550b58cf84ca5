//! The record of a workspace: `workspace.json`, versioned, replaced by rename alone.

use crate::failpoint;
use crate::full::is_full;
use crate::id::{Name, WorkspaceId};
use crate::seed::SeedFacts;
use jiff::Timestamp;
use pyro_oci::{Digest, Reference};
use rustix::fs::{FallocateFlags, fallocate};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The version that this program writes. A newer one is refused, never rewritten.
pub const VERSION: u32 = 2;

/// Name of the file in the directory of the workspace.
pub(crate) const FILE: &str = "workspace.json";
const FRESH: &str = "workspace.json.new";

/// Holds room on the disk for a record to come, so that a workspace can be stopped when the disk is full.
const RESERVE: &str = "reserve";
const RESERVED: u64 = 8 << 10;

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

/// What a machine can reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkPolicy {
    /// Nothing: it has no interface.
    #[default]
    Off,
}

/// A state of a workspace that was kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRecord {
    /// What its maker called it.
    pub name: Name,
    /// When it was made.
    pub created_at: Timestamp,
    /// The image that it is in the store.
    pub manifest: Digest,
    /// Its layers above the workspace's image, lowest first.
    pub layers: Vec<Digest>,
    /// Bytes that it added.
    pub bytes: u64,
}

/// What the process that answers for a workspace last said of its machine. What it says of a running
/// one is true only as long as that process lives: see [`crate::Workspace::condition`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum State {
    /// It was never started: a workspace that is being made.
    Creating,
    /// It runs.
    Started {
        /// The build of its agent and supervisor: another one does not know their words.
        build: String,
    },
    /// It was ended in an orderly way.
    Stopped,
    /// It ended by itself.
    Crashed {
        /// How.
        reason: String,
    },
}

impl State {
    /// The name that results carry.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Started { .. } => "started",
            Self::Stopped => "stopped",
            Self::Crashed { .. } => "crashed",
        }
    }

    /// Why it is so, if that is not plain.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Crashed { reason } => Some(reason),
            Self::Creating | Self::Started { .. } | Self::Stopped => None,
        }
    }
}

/// What is known of a workspace while nothing of it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`VERSION`] of the program that wrote it.
    pub version: u32,
    /// Its identity; also the name of its directory.
    pub id: WorkspaceId,
    /// What its user calls it; no two workspaces have the same.
    pub name: Option<Name>,
    /// What its user wants to remember of it.
    pub labels: BTreeMap<Name, String>,
    /// The environment, as a canonical reference.
    pub environment: Reference,
    /// The image's manifest in the store.
    pub manifest: Digest,
    /// The image's layers, lowest first: what must stay in the store.
    pub diff_ids: Vec<Digest>,
    /// Where its files came from, if it was not empty.
    pub seed: Option<SeedFacts>,
    /// The layers above the image that it was created with, lowest first.
    pub baseline: Vec<Digest>,
    /// What the writable layer stands on above the image, lowest first: the seed, then snapshots.
    pub layers: Vec<Digest>,
    /// Layers made of the present writable layer by snapshots, in order.
    pub committed: Vec<Digest>,
    /// Its states that were kept, oldest first.
    pub snapshots: Vec<SnapshotRecord>,
    /// How it runs.
    pub execution_mode: ExecutionMode,
    /// What it may use.
    pub resources: Resources,
    /// What it can reach.
    pub network_policy: NetworkPolicy,
    /// Whether it goes with the process that made it.
    pub ephemeral: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// After this many seconds without activity it is deleted.
    pub ttl_seconds: u64,
    /// The live one of the directories in `gen/`: one rename of the record switches the writable
    /// layer, the history of commands and the layers below together.
    pub generation: u32,
    /// Of its machine.
    pub state: State,
}

impl Record {
    /// Everything that must stay in the store for it.
    pub fn needs(&self) -> impl Iterator<Item = Digest> + '_ {
        let snapshots = self
            .snapshots
            .iter()
            .flat_map(|it| std::iter::once(it.manifest).chain(it.layers.iter().copied()));
        std::iter::once(self.manifest)
            .chain(self.diff_ids.iter().copied())
            .chain(self.seed.iter().map(|seed| seed.layer))
            .chain(self.baseline.iter().copied())
            .chain(self.layers.iter().copied())
            .chain(self.committed.iter().copied())
            .chain(snapshots)
    }
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

    /// Replaces the record in `directory`: it is the old one or the new one, whatever happens. The
    /// caller holds the record's lock, or is the only one who knows the directory.
    ///
    /// # Errors
    /// [`RecordError::Io`].
    pub(crate) fn save(&self, directory: &Path) -> Result<(), RecordError> {
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
            failpoint::pass("record.written");
            fs::rename(&fresh, &path)?;
            failpoint::pass("record.renamed");
            Ok(())
        };
        let written = match write() {
            Err(error) if is_full(&error) && fs::remove_file(directory.join(RESERVE)).is_ok() => write(),
            written => written,
        };
        written.map_err(|source| RecordError::Io { path: path.clone(), source })?;
        if !self.ephemeral {
            reserve(directory);
        }
        Ok(())
    }
}

/// Puts room aside, if that is not done already. Where there is none, the record's next version finds it or not.
fn reserve(directory: &Path) {
    let path = directory.join(RESERVE);
    let Ok(file) = File::create_new(&path) else { return };
    if fallocate(&file, FallocateFlags::empty(), 0, RESERVED).is_err() {
        let _ = fs::remove_file(&path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::{OriginKind, SeedMode};

    fn record() -> Record {
        let digest = |byte| Digest::of(&[byte]);
        Record {
            version: VERSION,
            id: WorkspaceId::random().unwrap(),
            name: Some("name".parse().unwrap()),
            labels: BTreeMap::from([("k".parse().unwrap(), "v".into())]),
            environment: "pyro.local/x:1".parse().unwrap(),
            manifest: digest(0),
            diff_ids: vec![digest(1)],
            seed: Some(SeedFacts {
                mode: SeedMode::Checkout,
                origin_kind: OriginKind::SeedPath,
                origin_ref: "r".into(),
                entries: 1,
                bytes: 2,
                layer: digest(2),
            }),
            baseline: vec![digest(7)],
            layers: vec![digest(2), digest(3)],
            committed: vec![digest(4)],
            snapshots: vec![SnapshotRecord {
                name: "s".parse().unwrap(),
                created_at: Timestamp::UNIX_EPOCH,
                manifest: digest(5),
                layers: vec![digest(6)],
                bytes: 3,
            }],
            execution_mode: ExecutionMode::GuestVsock,
            resources: Resources { vcpu_count: 1, mem_mib: 2, disk_mib: 3 },
            network_policy: NetworkPolicy::Off,
            ephemeral: false,
            created_at: Timestamp::UNIX_EPOCH,
            ttl_seconds: 4,
            generation: 5,
            state: State::Crashed { reason: "why".into() },
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_saved() {
        let directory = tempfile::tempdir().unwrap();
        record().save(directory.path()).unwrap();
        let mut changed = record();
        for state in [State::Creating, State::Started { build: "b".into() }, State::Stopped] {
            changed.state = state;
            changed.save(directory.path()).unwrap();
            assert_eq!(Record::load(directory.path()).unwrap(), changed);
        }
    }

    #[test]
    fn everything_that_it_refers_to_is_needed() {
        let needed: Vec<Digest> = record().needs().collect();
        for byte in 0..8 {
            assert!(needed.contains(&Digest::of(&[byte])), "{byte}");
        }
    }

    #[test]
    fn a_newer_record_is_refused_and_a_torn_one_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        fs::write(&path, format!("{{\"version\": {}, \"new\": true}}", VERSION + 1)).unwrap();
        assert!(matches!(Record::load(directory.path()), Err(RecordError::Newer { .. })));
        fs::write(&path, "{\"version\": 2, ").unwrap();
        let error = Record::load(directory.path()).unwrap_err().to_string();
        assert!(error.contains("workspace.json is not a workspace record"), "{error}");
    }
}
