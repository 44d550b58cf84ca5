//! The life of a workspace, and states of it that are kept.

use crate::pyro;
use crate::support::{prepare, snapshots, workspaces};

#[test]
fn a_workspace_lives_through_stops_and_ends_with_delete() {
    workspaces::a_workspace_lives_through_stops_and_ends_with_delete(&pyro());
}

#[test]
fn a_wrong_name_is_answered_with_a_right_one() {
    workspaces::a_wrong_name_is_answered_with_a_right_one(&pyro());
}

#[test]
fn update_changes_what_its_user_says() {
    workspaces::update_changes_what_its_user_says(&pyro());
}

#[test]
fn commands_end_as_they_end_alone() {
    workspaces::commands_end_as_they_end_alone(&pyro());
}

#[test]
fn input_reaches_a_command_only_when_asked_for() {
    workspaces::input_reaches_a_command_only_when_asked_for(&pyro());
}

#[test]
fn much_output_passes_and_its_ends_are_kept() {
    workspaces::much_output_passes_and_its_ends_are_kept(&pyro());
}

#[test]
fn commands_run_side_by_side() {
    workspaces::commands_run_side_by_side(&pyro());
}

#[test]
fn a_detached_command_outlives_everything_in_front() {
    workspaces::a_detached_command_outlives_everything_in_front(&pyro());
}

#[test]
fn an_interrupted_command_is_killed() {
    workspaces::an_interrupted_command_is_killed(&pyro());
}

#[test]
fn a_crash_is_told_at_once_and_mended_by_start() {
    workspaces::a_crash_is_told_at_once_and_mended_by_start(&pyro());
}

#[test]
fn a_workspace_expires() {
    workspaces::a_workspace_expires(&pyro());
}

#[test]
fn two_at_once_do_not_get_in_each_others_way() {
    workspaces::two_at_once_do_not_get_in_each_others_way(&pyro());
}

#[test]
fn an_interrupted_create_leaves_nothing() {
    workspaces::an_interrupted_create_leaves_nothing(&pyro());
}

#[test]
fn a_reset_gives_back_every_byte() {
    snapshots::a_reset_gives_back_every_byte(&pyro());
}

#[test]
fn a_snapshot_costs_what_has_changed() {
    snapshots::a_snapshot_costs_what_has_changed(&pyro());
}

#[test]
fn a_fork_goes_its_own_way() {
    snapshots::a_fork_goes_its_own_way(&pyro());
}

#[test]
fn a_commit_is_an_image_like_any_other() {
    snapshots::a_commit_is_an_image_like_any_other(&pyro());
}

#[test]
fn an_environment_is_prepared_once() {
    prepare::an_environment_is_prepared_once(&pyro());
}
