//! Files that are broken or mean harm: each a clear error, and nothing to see afterwards.

use super::support::{
    home::Home,
    layout::{Layout, OCI_MANIFEST, Packing},
    tarball::{Tarball, sample},
};
use pyro_oci::{Digest, Silent, import};
use serde_json::json;
use std::{fs, path::Path};
use tar::EntryType;

/// Imports what must be refused, with these words.
fn refused(what: &str, path: &Path, expected: &str) {
    let home = Home::new();
    let store = home.store();
    match import(&store, path, None, &Silent) {
        Ok(_) => panic!("{what} was imported"),
        Err(error) => {
            let error = error.to_string();
            assert!(error.contains(expected), "{what}: expected {expected:?}: {error}");
            assert!(!error.contains(|it: char| it.is_control()), "{what}: {error:?}");
        }
    }
    assert!(store.list().unwrap().is_empty(), "{what}");
    // Layers that came whole may stay until the next prune; half ones and others may not.
    for line in home
        .visible()
        .iter()
        .filter(|line| !line.starts_with("index.json") && !line.starts_with("oci-layout"))
    {
        let name = line.split(' ').next().unwrap();
        let digest = Digest::of(&fs::read(home.path().join("store").join(name)).unwrap());
        assert_eq!(name, format!("blobs/sha256/{}", digest.hex()), "{what}");
    }
}

fn refused_bytes(what: &str, bytes: &[u8], expected: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file.tar");
    fs::write(&path, bytes).unwrap();
    refused(what, &path, expected);
}

#[test]
fn files_that_are_no_images() {
    let empty = tempfile::tempdir().unwrap();
    refused("an empty directory", empty.path(), "no oci-layout and index.json");
    refused("a missing file", &empty.path().join("none"), "no such file");
    refused_bytes("an empty file", b"", "is not an image");
    refused_bytes("a text", &[b'x'; 2000], "the checksum of its header is wrong");
    refused_bytes("an empty tar", &Tarball::new().bytes(), "it holds no files");
    let tar = &sample()[0];
    refused_bytes("a tar that is cut off", &tar[..tar.len() / 2 - 100], "");
    refused_bytes("a gzip file that is cut off", &Packing::Gzip.pack(tar)[..300], "");
    refused_bytes("a zstd file that is cut off", &Packing::Zstd.pack(tar)[..300], "");
    let mut damaged = Packing::Gzip.pack(tar);
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x55;
    refused_bytes("a gzip file that is damaged", &damaged, "");
}

#[test]
fn root_file_systems_that_mean_harm() {
    let plain = || Tarball::new().directory("etc/");
    refused_bytes("a name that leads up", &plain().file("etc/../../x", b"").bytes(), "etc/../../x");
    refused_bytes(
        "a hard link that leads up",
        &plain().link("x", EntryType::Link, "../../etc/passwd").bytes(),
        "x",
    );
    let huge = |header: &mut tar::Header| header.set_size(1 << 40);
    refused_bytes(
        "a size that is a lie",
        &plain().entry("x", EntryType::Regular, 0o644, b"", huge).bytes(),
        "x",
    );
    let sum = {
        let mut bytes = plain().bytes();
        bytes[0] ^= 1;
        bytes
    };
    refused_bytes("a header with a wrong sum", &sum, "");
    let bomb = zstd::encode_all(std::io::Read::take(std::io::repeat(0), (1 << 30) + (64 << 20)), 1).unwrap();
    refused_bytes("a bomb", &bomb, "");
}

/// An OCI directory that is in order, then changed.
fn changed(what: &str, change: impl FnOnce(&mut Layout, &super::support::layout::Made), expected: &str) {
    let (mut layout, made) = Layout::sample(Packing::Gzip);
    change(&mut layout, &made);
    refused(what, &layout.path(), expected);
}

#[test]
fn images_whose_parts_do_not_fit() {
    let flip = |layout: &Layout, digest: &Digest| {
        let path = layout.blob_path(digest);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    changed("a damaged layer", |layout, made| flip(layout, &made.blobs[0].0), "has wrong content");
    changed("a damaged config", |layout, made| flip(layout, &made.config), "the config has wrong content");
    changed(
        "a damaged manifest",
        |layout, made| flip(layout, &made.descriptor["digest"].as_str().unwrap().parse().unwrap()),
        "the manifest has wrong content",
    );
    changed(
        "a missing layer",
        |layout, made| fs::remove_file(layout.blob_path(&made.blobs[1].0)).unwrap(),
        "no such file",
    );
    changed("no index", |layout, _| fs::write(layout.path().join("index.json"), "[]").unwrap(), "malformed");
    let another = |change: fn(&mut serde_json::Value)| {
        move |layout: &mut Layout, made: &super::support::layout::Made| {
            let mut manifest = made.manifest.clone();
            change(&mut manifest);
            let descriptor = layout.blob(OCI_MANIFEST, manifest.to_string().as_bytes());
            let index = json!({ "schemaVersion": 2, "manifests": [descriptor] });
            fs::write(layout.path().join("index.json"), index.to_string()).unwrap();
        }
    };
    changed(
        "too few layers",
        another(|it| drop(it["layers"].as_array_mut().unwrap().pop())),
        "lists 2 layers, the config 3",
    );
    changed(
        "layers in another order",
        another(|it| it["layers"].as_array_mut().unwrap().reverse()),
        "has wrong content",
    );
    changed(
        "a digest that is a path",
        another(|it| it["layers"][0]["digest"] = "sha256:../../../../etc/passwd".into()),
        "malformed",
    );
    changed(
        "unknown media type",
        another(|it| it["layers"][0]["mediaType"] = "a/b".into()),
        "unknown media type \"a/b\"",
    );
}

#[test]
fn docker_archives_that_do_not_fit() {
    let archive = |manifest: serde_json::Value, config: &[u8]| {
        let name = format!("{}.json", Digest::of(config).hex());
        let manifest = manifest.to_string().replace("CONFIG", &name);
        Tarball::new()
            .file(&name, config)
            .file("layer.tar", &sample()[0])
            .file("manifest.json", manifest.as_bytes())
            .bytes()
    };
    let config = |diff_id: Digest| {
        let rootfs = json!({ "type": "layers", "diff_ids": [diff_id] });
        json!({ "architecture": "amd64", "os": "linux", "rootfs": rootfs }).to_string().into_bytes()
    };
    let right = config(Digest::of(&sample()[0]));
    let entry =
        |config: &str, layers: &[&str]| json!([{ "Config": config, "RepoTags": ["a:1"], "Layers": layers }]);
    refused_bytes("nothing listed", &archive(json!([]), &right), "lists no image");
    refused_bytes("no JSON", &archive(json!("x"), &right), "malformed");
    refused_bytes("no config", &archive(entry("none.json", &["layer.tar"]), &right), "no such file");
    refused_bytes("no layer", &archive(entry("CONFIG", &["none.tar"]), &right), "no such file");
    refused_bytes("a layer outside", &archive(entry("CONFIG", &["/etc/passwd"]), &right), "no such file");
    refused_bytes(
        "another layer",
        &archive(entry("CONFIG", &["layer.tar"]), &config(Digest::of(b"x"))),
        "has wrong content",
    );
    refused_bytes(
        "too many layers",
        &archive(entry("CONFIG", &["layer.tar", "layer.tar"]), &right),
        "lists 2 layers, the config 1",
    );
    refused_bytes(
        "another system",
        &archive(
            entry("CONFIG", &["layer.tar"]),
            br#"{"architecture":"arm64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#,
        ),
        "the image is for linux/arm64",
    );
}
