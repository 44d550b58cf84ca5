//! The disk of a stopped workspace, and what became of the workspace.

use crate::pyro;
use crate::support::disks;

#[test]
fn a_stopped_disk_is_listed_and_read() {
    disks::a_stopped_disk_is_listed_and_read(&pyro());
}

#[test]
fn looking_changes_nothing() {
    disks::looking_changes_nothing(&pyro());
}

#[test]
fn a_machine_for_looking_runs_nothing() {
    disks::a_machine_for_looking_runs_nothing(&pyro());
}

#[test]
fn a_stopped_tree_is_exported() {
    disks::a_stopped_tree_is_exported(&pyro());
}

#[test]
fn a_summary_tells_what_was_observed() {
    disks::a_summary_tells_what_was_observed(&pyro());
}
