//! The table of tools: one file for each, or for a few that belong together.

mod commit;
mod create;
mod delete;
pub mod diff;
mod disk;
mod env;
mod exec;
mod export;
mod file;
mod fork;
mod list;
pub mod logs;
mod output;
mod patch;
mod power;
mod record;
mod reset;
mod run;
mod snapshot;
mod status;
pub mod summary;
mod sync;
mod update;

use super::args::Profile;
use super::tool::Tool;

/// The everyday tools.
const CORE: [Tool; 17] = [
    Tool::of::<run::Run>(),
    Tool::of::<create::Create>(),
    Tool::of::<list::List>(),
    Tool::of::<update::Update>(),
    Tool::of::<status::Status>(),
    Tool::of::<sync::SyncPush>(),
    Tool::of::<exec::Exec>(),
    Tool::of::<logs::Logs>(),
    Tool::of::<summary::Summary>(),
    Tool::of::<file::List>(),
    Tool::of::<file::Read>(),
    Tool::of::<file::Write>(),
    Tool::of::<patch::Apply>(),
    Tool::of::<diff::Diff>(),
    Tool::of::<export::Export>(),
    Tool::of::<reset::Reset>(),
    Tool::of::<delete::Delete>(),
];

/// The others.
const MORE: [Tool; 11] = [
    Tool::of::<power::Start>(),
    Tool::of::<power::Stop>(),
    Tool::of::<fork::Fork>(),
    Tool::of::<commit::Commit>(),
    Tool::of::<disk::Export>(),
    Tool::of::<disk::List>(),
    Tool::of::<disk::Read>(),
    Tool::of::<snapshot::Create>(),
    Tool::of::<snapshot::List>(),
    Tool::of::<snapshot::Delete>(),
    Tool::of::<env::List>(),
];

/// The tools of a profile, in the order in which they are listed.
pub fn of(profile: Profile) -> Vec<Tool> {
    match profile {
        Profile::VmRun => CORE[..1].to_vec(),
        Profile::WorkspaceCore => CORE.to_vec(),
        Profile::WorkspaceFull => [&CORE[..], &MORE].concat(),
    }
}

/// The tool of this name.
pub fn find(name: &str) -> Option<Tool> {
    CORE.iter().chain(&MORE).find(|tool| tool.about.name == name).copied()
}
