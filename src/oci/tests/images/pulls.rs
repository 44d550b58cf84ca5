//! Pulling what is in order.

use super::support::{
    home::{Home, Seen, config, through},
    layout::{Layout, Packing},
    proxy::Proxy,
    registry::{PASSWORD, Registry, USER},
    skopeo,
    tarball::{Tarball, noise},
};
use pyro_oci::{Digest, Reference, RegistryConfig};
use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _, thread};

#[test]
fn however_an_image_is_packed_it_is_the_same_here() {
    let registry = Registry::start();
    let config = config(&[registry.address()]);
    let mut manifests = Vec::new();
    for packing in [Packing::Plain, Packing::Gzip, Packing::GzipMembers, Packing::Zstd] {
        let (layout, made) = Layout::sample(packing);
        registry.push(&layout, "latest", "sample:oci");
        let home = Home::new();
        let image = home.pull(&format!("{}/sample:oci", registry.address()), &config).unwrap();
        assert_eq!(image.config_digest, made.config, "{packing:?}");
        assert_eq!(image.diff_ids(), made.diff_ids, "{packing:?}");
        for diff_id in &made.diff_ids {
            let tar = fs::read(home.store().blob(diff_id)).unwrap();
            assert_eq!(Digest::of(&tar), *diff_id, "{packing:?}: a layer is kept as the tar that it is");
        }
        assert!(home.partial().is_empty(), "{packing:?}: {:?}", home.partial());
        manifests.push(image.manifest);
    }
    let (layout, _) = Layout::sample(Packing::Gzip);
    registry.push_as_docker(&layout, "latest", "sample:docker");
    let home = Home::new();
    let image = home.pull(&format!("{}/sample:docker", registry.address()), &config).unwrap();
    assert_eq!(image.diff_ids(), Layout::sample(Packing::Plain).1.diff_ids);
    manifests.dedup();
    assert_eq!(manifests.len(), 1, "the store's own manifest depends on the config alone");
}

#[test]
fn what_an_image_says_about_running_it_is_known() {
    let registry = Registry::start();
    let (layout, _) = Layout::sample(Packing::Gzip);
    registry.push(&layout, "latest", "sample:1");
    let home = Home::new();
    let name = format!("{}/sample:1", registry.address());
    home.pull(&name, &config(&[registry.address()])).unwrap();
    let image = home.store().find(&name.parse().unwrap()).unwrap().expect("it was pulled");
    assert_eq!(image.config.env, ["PATH=/bin", "LANG=C"]);
    assert_eq!(image.config.cmd, ["sh"]);
    assert_eq!(image.config.user, "1000:50");
    assert_eq!(image.config.working_dir, "/srv");
    assert_eq!(image.platform.architecture, "amd64");
    assert_eq!(image.created.as_deref(), Some("2026-01-02T03:04:05Z"));
}

#[test]
fn skopeo_reads_the_store() {
    let registry = Registry::start();
    let (layout, made) = Layout::sample(Packing::Zstd);
    registry.push(&layout, "latest", "sample:1");
    let home = Home::new();
    let name = format!("{}/sample:1", registry.address());
    home.pull(&name, &config(&[registry.address()])).unwrap();
    let from = format!("oci:{}:{name}", home.path().join("store").display());
    let inspected = skopeo(&["inspect", &from]).stdout;
    let inspected: serde_json::Value = serde_json::from_slice(&inspected).unwrap();
    let layers: Vec<String> = made.diff_ids.iter().map(Digest::to_string).collect();
    assert_eq!(inspected["Layers"], serde_json::json!(layers));
    let copy = tempfile::tempdir().unwrap();
    skopeo(&["copy", "-q", &from, &format!("dir:{}", copy.path().display())]);
    let config = fs::read(copy.path().join(made.config.hex())).unwrap();
    assert_eq!(Digest::of(&config), made.config, "the config is the upstream one, byte for byte");
}

#[test]
fn of_several_platforms_ours_is_taken_and_attestations_never() {
    let registry = Registry::start();
    let mut layout = Layout::new();
    let layer = |text: &str| vec![Tarball::new().file("which", text.as_bytes()).bytes()];
    let ours = layout.image(&layer("amd64"), Packing::Gzip);
    let other = layout.image_for("arm64", &layer("arm64"), Packing::Gzip);
    let attestation = layout.image_for("unknown", &layer("attestation"), Packing::Gzip);
    let index = layout.index(&[
        (&attestation, "unknown", "unknown"),
        (&other, "linux", "arm64"),
        (&ours, "linux", "amd64"),
    ]);
    layout.tag("all", &index);
    let without = layout.index(&[(&other, "linux", "arm64"), (&attestation, "unknown", "unknown")]);
    layout.tag("without", &without);
    registry.push(&layout, "all", "many:all");
    registry.push(&layout, "without", "many:without");
    let config = config(&[registry.address()]);
    let home = Home::new();
    let image = home.pull(&format!("{}/many:all", registry.address()), &config).unwrap();
    assert_eq!(image.config_digest, ours.config);
    let source = image.source.expect("it came from a registry");
    assert_eq!(source.index.unwrap().to_string(), index["digest"].as_str().unwrap());
    // Both the index and the manifest can be pinned, and are found again by what they pin.
    for digest in [&index["digest"], &ours.descriptor["digest"]] {
        let pinned = format!("{}/many@{}", registry.address(), digest.as_str().unwrap());
        assert_eq!(home.store().find(&pinned.parse().unwrap()).unwrap().unwrap().manifest, image.manifest);
        assert_eq!(Home::new().pull(&pinned, &config).unwrap().manifest, image.manifest);
    }
    let error = home.pull(&format!("{}/many:without", registry.address()), &config).unwrap_err().to_string();
    assert!(error.ends_with("no linux/amd64 image among: linux/arm64"), "{error}");
}

#[test]
fn what_is_there_is_not_transferred_and_what_is_damaged_is_repaired() {
    let registry = Registry::start();
    let proxy = Proxy::before(registry.address());
    let (layout, made) = Layout::sample(Packing::Gzip);
    registry.push(&layout, "latest", "sample:1");
    let name = format!("{}/sample:1", proxy.address());
    let home = Home::new();
    home.pull(&name, &through(&proxy)).unwrap();
    proxy.forget();
    let seen = Seen::default();
    home.pull_watched(&name, &through(&proxy), &seen).unwrap();
    assert_eq!(seen.present.lock().unwrap().len(), made.blobs.len());
    for (blob, _) in &made.blobs {
        assert!(proxy.requests(&blob.to_string()).is_empty(), "{blob} was in the store");
    }
    // One bit of one layer, and all of another.
    let damaged = home.store().blob(&made.diff_ids[0]);
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[700] ^= 4;
    fs::write(&damaged, bytes).unwrap();
    fs::remove_file(home.store().blob(&made.diff_ids[1])).unwrap();
    proxy.forget();
    home.pull(&name, &through(&proxy)).unwrap();
    let transferred = |at: usize| proxy.requests(&made.blobs[at].0.to_string()).len();
    assert_eq!([transferred(0), transferred(1), transferred(2)], [1, 1, 0]);
    assert_eq!(Digest::of(&fs::read(&damaged).unwrap()), made.diff_ids[0]);
}

#[test]
fn two_pulls_at_once_download_once() {
    let registry = Registry::start();
    let proxy = Proxy::before(registry.address());
    let layers: Vec<_> =
        (1..5).map(|at| vec![Tarball::new().file("noise", &noise(at << 18)).bytes()]).collect();
    let (layout, made) = Layout::of(&layers.concat(), Packing::Gzip);
    registry.push(&layout, "latest", "noise:1");
    proxy.fail(
        "/blobs/",
        usize::MAX,
        super::support::proxy::Fault::Slow(64 << 10, std::time::Duration::from_millis(5)),
    );
    let home = Home::new();
    let name = format!("{}/noise:1", proxy.address());
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| home.pull(&name, &through(&proxy)).unwrap());
        }
    });
    for (blob, size) in &made.blobs {
        let sent: usize = proxy.requests(&blob.to_string()).iter().map(|request| request.sent).sum();
        assert_eq!(sent as u64, *size, "{blob}");
    }
    assert!(home.partial().is_empty(), "{:?}", home.partial());
}

#[test]
fn mirrors_are_asked_first_and_the_registry_itself_when_they_fail() {
    let registry = Registry::start();
    let mirror = Proxy::before(registry.address());
    let origin = Proxy::before(registry.address());
    let (layout, made) = Layout::sample(Packing::Gzip);
    registry.push(&layout, "latest", "cached/team/sample:1");
    registry.push(&layout, "latest", "team/sample:1");
    let name = format!("{}/team/sample:1", origin.address());
    let dead = "127.0.0.1:1";
    let mirrors = vec![dead.to_owned(), format!("{}/cached", mirror.address())];
    let config = RegistryConfig {
        mirrors: BTreeMap::from([(origin.address().to_owned(), mirrors)]),
        ..config(&[mirror.address(), origin.address(), dead])
    };
    let seen = Seen::default();
    let home = Home::new();
    let image = home.pull_watched(&name, &config, &seen).unwrap();
    assert_eq!(image.reference.to_string(), name, "the image keeps its own name");
    assert_eq!(*seen.mirrors.lock().unwrap(), [dead]);
    assert!(origin.requests("").is_empty(), "a mirror had everything");
    // A mirror that lies is left for the registry.
    mirror.fail(&made.blobs[0].0.to_string(), usize::MAX, super::support::proxy::Fault::Flip(100));
    let home = Home::new();
    assert_eq!(home.pull(&name, &config).unwrap().diff_ids(), made.diff_ids);
    assert_eq!(origin.requests(&made.blobs[0].0.to_string()).len(), 1);
}

#[test]
fn credentials_open_private_registries() {
    let registry = Registry::start_private();
    let (layout, made) = Layout::sample(Packing::Gzip);
    registry.push(&layout, "latest", "secret:1");
    let name = format!("{}/secret:1", registry.address());
    let directory = tempfile::tempdir().unwrap();
    let with = |file: &str| {
        let path = directory.path().join("config.json");
        fs::write(&path, file).unwrap();
        RegistryConfig { credentials: Some(path), ..config(&[registry.address()]) }
    };
    let login = |user: &str, password: &str| {
        with(&serde_json::json!({ "auths": { registry.address(): { "username": user, "password": password } } }).to_string())
    };
    let home = Home::new();
    assert_eq!(home.pull(&name, &login(USER, PASSWORD)).unwrap().diff_ids(), made.diff_ids);
    let refused = |config: &RegistryConfig| {
        let home = Home::new();
        let error = home.pull(&name, config).unwrap_err().to_string();
        assert!(home.store().list().unwrap().is_empty());
        error
    };
    let error = refused(&login(USER, "wrong"));
    assert!(
        error.ends_with("the stored credentials are not accepted") && !error.contains("wrong"),
        "{error}"
    );
    let error = refused(&with("{}"));
    assert!(error.contains("needs a login"), "{error}");
    let error = refused(&with("{ not json"));
    assert!(error.contains("credentials for") && error.contains("cannot be read"), "{error}");
    let token = serde_json::json!({ "auths": { registry.address(): { "identitytoken": "t0ken" } } });
    let error = refused(&with(&token.to_string()));
    assert!(error.contains("is an identity token") && !error.contains("t0ken"), "{error}");
}

#[test]
fn credential_helpers_are_asked() {
    let registry = Registry::start_private();
    let (layout, _) = Layout::sample(Packing::Gzip);
    registry.push(&layout, "latest", "secret:1");
    let name = format!("{}/secret:1", registry.address());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.json");
    fs::write(&file, r#"{ "credsStore": "pyrotest" }"#).unwrap();
    let config = RegistryConfig { credentials: Some(file), ..config(&[registry.address()]) };
    let path = format!("{}:{}", directory.path().display(), std::env::var("PATH").unwrap());
    let pulled_with = |script: &str| {
        let helper = directory.path().join("docker-credential-pyrotest");
        fs::write(&helper, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
        let home = Home::new();
        let mut command = super::child::command(&[], home.path(), &name, &config);
        command.env("PATH", &path);
        super::child::outcome(command)
    };
    let answer = format!("cat > /dev/null; echo '{{\"Username\":\"{USER}\",\"Secret\":\"{PASSWORD}\"}}'");
    assert_eq!(pulled_with(&answer), Ok(()));
    let error =
        pulled_with("cat > /dev/null; echo 'credentials not found in native keychain'; exit 1").unwrap_err();
    assert!(error.contains("needs a login"), "{error}");
    let error = pulled_with("cat > /dev/null; echo 's3cret'; exit 7").unwrap_err();
    assert!(error.contains("docker-credential-pyrotest failed") && !error.contains("s3cret"), "{error}");
}

#[test]
fn local_names_are_never_looked_up() {
    let home = Home::new();
    let name = Reference::local("ws", "baseline").unwrap();
    let error = home.pull(&name.to_string(), &config(&[])).unwrap_err().to_string();
    assert!(error.contains("image of this store alone"), "{error}");
}
