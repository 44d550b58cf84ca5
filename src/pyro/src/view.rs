//! How a workspace is shown.

use crate::catalog::display_name;
use crate::text::{bytes, table};
use jiff::{SignedDuration, Timestamp};
use pyro_workspace::{Overview, Record, SeedFacts, SeedMode};
use serde::Serialize;
use std::collections::BTreeMap;

/// A workspace that expires within this time is said to be so.
pub const SOON: SignedDuration = SignedDuration::from_secs(60);

/// A workspace, for `--json`.
#[derive(Serialize)]
pub struct View {
    id: String,
    name: Option<String>,
    labels: BTreeMap<String, String>,
    state: &'static str,
    reason: Option<String>,
    environment: String,
    execution_mode: &'static str,
    network_policy: &'static str,
    vcpu_count: u8,
    mem_mib: u32,
    disk_mib: u32,
    created_at: Timestamp,
    last_activity: Timestamp,
    ttl_seconds: u64,
    expires_at: Timestamp,
    workspace_seed: Seed,
    snapshots: Vec<String>,
}

/// What the files of a workspace came from.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Seed {
    /// Files of the host, or of a repository.
    Facts(SeedFacts),
    /// Nothing.
    Empty(Empty),
}

impl Seed {
    /// Of a workspace.
    pub fn of(record: &Record) -> Self {
        record.seed.clone().map_or_else(|| Self::Empty(Empty::default()), Self::Facts)
    }
}

/// No seed, in the same words.
#[derive(Serialize)]
pub struct Empty {
    mode: &'static str,
    origin_kind: &'static str,
    origin_ref: Option<String>,
    entries: u64,
    bytes: u64,
    layer: Option<String>,
}

impl Default for Empty {
    fn default() -> Self {
        Self { mode: "empty", origin_kind: "none", origin_ref: None, entries: 0, bytes: 0, layer: None }
    }
}

impl View {
    /// Of a workspace.
    pub fn of(overview: &Overview) -> Self {
        let record = &overview.record;
        let labels = record.labels.iter().map(|(key, value)| (key.to_string(), value.clone()));
        Self {
            id: record.id.to_string(),
            name: record.name.as_ref().map(ToString::to_string),
            labels: labels.collect(),
            state: record.state.as_str(),
            reason: record.state.reason().map(str::to_owned),
            environment: display_name(&record.environment),
            execution_mode: record.execution_mode.as_str(),
            network_policy: "off",
            vcpu_count: record.resources.vcpu_count,
            mem_mib: record.resources.mem_mib,
            disk_mib: record.resources.disk_mib,
            created_at: record.created_at,
            last_activity: overview.last_activity,
            ttl_seconds: record.ttl_seconds,
            expires_at: overview.expires_at,
            workspace_seed: Seed::of(record),
            snapshots: record.snapshots.iter().map(|snapshot| snapshot.name.to_string()).collect(),
        }
    }

    /// All of it, one fact a line.
    pub fn text(&self) -> String {
        let mut lines = vec![("id", self.id.clone())];
        let mut add = |key, value: String| {
            if !value.is_empty() {
                lines.push((key, value));
            }
        };
        add("name", self.name.clone().unwrap_or_default());
        add("labels", self.labels());
        add("state", self.state.into());
        add("reason", self.reason.clone().unwrap_or_default());
        add("environment", self.environment.clone());
        add("execution mode", self.execution_mode.into());
        let machine = (self.vcpu_count, self.mem_mib, self.disk_mib);
        add("machine", format!("{} vCPU, {} MiB memory, {} MiB disk", machine.0, machine.1, machine.2));
        add("network", self.network_policy.into());
        add("seed", self.seed());
        add("created", ago(self.created_at));
        add("last activity", ago(self.last_activity));
        add("expires", self.expiry());
        add("snapshots", self.snapshots.join(", "));
        lines.into_iter().map(|(key, value)| format!("{key:<15} {value}\n")).collect()
    }

    fn seed(&self) -> String {
        match &self.workspace_seed {
            Seed::Facts(seed) => {
                let mode = match seed.mode {
                    SeedMode::Checkout => "checkout",
                    SeedMode::Directory => "directory",
                    SeedMode::Archive => "archive",
                };
                format!("{mode} {} ({} files, {})", seed.origin_ref, seed.entries, bytes(seed.bytes))
            }
            Seed::Empty(_) => "none: /workspace was empty at first".into(),
        }
    }

    /// The columns of `list`.
    fn row(&self) -> Vec<String> {
        vec![
            self.id.clone(),
            self.name.clone().unwrap_or_default(),
            self.labels(),
            self.state.into(),
            self.environment.clone(),
            ago(self.last_activity),
            self.expiry(),
        ]
    }

    fn labels(&self) -> String {
        let pairs: Vec<String> = self.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        pairs.join(",")
    }

    fn expiry(&self) -> String {
        match self.expires_at.duration_since(Timestamp::now()) {
            left if left.is_positive() => format!("in {}", coarse(left)),
            _ => "now".into(),
        }
    }

    /// A warning, if it is about to go.
    pub fn warning(&self) -> Option<String> {
        let left = self.expires_at.duration_since(Timestamp::now());
        (left < SOON).then(|| {
            let (id, seconds) = (&self.id, left.as_secs().max(0));
            format!("{id} is deleted in {seconds} s unless something is done with it; pyro workspace update {id} --ttl-seconds S gives it more time")
        })
    }

    /// Why it crashed, in one line.
    pub fn crash(&self) -> Option<String> {
        let first = self.reason.as_ref()?.lines().next()?;
        Some(format!("{} has crashed: {}", self.id, first.trim_end_matches(';')))
    }
}

/// Workspaces as a table.
pub fn list(views: &[View]) -> String {
    let rows: Vec<Vec<String>> = views.iter().map(View::row).collect();
    table(&["ID", "NAME", "LABELS", "STATE", "ENVIRONMENT", "LAST ACTIVITY", "EXPIRES"], &rows)
}

/// How long that is past.
pub fn ago(time: Timestamp) -> String {
    format!("{} ago", coarse(Timestamp::now().duration_since(time)))
}

fn coarse(duration: SignedDuration) -> String {
    match duration.as_secs().max(0) {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
