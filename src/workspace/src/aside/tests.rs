//! What is left, and what goes.

use super::{Aside, DIRECTORY, Purpose, is_on_the_way};
use rustix::fs::{Mode, mkdirat, open, openat};
use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn only_what_nobody_works_in_is_left() {
    let place = tempfile::tempdir().unwrap();
    let above = open(place.path(), DIRECTORY, Mode::empty()).unwrap();
    let left = |purpose| Aside::left(above.as_fd(), purpose).unwrap().count();
    let working = Aside::make(above.as_fd(), Purpose::Export).unwrap();
    let path = place.path().join(working.name());
    assert_eq!(left(Purpose::Export), 0);
    working.keep();
    drop(working);
    // Of another purpose, and not as we make them.
    assert_eq!(left(Purpose::Apply), 0);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(left(Purpose::Export), 0);
    assert!(path.exists());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(left(Purpose::Export), 1);
    assert!(!path.exists());
}

#[test]
fn names_that_only_ours_have_are_known() {
    for (path, ours) in [
        (".pyro-apply-0123456789abcdef", true),
        ("a/.pyro-export-0123456789abcdef/b", true),
        (".pyro-apply-0123456789abcde", false),
        (".pyro-apply-0123456789abcdeg", false),
        ("x.pyro-apply-0123456789abcdef", false),
    ] {
        assert_eq!(is_on_the_way(path.as_bytes()), ours, "{path}");
    }
}

/// Deeper than one path can say, and with more at each level than itself.
#[test]
fn a_deep_tree_goes_with_few_descriptors() {
    let place = tempfile::tempdir().unwrap();
    let above = open(place.path(), DIRECTORY, Mode::empty()).unwrap();
    let aside = Aside::make(above.as_fd(), Purpose::Export).unwrap();
    let name = "d".repeat(200);
    let mut here = openat(&aside, ".", DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..300 {
        mkdirat(&here, &*name, Mode::RWXU).unwrap();
        mkdirat(&here, "1", Mode::RWXU).unwrap();
        here = openat(&here, &*name, DIRECTORY, Mode::empty()).unwrap();
        let file = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
        openat(&here, "file", file, Mode::RUSR).unwrap();
        rustix::fs::symlinkat("..", &here, "link").unwrap();
    }
    drop(here);
    let open_files = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open_files();
    super::clear(aside.as_fd()).unwrap();
    assert_eq!(open_files(), before);
    drop(aside);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}
