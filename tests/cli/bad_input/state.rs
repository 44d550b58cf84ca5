//! A damaged state directory: named, not made worse, and mended by what the hint says.

use super::{Bench, GOOD, Row};
use crate::images::layout::{Layout, Packing};
use crate::images::tarball::Tarball;
use std::fs;

/// Every command that needs the image.
const USERS: [(&[&str], i32); 3] = [
    (&["env", "inspect", GOOD], 1),
    (&["env", "export", GOOD, "out.tar"], 1),
    (&["run", "--allow-host-compat", GOOD, "--", "true"], 125),
];

fn digest(bench: &Bench, pointer: &str) -> String {
    let json = bench.pyro(&["--json", "env", "inspect", GOOD]).json();
    json.pointer(pointer).unwrap().as_str().unwrap().trim_start_matches("sha256:").to_owned()
}

fn refused(bench: &Bench, what: &str, message: &[&str], hint: &str) {
    for (words, status) in USERS {
        bench.refuses(&Row { what, words, status, code: "store", message, hint });
    }
    assert!(!bench.file("out.tar").exists(), "{what}");
}

fn mended(bench: &Bench) {
    let layers = [Tarball::new().directory("etc/").file("etc/motd", b"good\n").bytes()];
    let (layout, _) = Layout::of(&layers, Packing::Plain);
    bench.pyro(&["env", "import", layout.path().to_str().unwrap(), "-t", GOOD]).ended(0);
    bench.pyro(&["env", "inspect", GOOD]).ended(0);
}

#[test]
fn a_missing_blob_is_named_and_brought_back() {
    for pointer in ["/layers/0/diff_id", "/config_digest", "/digest"] {
        let bench = Bench::new();
        let digest = digest(&bench, pointer);
        fs::remove_file(bench.home().join("store/blobs/sha256").join(&digest)).unwrap();
        refused(&bench, pointer, &["is incomplete", &digest, "is missing"], "pyro env import");
        // The list does without it, and it can be removed.
        assert!(!bench.pyro(&["env", "list"]).ended(0).stdout.contains(GOOD));
        mended(&bench);
        bench.pyro(&["env", "rm", GOOD]).ended(0);
    }
}

#[test]
fn a_damaged_document_is_named() {
    for pointer in ["/config_digest", "/digest"] {
        let bench = Bench::new();
        let path = bench.home().join("store/blobs/sha256").join(digest(&bench, pointer));
        fs::write(&path, "{}").unwrap();
        let name = path.to_str().unwrap();
        refused(
            &bench,
            pointer,
            &[name, "is damaged: its content does not match its name"],
            "remove that file",
        );
        fs::remove_file(&path).unwrap();
        mended(&bench);
    }
}

#[test]
fn a_layer_that_is_cut_off_is_named() {
    let bench = Bench::new();
    let path = bench.home().join("store/blobs/sha256").join(digest(&bench, "/layers/0/diff_id"));
    let layer = fs::read(&path).unwrap();
    fs::write(&path, &layer[..layer.len() / 2]).unwrap();
    refused(&bench, "cut off", &["is damaged: it has another size"], "remove that file");
    mended(&bench);
}

#[test]
fn a_damaged_list_of_images_stops_everything_and_stays() {
    let bench = Bench::new();
    let path = bench.home().join("store/index.json");
    for garbage in ["", "garbage", "[]", "{\"schemaVersion\":2,\"manifests\":[{}]}"] {
        fs::write(&path, garbage).unwrap();
        refused(&bench, garbage, &["index.json is damaged"], "remove that file");
        for words in [&["env", "list"][..], &["env", "prune", "--all"], &["env", "rm", GOOD]] {
            let (status, code, message, hint) = (1, "store", ["index.json is damaged"], "remove that file");
            bench.refuses(&Row { what: garbage, words, status, code, message: &message, hint });
        }
    }
    fs::remove_file(&path).unwrap();
    mended(&bench);
}

#[test]
fn a_damaged_version_is_named() {
    let bench = Bench::new();
    fs::write(bench.home().join("VERSION"), "what?").unwrap();
    refused(&bench, "VERSION", &["VERSION is damaged"], "remove that file");
    fs::remove_file(bench.home().join("VERSION")).unwrap();
    bench.pyro(&["env", "inspect", GOOD]).ended(0);
}

#[test]
fn a_damaged_workspace_keeps_prune_from_everything() {
    let bench = Bench::new();
    let odd = bench.home().join("workspaces/ws_odd");
    fs::create_dir(&odd).unwrap();
    for (record, message) in [("{", "is not a workspace record"), ("{\"version\":99}", "has version 99")] {
        fs::write(odd.join("workspace.json"), record).unwrap();
        bench.refuses(&Row {
            what: record,
            words: &["env", "prune", "--all"],
            status: 1,
            code: "workspace",
            message: &["ws_odd/workspace.json", message],
            hint: "nothing was removed",
        });
    }
}
