//! Seeds that are there already, and sources that change.

use super::child;
use super::support::{Bench, Checkout, never, run};
use pyro_workspace::{Cancel, OriginKind, Owner, Seed, SeedError};
use std::fs::{self, File};
use std::io::{Seek as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Until clocks of file systems have moved on: what is newer is not trusted.
pub fn settle() {
    thread::sleep(Duration::from_millis(50));
}

#[test]
fn a_layer_does_not_tell_when_it_was_made() {
    let checkout = Checkout::new();
    let mut touch = std::process::Command::new("find");
    touch.arg(checkout.path()).args(["-exec", "touch", "-h", "-d", "2001-02-03", "{}", "+"]);
    run(&mut touch);
    let first = Bench::new().seed(checkout.path());
    settle();
    assert!(first.layer == Bench::new().seed(checkout.path()).layer);
}

#[test]
fn an_unchanged_source_is_the_same_layer_and_any_change_another() {
    let bench = Bench::new();
    let checkout = Checkout::new();
    settle();
    let mut last = bench.seed(checkout.path());
    assert!(!last.reused);
    let write = |path: &str, text: &str| {
        checkout.write(path, text);
    };
    let changes: [(&str, &dyn Fn()); 6] = [
        ("content", &|| write("a", "other\n")),
        ("new file", &|| write("new", "")),
        ("mode", &|| drop(run(std::process::Command::new("chmod").arg("+x").arg(checkout.path().join("a"))))),
        ("index", &|| drop(checkout.git(&["add", "new"]))),
        ("head", &|| drop(checkout.git(&["commit", "-q", "-m", "x"]))),
        ("remote", &|| drop(checkout.git(&["remote", "add", "origin", "https://example.org/x"]))),
    ];
    for (what, change) in changes {
        change();
        settle();
        let next = bench.seed(checkout.path());
        assert!(!next.reused && next.layer != last.layer, "{what}");
        let again = bench.seed(checkout.path());
        assert!(again.reused && again.layer == next.layer && again.facts == next.facts, "{what}");
        last = next;
    }
    let other = Seed::of(checkout.path()).unwrap().named_by(OriginKind::ProjectPath, "here");
    let other = other.layer(&bench.home, Owner { uid: 7, gid: 7 }, never(&Cancel::new().unwrap())).unwrap();
    assert!(!other.reused, "it has another owner");
    assert_eq!((other.facts.origin_kind, &*other.facts.origin_ref), (OriginKind::ProjectPath, "here"));
    // A layer that is gone is made again.
    fs::remove_file(bench.home.store().blob(&last.layer.diff_id)).unwrap();
    assert!(!bench.seed(checkout.path()).reused);
}

#[test]
fn an_unchanged_checkout_is_not_read() {
    let bench = Bench::new();
    let checkout = Checkout::new();
    settle();
    let trace = bench.home.cache().join("trace");
    let opened = || {
        let before =
            ["strace", "-f", "-qq", "-e", "trace=open,openat,openat2", "-o", trace.to_str().unwrap()];
        child::told(&mut child::command(&before, bench.home.path(), checkout.path()));
        let trace = fs::read_to_string(&trace).unwrap();
        assert!(trace.contains(".git/config\""), "{trace}");
        let files = ["\"a\"", "\"b\"", "\"dir/b\"", "\"run\""];
        trace.lines().filter(|line| files.iter().any(|file| line.contains(file))).count()
    };
    assert!(opened() >= 3, "the first time, each file");
    assert_eq!(opened(), 0);
}

#[test]
fn the_cache_forgets_what_is_gone_and_what_a_crash_left() {
    let bench = Bench::new();
    let checkout = Checkout::new();
    settle();
    let first = bench.seed(checkout.path());
    let cache = bench.home.cache().join("seed");
    fs::create_dir(cache.join("tmp-crashed")).unwrap();
    fs::remove_file(bench.home.store().blob(&first.layer.diff_id)).unwrap();
    checkout.write("a", "other\n");
    settle();
    bench.seed(checkout.path());
    let names: Vec<_> = fs::read_dir(cache).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(names.iter().filter(|name| name.to_string_lossy().ends_with(".json")).count(), 1, "{names:?}");
    assert!(!names.iter().any(|name| name.to_string_lossy().starts_with("tmp-")), "{names:?}");
}

#[test]
fn a_seed_that_is_cancelled_leaves_nothing() {
    let bench = Bench::new();
    let checkout = Checkout::new();
    let cancel = Cancel::new().unwrap();
    cancel.cancel();
    let seeded = Seed::of(checkout.path()).unwrap().layer(&bench.home, Owner::default(), never(&cancel));
    assert!(matches!(seeded, Err(SeedError::Cancelled)), "{seeded:?}");
    let left = |directory: &std::path::Path| {
        let names = fs::read_dir(directory).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("tmp-") || name.starts_with(".tmp")).collect::<Vec<_>>()
    };
    assert_eq!(left(&bench.home.cache().join("seed")), [""; 0]);
    assert_eq!(left(&bench.home.store().layout().join("blobs/sha256")), [""; 0]);
    // Nothing stands in the way of the next one.
    bench.seed(checkout.path());
}

#[test]
fn a_file_that_changes_is_whole_or_refused() {
    let bench = Bench::new();
    let source = tempfile::tempdir().unwrap();
    let path = source.path().join("changing");
    fs::write(&path, vec![b'0'; 3 << 20]).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = File::options().write(true).open(&path).unwrap();
            // Another digit all over, and now shorter, now longer.
            for round in (0..10_u8).cycle().take_while(|_| !done.load(Ordering::Relaxed)) {
                let content = vec![b'0' + round; (2 << 20) + (usize::from(round) << 17)];
                file.rewind().unwrap();
                file.write_all(&content).unwrap();
                file.set_len(content.len() as u64).unwrap();
            }
        });
        for _ in 0..10 {
            match bench.try_seed(source.path()) {
                Ok(seeded) => assert_eq!(
                    fs::metadata(bench.unpack(&seeded).join("changing")).unwrap().len(),
                    seeded.facts.bytes
                ),
                Err(SeedError::Changing(name)) => assert_eq!(name, "changing"),
                Err(error) => panic!("{error}"),
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn two_at_once_make_one_layer() {
    let bench = Bench::new();
    let checkout = Checkout::new();
    settle();
    let layers = thread::scope(|scope| {
        let seeds: Vec<_> = (0..4).map(|_| scope.spawn(|| bench.seed(checkout.path()))).collect();
        seeds.into_iter().map(|seed| seed.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(layers.iter().filter(|seeded| !seeded.reused).count(), 1);
    assert!(layers.iter().all(|seeded| seeded.layer == layers[0].layer));
}
