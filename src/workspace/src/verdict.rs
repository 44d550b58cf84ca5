//! What was learnt about this host: that no microVM boots on it.
//!
//! Learnt by trying, kept in the cache so that commands which may go on without a microVM do not
//! try again each time. It holds until the host reboots, its KVM device changes, or `pyro doctor`
//! finds that a guest boots after all.

use crate::home::Home;
use serde::{Deserialize, Serialize};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

const FILE: &str = "no-microvm.json";

/// Why no microVM boots here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    reason: String,
    host: String,
}

impl Verdict {
    /// A new verdict about this host.
    #[must_use]
    pub fn no_microvm(reason: String) -> Self {
        Self { reason, host: host() }
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The verdict that holds for this host, if there is one.
    #[must_use]
    pub fn load(home: &Home) -> Option<Self> {
        let text = fs::read(path(home)).ok()?;
        serde_json::from_slice(&text).ok().filter(|verdict: &Self| verdict.host == host())
    }

    /// Keeps it. Not being able to only costs the next command its time.
    pub fn save(&self, home: &Home) {
        let text = serde_json::to_vec(self).expect("a verdict has only plain fields");
        if let Err(error) = fs::write(path(home), text) {
            tracing::warn!(%error, "cannot keep what was learnt about this host");
        }
    }

    /// Forgets what was learnt.
    pub fn forget(home: &Home) {
        let _ = fs::remove_file(path(home));
    }
}

fn path(home: &Home) -> PathBuf {
    home.cache().join(FILE)
}

/// This boot of this host, with its KVM device.
fn host() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let kvm = fs::metadata("/dev/kvm").map(|data| (data.rdev(), data.mode(), data.uid(), data.gid()));
    format!("{} {kvm:?}", boot.trim())
}
