//! Manifests and configs that cannot be used, in files and from registries.

use super::{Bench, Row};
use crate::images::layout::{Layout, Made, OCI_MANIFEST, Packing};
use crate::images::proxy::{Fault, Proxy};
use crate::images::registry::Registry;
use crate::images::tarball::Tarball;
use serde_json::{Value, json};
use std::fs;

const DAMAGED: &str = "export or download it again";

fn sample() -> (Layout, Made) {
    Layout::of(&[Tarball::new().file("f", b"content").bytes()], Packing::Gzip)
}

fn import(layout: &Layout, what: &str, message: &[&str], hint: &str) {
    let path = layout.path();
    let words = ["env", "import", path.to_str().unwrap()];
    Bench::new().refuses(&Row { what, words: &words, status: 1, code: "import", message, hint });
}

/// An OCI directory whose `index.json` is this.
fn index(what: &str, text: &str, message: &[&str], hint: &str) {
    let (layout, _) = sample();
    fs::write(layout.path().join("index.json"), text).unwrap();
    import(&layout, what, message, hint);
}

/// An OCI directory whose manifest is changed so, and named by its right digest.
fn manifest(what: &str, change: impl FnOnce(&mut Value), message: &[&str]) {
    let (layout, made) = sample();
    let mut manifest = made.manifest;
    change(&mut manifest);
    let descriptor = layout.blob(OCI_MANIFEST, manifest.to_string().as_bytes());
    let index = json!({ "schemaVersion": 2, "manifests": [descriptor] });
    fs::write(layout.path().join("index.json"), index.to_string()).unwrap();
    import(&layout, what, message, DAMAGED);
}

#[test]
fn indexes() {
    index("no JSON", "<html>", &["the manifest is malformed"], DAMAGED);
    index("empty", "", &["the manifest is malformed"], DAMAGED);
    index("schema 1", r#"{"schemaVersion":1,"manifests":[]}"#, &["schema version 1"], DAMAGED);
    index(
        "nothing",
        r#"{"schemaVersion":2,"manifests":[]}"#,
        &["no linux/amd64 image among: nothing"],
        "skopeo copy --override-arch amd64",
    );
    index("too long", &" ".repeat(5 << 20), &["more than the 4194304 allowed"], DAMAGED);
    let other = r#"{"schemaVersion":2,"mediaType":"application/vnd.wasm.v1","manifests":[]}"#;
    index(
        "media type",
        other,
        &["\"application/vnd.wasm.v1\" is not a media type of container images"],
        DAMAGED,
    );
}

#[test]
fn manifests() {
    manifest("schema 1", |it| it["schemaVersion"] = 1.into(), &["schema version 1; only version 2"]);
    manifest("digest", |it| it["layers"][0]["digest"] = "sha256:../../x".into(), &["malformed"]);
    let none = format!("sha256:{}", "0".repeat(64));
    manifest("other digest", |it| it["layers"][0]["digest"] = none.clone().into(), &["no such file"]);
    manifest(
        "size",
        |it| it["layers"][0]["size"] = (1_u64 << 50).into(),
        &["layer 1 claims 1125899906842624 bytes"],
    );
    manifest("wrong size", |it| it["layers"][0]["size"] = 5.into(), &["but the manifest says 5"]);
    manifest(
        "config size",
        |it| it["config"]["size"] = (1_u64 << 30).into(),
        &["the config is 1073741824 bytes"],
    );
    manifest("no layers", |it| it["layers"] = json!([]), &["lists 0 layers, the config 1"]);
    manifest(
        "media type",
        |it| it["layers"][0]["mediaType"] = "a/b".into(),
        &["layer 1 has the unknown media type \"a/b\""],
    );
    manifest(
        "foreign",
        |it| it["layers"][0]["urls"] = json!(["https://x.example/l"]),
        &["https://x.example/l"],
    );
}

#[test]
fn images_for_other_systems() {
    let layer = Tarball::new().file("f", b"").bytes();
    let mut layout = Layout::new();
    let made = layout.image_for("arm64", std::slice::from_ref(&layer), Packing::Gzip);
    layout.tag("latest", &made.descriptor);
    import(
        &layout,
        "arm64",
        &["the image is for linux/arm64; only linux/amd64 runs here"],
        "skopeo copy --override-arch amd64",
    );
    let mut layout = Layout::new();
    let made = layout.image(&[layer], Packing::Gzip);
    let index = layout.index(&[(&made, "windows", "amd64"), (&made, "linux", "arm64")]);
    layout.tag("latest", &index);
    import(
        &layout,
        "no entry",
        &["no linux/amd64 image among: windows/amd64, linux/arm64"],
        "skopeo copy --override-arch amd64",
    );
}

#[test]
fn one_good_layer_of_a_bad_image_is_left_for_prune() {
    let layers = [1, 2].map(|seed| Tarball::new().file(&format!("f{seed}"), b"content").bytes());
    let (layout, made) = Layout::of(&layers, Packing::Gzip);
    let second = layout.blob_path(&made.blobs[1].0);
    let mut bytes = fs::read(&second).unwrap();
    bytes[20] ^= 1;
    fs::write(second, bytes).unwrap();
    let path = layout.path();
    Bench::new().refuses_in_part(&Row {
        what: "one good layer",
        words: &["env", "import", path.to_str().unwrap()],
        status: 1,
        code: "import",
        message: &["has wrong content"],
        hint: DAMAGED,
    });
}

#[test]
fn registries_that_send_something_else() {
    let (layout, made) = sample();
    let registry = Registry::start();
    registry.push(&layout, "latest", "sample:1");
    let proxy = Proxy::before(registry.address());
    let bench = Bench::new();
    let config = format!("[registry]\ninsecure = [\"{}\"]\nretries = 0\n", proxy.address());
    fs::write(bench.directory.path().join("config/pyro/config.toml"), config).unwrap();
    let name = format!("{}/sample:1", proxy.address());
    let answer = |body: &str| {
        Fault::Answer(200, vec![("Content-Type", OCI_MANIFEST.to_owned())], body.as_bytes().to_vec())
    };
    let mut other = made.manifest.clone();
    other["schemaVersion"] = 1.into();
    let rows = [
        ("/manifests/", Fault::status(404), "sample:1", "pyro env list"),
        ("/manifests/", Fault::status(401), "refuses access to sample", "pyro env list"),
        ("/manifests/", Fault::status(503), "failed with status 503", "pyro doctor"),
        ("/manifests/", answer("<html>log in</html>"), "the manifest is malformed", "choose another tag"),
        ("/manifests/", answer(&other.to_string()), "schema version 1", "choose another tag"),
        ("/blobs/", Fault::Flip(20), "has wrong content", "choose another tag"),
    ];
    for (at, fault, message, hint) in rows {
        for (words, status) in [(&["env", "pull", &name][..], 1), (&["run", &name, "--", "true"], 125)] {
            proxy.fail(at, usize::MAX, fault.clone());
            bench.refuses(&Row { what: message, words, status, code: "pull", message: &[message], hint });
            proxy.mend();
        }
    }
    bench.pyro(&["env", "pull", &name]).ended(0);
}
