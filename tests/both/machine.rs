//! A machine and the commands in it.

use crate::pyro;
use crate::support::{agent, cases, delta, endurance};

#[test]
fn a_command_prints_and_its_machine_is_gone() {
    cases::a_command_prints_and_its_machine_is_gone(&pyro());
}

#[test]
fn exit_statuses_come_through() {
    cases::exit_statuses_come_through(&pyro());
}

#[test]
fn streams_are_separate_and_binary_safe() {
    cases::streams_are_separate_and_binary_safe(&pyro());
}

#[test]
fn input_is_passed_only_when_asked_for() {
    cases::input_is_passed_only_when_asked_for(&pyro());
}

#[test]
fn a_timeout_kills_the_whole_group() {
    cases::a_timeout_kills_the_whole_group(&pyro());
}

#[test]
fn a_background_process_does_not_hold_the_end_back() {
    cases::a_background_process_does_not_hold_the_end_back(&pyro());
}

#[test]
fn json_is_one_sorted_object() {
    cases::json_is_one_sorted_object(&pyro());
}

#[test]
fn environment_directory_and_user_are_the_images_or_ours() {
    cases::environment_directory_and_user_are_the_images_or_ours(&pyro());
}

#[test]
fn the_root_looks_like_linux() {
    cases::the_root_looks_like_linux(&pyro());
}

#[test]
fn nothing_of_one_machine_is_in_the_next() {
    cases::nothing_of_one_machine_is_in_the_next(&pyro());
}

#[test]
fn a_terminal_is_one() {
    cases::a_terminal_is_one(&pyro());
}

#[test]
fn much_output_arrives_whole() {
    cases::much_output_arrives_whole(&pyro());
}

#[test]
fn a_signal_leaves_nothing_behind() {
    cases::a_signal_leaves_nothing_behind(&pyro());
}

#[test]
fn a_killed_pyro_takes_its_machine_along() {
    cases::a_killed_pyro_takes_its_machine_along(&pyro());
}

#[test]
fn layers_lie_on_an_image() {
    delta::layers_lie_on_an_image(&pyro());
}

#[test]
fn files_are_edited_walked_and_read() {
    agent::files_are_edited_walked_and_read(&pyro());
}

#[test]
fn an_edit_is_made_whole_or_not_at_all() {
    agent::an_edit_is_made_whole_or_not_at_all(&pyro());
}

#[test]
fn the_writable_layer_is_told_while_nobody_writes() {
    agent::the_writable_layer_is_told_while_nobody_writes(&pyro());
}

#[test]
fn a_freeze_ends_by_itself() {
    agent::a_freeze_ends_by_itself(&pyro());
}

#[test]
fn fifty_commands_run_at_once() {
    endurance::fifty_commands_run_at_once(&pyro());
}

#[test]
fn orphans_are_reaped() {
    endurance::orphans_are_reaped(&pyro());
}

#[test]
fn a_timeout_leaves_nothing_of_the_group() {
    endurance::a_timeout_leaves_nothing_of_the_group(&pyro());
}
