//! `workspace_create`.

use super::super::tool::{About, Answer, Call, Operation, Reach, within};
use super::record::{Full, labels, name};
use crate::config::{MEM_MIB_MAX, MEM_MIB_MIN, SECONDS_MAX, VCPUS_MAX};
use crate::error::UserError;
use crate::explain::{seed_error, workspace_error};
use crate::project::ProjectSeed;
use crate::recipe;
use crate::start::{Start, TTL_SECONDS, environment, seed, start_kept};
use pyro_workspace::{
    CreateSpec, DISK_MIB_MAX, DISK_MIB_MIN, ExecutionMode, Overview, Resources, Seed, Skipped, check_name,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many files that were not taken are named; the rest is counted.
const SKIPPED_NAMED: usize = 5;

/// Arguments of `workspace_create`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Create {
    /// OCI image, e.g. python:3.12; has a default.
    environment: Option<String>,
    /// Host directory or tar to copy instead of the project.
    seed_path: Option<String>,
    /// Unique name.
    name: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    vcpu_count: Option<u8>,
    mem_mib: Option<u32>,
    disk_mib: Option<u32>,
    ttl_seconds: Option<u64>,
}

/// What comes of it.
#[derive(Serialize)]
struct Created {
    #[serde(flatten)]
    workspace: Full,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    skipped: Vec<String>,
}

impl Operation for Create {
    const ABOUT: About = About {
        name: "workspace_create",
        text: "Create a workspace: a disposable, isolated Linux microVM sandbox, offline, with a copy of the user's project in /workspace. Returns the workspace_id that the other tools take. Deleted after ttl_seconds (600) without activity.",
        reach: Reach::Workspace,
        output: Some(super::record::WORKSPACE),
        example: r#"{"environment":"debian:12"}"#,
        up_front: true,
    };

    fn run(self, call: &Call<'_>) -> Result<Answer, UserError> {
        let session = call.session;
        let resources = self.resources(call)?;
        let of_mode = session.mode.as_ref().and_then(|mode| mode.recipe.resources.ttl_seconds);
        let ttl_seconds = self.ttl_seconds.or(session.config.defaults.ttl_seconds).or(of_mode);
        let ttl_seconds = within("ttl_seconds", ttl_seconds.unwrap_or(TTL_SECONDS), 1..=SECONDS_MAX)?;
        let (name, labels) = (name(self.name)?, labels(self.labels)?);
        let home = call.home()?;
        if let Some(name) = &name {
            // Before something is pulled for nothing.
            check_name(&home, name).map_err(|error| workspace_error(&error))?;
        }
        let wanted = session.environment(self.environment.as_deref());
        let (image, held) = environment(&session.config, call.phase, &home, wanted)?;
        call.phase.is("copying the project");
        let source = match &self.seed_path {
            Some(path) => {
                let named = Seed::of(&session.host_path(path)).map_err(|error| seed_error(&error))?;
                ProjectSeed::from(named).into()
            }
            None => session.source().seed(&home, call.until())?,
        };
        let seeded =
            source.as_ref().map(|source| seed(&home, &image, &source.seed, call.until())).transpose()?;
        let spec = CreateSpec {
            name,
            labels,
            resources,
            execution_mode: ExecutionMode::GuestVsock,
            layers: seeded.iter().map(|seeded| seeded.layer.diff_id).collect(),
            seed: seeded.as_ref().map(|seeded| seeded.facts.clone()),
            ephemeral: false,
            ttl_seconds,
        };
        call.phase.is("booting the machine");
        let allow_host_compat = session.allow_host_compat();
        let request = Start { image: &image, spec, until: call.until(), allow_host_compat };
        let directory = start_kept(call.phase, &home, held, &request)?.machine.directory;
        if call.until().is_cancelled() {
            // Nobody hears of its id.
            let _ = pyro_workspace::delete(&directory);
            return Err(UserError::new("interrupted", "the call was cancelled"));
        }
        let overview = Overview::of(directory).map_err(|error| workspace_error(&error))?;
        let note = match source {
            Some(source) => source.note,
            None => Some(format!("/workspace is empty: the project source is {}", session.source())),
        };
        let skipped = skipped(seeded.map(|seeded| seeded.skipped).unwrap_or_default());
        Answer::record(&Created { workspace: Full::of(&overview), note, skipped })
    }
}

impl Create {
    fn resources(&self, call: &Call<'_>) -> Result<Resources, UserError> {
        let Self { vcpu_count, mem_mib, disk_mib, .. } = *self;
        let asked = recipe::Resources { vcpu_count, mem_mib, disk_mib, ttl_seconds: None };
        let resources = call.session.resources(&asked);
        within("vcpu_count", u64::from(resources.vcpu_count), 1..=VCPUS_MAX)?;
        within("mem_mib", u64::from(resources.mem_mib), MEM_MIB_MIN..=MEM_MIB_MAX)?;
        within("disk_mib", resources.disk_mib, DISK_MIB_MIN..=DISK_MIB_MAX)?;
        Ok(resources)
    }
}

/// What was not taken, in a few lines.
pub fn skipped(all: Vec<Skipped>) -> Vec<String> {
    let more = all.len().saturating_sub(SKIPPED_NAMED);
    let mut lines: Vec<String> =
        all.into_iter().take(SKIPPED_NAMED).map(|Skipped { path, why }| format!("{path}: {why}")).collect();
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines
}
