//! Rules of the code base that no compiler holds.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The dependencies that docs/architecture.md draws; nothing else is allowed.
const EDGES: &[(&str, &[&str])] = &[
    ("pyro", &["pyro-machine", "pyro-oci", "pyro-workspace"]),
    ("pyro-workspace", &["pyro-layer", "pyro-machine", "pyro-oci", "pyro-protocol"]),
    ("pyro-oci", &["pyro-layer"]),
    ("pyro-machine", &["pyro-sys"]),
    ("pyro-agent", &["pyro-protocol", "pyro-sys"]),
    ("pyro-layer", &[]),
    ("pyro-protocol", &[]),
    ("pyro-sys", &[]),
];

/// Crates that are never seen by these, at any depth: no runtime, no TLS, no network client.
const FENCES: &[(&str, &[&str])] = &[
    ("pyro-agent", &["tokio", "rustls", "reqwest", "libkrun"]),
    // libkrun itself uses tokio for its disks.
    ("pyro-machine", &["rustls", "reqwest"]),
    ("pyro-layer", &["tokio", "rustix", "reqwest"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace is there")
}

fn cargo_tree(package: &str, more: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .args(["--package", package])
        .args(more)
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("cargo speaks UTF-8");
    let names = text.lines().filter_map(|line| line.split(' ').next());
    names.filter(|name| *name != package).map(str::to_owned).collect()
}

#[test]
fn crates_depend_on_each_other_only_as_drawn() {
    for (package, allowed) in EDGES {
        let direct = cargo_tree(package, &["--depth", "1"]);
        let ours: Vec<&str> =
            direct.iter().map(String::as_str).filter(|name| name.starts_with("pyro-")).collect();
        assert_eq!(&ours, allowed, "{package}");
    }
}

#[test]
fn fenced_crates_see_neither_runtime_nor_network() {
    for (package, banned) in FENCES {
        let all = cargo_tree(package, &[]);
        for name in *banned {
            assert!(!all.contains(*name), "{package} depends on {name}");
        }
    }
}

/// Rust files of the project.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut next = vec![root().join("src"), root().join("tests")];
    while let Some(directory) = next.pop() {
        for entry in fs::read_dir(&directory).expect("a directory of ours").flatten() {
            let path = entry.path();
            if path.is_dir() {
                next.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn unsafe_code_is_where_it_may_be() {
    for path in sources() {
        let name = path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).expect("a source file of ours");
        let opened = text.contains("allow(unsafe_code") || text.contains("expect(unsafe_code");
        let allowed = name.starts_with("src/sys/src/") || name.starts_with("src/machine/src/krun/ffi");
        assert!(!opened || allowed || name == "tests/policy/main.rs", "{name} opens unsafe code");
    }
}

#[test]
fn no_module_outgrows_its_name() {
    let long: Vec<String> = sources()
        .into_iter()
        .filter_map(|path| {
            let lines = fs::read_to_string(&path).expect("a source file of ours").lines().count();
            (lines > 600).then(|| format!("{}: {lines} lines", path.display()))
        })
        .collect();
    assert!(long.is_empty(), "split these by noun: {long:#?}");
}
