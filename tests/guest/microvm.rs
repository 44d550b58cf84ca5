//! What only real microVMs can show, or show on another scale.

use crate::pyro;
use crate::support::{ENVIRONMENT, agent, crashes, disks, endurance, smoke};

#[test]
fn a_kill_leaves_the_old_state_or_the_new_one() {
    // Every one of them takes minutes here; on namespaces all are passed.
    let names = ["supervisor.started", "supervisor.killed"].map(str::to_owned);
    crashes::a_kill_leaves_the_old_state_or_the_new_one(&pyro(), &names);
}

#[test]
fn a_disk_is_exported_as_it_is() {
    disks::a_disk_is_exported_as_it_is(&pyro());
}

#[test]
fn a_full_disk_is_a_clear_failure() {
    agent::a_full_disk_is_a_clear_failure(&pyro());
}

#[test]
fn output_without_end_takes_no_memory() {
    endurance::output_without_end_takes_no_memory(&pyro(), 256 << 20);
}

#[test]
fn a_chat_program_reproduces_and_fixes() {
    // The image that the other tests have: to install one takes its time here.
    let (directory, _) = pyro().apart();
    let home = directory.path().to_str().expect("a temporary directory has a plain name");
    smoke::drive(&["repro-fix-loop"], &[("USE_CASE_ENVIRONMENT", ENVIRONMENT), ("PYRO_HOME", home)]);
}
