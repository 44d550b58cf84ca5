//! What can be done with the files of a workspace.

use crate::pyro;
use crate::support::files;

#[test]
fn a_seed_is_what_git_knows_and_says_so() {
    files::a_seed_is_what_git_knows_and_says_so(&pyro());
}

#[test]
fn a_directory_is_seeded_whole_and_a_missing_one_not_at_all() {
    files::a_directory_is_seeded_whole_and_a_missing_one_not_at_all(&pyro());
}

#[test]
fn a_workspace_without_a_seed_is_empty_and_there() {
    files::a_workspace_without_a_seed_is_empty_and_there(&pyro());
}

#[test]
fn a_diff_makes_the_same_tree_of_the_checkout() {
    files::a_diff_makes_the_same_tree_of_the_checkout(&pyro());
}

#[test]
fn files_are_listed_read_and_written() {
    files::files_are_listed_read_and_written(&pyro());
}

#[test]
fn patches_are_applied_whole_or_not_at_all() {
    files::patches_are_applied_whole_or_not_at_all(&pyro());
}

#[test]
fn exports_are_whole_and_stay_inside() {
    files::exports_are_whole_and_stay_inside(&pyro());
}

#[test]
fn an_interrupted_export_leaves_nothing() {
    files::an_interrupted_export_leaves_nothing(&pyro());
}

#[test]
fn a_push_is_whole_or_not_at_all() {
    files::a_push_is_whole_or_not_at_all(&pyro());
}

#[test]
fn a_diff_is_against_the_baseline_or_a_snapshot() {
    files::a_diff_is_against_the_baseline_or_a_snapshot(&pyro());
}
