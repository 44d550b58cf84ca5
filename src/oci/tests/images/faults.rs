//! Pulling while things break: connections, bytes, servers, disks, we ourselves.

use super::{
    child,
    support::{
        home::{Home, Seen, config, through},
        layout::{Layout, Made, OCI_MANIFEST, Packing},
        proxy::{Fault, Proxy},
        registry::Registry,
        tarball::{Tarball, noise},
    },
};
use pyro_oci::RegistryConfig;
use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::{Value, json};
use std::{fs, thread, time::Duration};

/// A registry with one image of one layer of 3 MiB that do not compress, behind a proxy.
struct Bench {
    proxy: Proxy,
    made: Made,
    home: Home,
    _registry: Registry,
}

const LAYER: usize = 3 << 20;

impl Bench {
    fn new() -> Self {
        let registry = Registry::start();
        let (layout, made) =
            Layout::of(&[Tarball::new().file("noise", &noise(LAYER)).bytes()], Packing::Gzip);
        registry.push(&layout, "latest", "noise:1");
        let proxy = Proxy::before(registry.address());
        Self { proxy, made, home: Home::new(), _registry: registry }
    }

    fn name(&self) -> String {
        format!("{}/noise:1", self.proxy.address())
    }

    /// Path part of requests for the layer.
    fn layer(&self) -> String {
        self.made.blobs[0].0.to_string()
    }

    /// Bytes of the layer that were sent so far, over all requests.
    fn sent(&self) -> u64 {
        self.proxy.requests(&self.layer()).iter().map(|request| request.sent as u64).sum()
    }

    fn size(&self) -> u64 {
        self.made.blobs[0].1
    }

    /// Pulls, which must fail and change nothing that can be seen.
    fn refused(&self, config: &RegistryConfig) -> String {
        self.home.store();
        let before = self.home.visible();
        let error = self.home.pull(&self.name(), config).unwrap_err().to_string();
        assert_eq!(self.home.visible(), before, "{error}");
        error
    }

    fn succeeds(&self) {
        self.proxy.mend();
        let image = self.home.pull(&self.name(), &through(&self.proxy)).unwrap();
        assert_eq!(image.diff_ids(), self.made.diff_ids);
        assert!(self.home.partial().is_empty(), "{:?}", self.home.partial());
    }
}

/// No second attempts.
fn once(proxy: &Proxy) -> RegistryConfig {
    RegistryConfig { retries: 0, ..through(proxy) }
}

#[test]
fn a_cut_connection_is_taken_up_where_it_ended() {
    let bench = Bench::new();
    bench.proxy.fail(&bench.layer(), 3, Fault::Cut(700_000));
    let seen = Seen::default();
    bench.home.pull_watched(&bench.name(), &through(&bench.proxy), &seen).unwrap();
    assert_eq!(seen.waits.lock().unwrap().len(), 3);
    let requests = bench.proxy.requests(&bench.layer());
    let starts: Vec<u64> = requests
        .iter()
        .map(|request| {
            request.range.as_deref().unwrap().trim_matches(|it: char| !it.is_ascii_digit()).parse().unwrap()
        })
        .collect();
    assert_eq!(starts.len(), 4);
    assert!(starts.is_sorted() && starts[1] > 0, "each goes on where the one before ended: {starts:?}");
    // What was on its way when the connection was cut comes twice.
    assert!(bench.sent() < bench.size() + (1 << 20), "{} of {}", bench.sent(), bench.size());
}

#[test]
fn a_pull_goes_on_where_an_earlier_one_broke_off() {
    let bench = Bench::new();
    bench.proxy.fail(&bench.layer(), 1, Fault::Cut(2 << 20));
    let error = bench.home.pull(&bench.name(), &once(&bench.proxy)).unwrap_err().to_string();
    assert!(error.contains("broke off the transfer of"), "{error}");
    assert!(bench.home.store().list().unwrap().is_empty());
    assert_eq!(bench.home.partial(), [format!("{}.part", bench.made.blobs[0].0.hex())]);
    bench.proxy.forget();
    let seen = Seen::default();
    bench.home.pull_watched(&bench.name(), &through(&bench.proxy), &seen).unwrap();
    let resumed = seen.resumed.lock().unwrap()[0];
    assert!(resumed >= 1 << 20, "{resumed}");
    assert_eq!(bench.sent(), bench.size() - resumed, "not one byte comes twice");
    assert!(bench.home.partial().is_empty());
}

#[test]
fn an_earlier_download_that_is_damaged_is_done_again() {
    let bench = Bench::new();
    bench.proxy.fail(&bench.layer(), 1, Fault::Cut(2 << 20));
    bench.home.pull(&bench.name(), &once(&bench.proxy)).unwrap_err();
    let part = bench.home.path().join(format!("store/ingest/{}.part", bench.made.blobs[0].0.hex()));
    let mut bytes = fs::read(&part).unwrap();
    bytes[1000] ^= 1;
    fs::write(&part, bytes).unwrap();
    bench.succeeds();
}

#[test]
fn a_connection_on_which_nothing_comes_is_given_up() {
    let bench = Bench::new();
    bench.proxy.fail(&bench.layer(), 1, Fault::Stall(100_000));
    let config = RegistryConfig { read_timeout_seconds: 1, ..through(&bench.proxy) };
    bench.home.pull(&bench.name(), &config).unwrap();
    assert_eq!(bench.proxy.requests(&bench.layer()).len(), 2);
}

#[test]
fn wrong_bytes_are_refused_and_the_next_pull_is_whole() {
    let rows: [(Fault, &str); 5] = [
        (Fault::Flip(5), "has wrong content: its digest is sha256:"),
        (Fault::Flip(1_000_000), "has wrong content: its digest is sha256:"),
        (Fault::Truncate(1_000_000), "sends 1000000 bytes for sha256:"),
        (Fault::Append(1), "but the manifest says"),
        (Fault::Cut(10), "broke off the transfer of"),
    ];
    for (fault, expected) in rows {
        let bench = Bench::new();
        bench.proxy.fail(&bench.layer(), usize::MAX, fault.clone());
        let error = bench.home.pull(&bench.name(), &once(&bench.proxy)).unwrap_err().to_string();
        assert!(error.contains(expected), "{fault:?}: {error}");
        assert!(bench.home.store().list().unwrap().is_empty(), "{fault:?}");
        assert!(!bench.home.store().blob(&bench.made.diff_ids[0]).exists(), "{fault:?}");
        bench.succeeds();
    }
}

#[test]
fn refusals_say_what_was_refused() {
    let bench = Bench::new();
    let config = RegistryConfig { retries: 2, ..through(&bench.proxy) };
    let rows = [
        ("/manifests/", 401, "refuses access to noise: it does not exist there, or it needs a login"),
        ("/manifests/", 403, "denies access to noise"),
        ("/manifests/", 404, "has no "),
        ("/manifests/", 429, "too many requests"),
        ("/manifests/", 500, "failed with status 500"),
        ("/manifests/", 418, "failed with status 418"),
        ("/blobs/", 404, "has no blob sha256:"),
        ("/blobs/", 401, "refuses access to noise"),
        ("/blobs/", 503, "failed with status 503"),
    ];
    for (path, code, expected) in rows {
        bench.proxy.forget();
        bench.proxy.fail(path, usize::MAX, Fault::status(code));
        let error = bench.home.pull(&bench.name(), &config).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains(bench.proxy.address()), "{path} {code}: {error}");
        assert!(bench.home.store().list().unwrap().is_empty(), "{path} {code}");
        let asked = bench.proxy.requests(path).iter().filter(|it| it.method == "GET").count();
        let expected = if [429, 500, 503].contains(&code) { 3 } else { 1 };
        assert_eq!(asked, expected, "{path} {code}: only what may pass is tried again");
        bench.proxy.mend();
    }
    let error =
        bench.home.pull(&format!("{}/nothing:1", bench.proxy.address()), &config).unwrap_err().to_string();
    assert!(error.contains("has no ") && error.contains("nothing:1"), "the registry's own 404: {error}");
    let gone = "127.0.0.1:1";
    let error =
        bench.home.pull(&format!("{gone}/noise:1"), &super::support::home::config(&[gone])).unwrap_err();
    assert!(error.to_string().contains("127.0.0.1:1 cannot be reached"), "{error}");
    bench.succeeds();
}

#[test]
fn a_servers_words_cannot_steer_the_terminal() {
    let bench = Bench::new();
    let words = format!("\u{1b}]0;owned\u{7}{}", "x".repeat(100_000));
    bench.proxy.fail("/manifests/", 1, Fault::Answer(500, vec![], words.into_bytes()));
    let error = bench.home.pull(&bench.name(), &once(&bench.proxy)).unwrap_err().to_string();
    assert!(!error.contains(char::is_control) && error.len() < 400, "{error:?}");
}

#[test]
fn what_passes_is_tried_again_when_the_server_wants_it() {
    let bench = Bench::new();
    bench.proxy.fail("/manifests/", 1, Fault::status(500));
    // The answer itself, and the one to the question how long.
    let later = || Fault::Answer(429, vec![("Retry-After", "1".to_owned())], Vec::new());
    bench.proxy.fail(&bench.layer(), 2, later());
    bench.proxy.fail("/blobs/", 1, Fault::status(502));
    let seen = Seen::default();
    bench.home.pull_watched(&bench.name(), &through(&bench.proxy), &seen).unwrap();
    let waits = seen.waits.lock().unwrap().clone();
    assert_eq!(waits.len(), 3);
    assert!(waits.contains(&Duration::from_secs(1)), "{waits:?}");
}

#[test]
fn documents_that_cannot_be_used_are_refused() {
    let bench = Bench::new();
    let manifest = || bench.made.manifest.clone();
    let change = |at: &str, value: Value| {
        let mut manifest = manifest();
        *manifest.pointer_mut(at).unwrap() = value;
        manifest.to_string().into_bytes()
    };
    let foreign = {
        let mut manifest = manifest();
        manifest["layers"][0]["urls"] = json!(["https://example.invalid/layer"]);
        manifest.to_string().into_bytes()
    };
    let rows: Vec<(Vec<u8>, &str)> = vec![
        (b"<html>log in to the hotel's network</html>".to_vec(), "the manifest is malformed"),
        (b"{}".to_vec(), "the manifest is malformed"),
        (vec![b' '; 5 << 20], "more than the 4194304 allowed"),
        (change("/schemaVersion", 1.into()), "schema version 1"),
        (change("/mediaType", "application/vnd.wasm.v1".into()), "is not a media type of container images"),
        (change("/config/mediaType", "application/vnd.oci.empty.v1+json".into()), "is not a media type"),
        (
            change("/layers/0/mediaType", "application/x-foo".into()),
            "unknown media type \"application/x-foo\"",
        ),
        (change("/layers/0/size", (1_u64 << 50).into()), "layer 1 claims 1125899906842624 bytes"),
        (change("/layers/0/size", 5.into()), "but the manifest says 5"),
        (change("/layers", Value::Array(vec![])), "the manifest lists 0 layers, the config 1"),
        (foreign, "https://example.invalid/layer"),
        (
            json!({ "schemaVersion": 2, "manifests": [] }).to_string().into_bytes(),
            "no linux/amd64 image among: nothing",
        ),
    ];
    for (document, expected) in rows {
        let answer = Fault::Answer(200, vec![("Content-Type", OCI_MANIFEST.to_owned())], document);
        bench.proxy.fail("/manifests/", 1, answer);
        let error = bench.refused(&once(&bench.proxy));
        assert!(error.contains(expected), "expected {expected:?}: {error}");
        bench.proxy.mend();
    }
    // A registry that answers a pinned digest with something else.
    let pinned =
        format!("{}/noise@{}", bench.proxy.address(), bench.made.descriptor["digest"].as_str().unwrap());
    let other = change("/layers/0/size", 5.into());
    bench.proxy.fail(
        "/manifests/",
        1,
        Fault::Answer(200, vec![("Content-Type", OCI_MANIFEST.to_owned())], other),
    );
    let error = bench.home.pull(&pinned, &once(&bench.proxy)).unwrap_err().to_string();
    assert!(error.contains("sends something else than"), "{error}");
    // A config that is not the one that the manifest names.
    bench.proxy.fail(&bench.made.config.to_string(), 1, Fault::Flip(20));
    let error = bench.home.pull(&bench.name(), &once(&bench.proxy)).unwrap_err().to_string();
    assert!(error.contains("the config has wrong content"), "{error}");
    bench.succeeds();
}

#[test]
fn an_image_for_another_system_is_refused() {
    let registry = Registry::start();
    let mut layout = Layout::new();
    let made = layout.image_for("arm64", &[Tarball::new().file("f", b"").bytes()], Packing::Gzip);
    layout.tag("latest", &made.descriptor);
    registry.push(&layout, "latest", "arm:1");
    let home = Home::new();
    let error =
        home.pull(&format!("{}/arm:1", registry.address()), &config(&[registry.address()])).unwrap_err();
    assert!(
        error.to_string().contains("the image is for linux/arm64; only linux/amd64 runs here"),
        "{error}"
    );
}

#[test]
fn a_killed_pull_leaves_nothing_to_see_and_the_next_one_goes_on() {
    let bench = Bench::new();
    bench.home.store();
    let before = bench.home.visible();
    bench.proxy.fail(&bench.layer(), 1, Fault::Slow(64 << 10, Duration::from_millis(20)));
    let mut process =
        child::command(&[], bench.home.path(), &bench.name(), &through(&bench.proxy)).spawn().unwrap();
    while bench.sent() < 1 << 20 {
        assert!(process.try_wait().unwrap().is_none(), "the pull ended before it could be killed");
        thread::sleep(Duration::from_millis(5));
    }
    kill_process(Pid::from_child(&process), Signal::KILL).unwrap();
    process.wait().unwrap();
    let stays = |line: &String| !line.starts_with("ingest/");
    let after: Vec<String> = bench.home.visible().into_iter().filter(stays).collect();
    assert_eq!(after, before, "only the part of the download stays");
    bench.proxy.mend();
    let seen = Seen::default();
    bench.home.pull_watched(&bench.name(), &through(&bench.proxy), &seen).unwrap();
    assert!(seen.resumed.lock().unwrap()[0] > 0);
    assert!(bench.home.partial().is_empty(), "{:?}", bench.home.partial());
}

#[test]
fn a_full_disk_is_named_and_nothing_half_stays() {
    let bench = Bench::new();
    bench.home.store();
    // A file system of its own, in a mount namespace of its own.
    let script = "mount -t tmpfs -o size=4m tmpfs \"$PYRO_OCI_CHILD_HOME\" && \"$@\"; code=$?; \
                  find \"$PYRO_OCI_CHILD_HOME/store\" -size +64k >&2; exit $code";
    let root: &[&str] = if geteuid().is_root() { &[] } else { &["--user", "--map-root-user"] };
    let before = [&["unshare", "--mount"], root, &["sh", "-c", script, "sh"]].concat();
    let mut command = child::command(&before, bench.home.path(), &bench.name(), &through(&bench.proxy));
    let output = command.output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{words}");
    assert!(words.contains("the disk is full"), "{words}");
    let big = words.lines().filter(|line| line.starts_with(&*bench.home.path().to_string_lossy()));
    assert_eq!(big.count(), 0, "{words}");
}
