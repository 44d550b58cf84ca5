//! What is removed, and what never is.

use super::support::{
    home::Home,
    layout::{Layout, Packing},
    tarball::{Tarball, noise},
};
use pyro_oci::{Digest, Image, Prune, PrunedKind, Reference, Silent, Store, import};
use std::{fs, path::Path, sync::mpsc, thread, time::Duration};

fn layer(seed: usize) -> Vec<u8> {
    Tarball::new().file(&format!("file-{seed}"), &noise(100_000 + seed)).bytes()
}

/// An image of these layers, with disk and tree.
fn install(store: &Store, name: &str, layers: &[usize]) -> Image {
    let layers: Vec<Vec<u8>> = layers.iter().map(|&seed| layer(seed)).collect();
    let (layout, _) = Layout::of(&layers, Packing::Gzip);
    let name: Reference = name.parse().unwrap();
    let image = import(store, &layout.path(), Some(&name), &Silent).unwrap();
    store.disk(&image).unwrap();
    store.tree(&image).unwrap();
    image
}

fn prune(store: &Store, all: bool, in_use: &[Digest]) -> Vec<(PrunedKind, String)> {
    let dry = store.sweep(|| {}).unwrap().prune(Prune { all, dry_run: true }, in_use).unwrap();
    let pruned = store.sweep(|| {}).unwrap().prune(Prune { all, dry_run: false }, in_use).unwrap();
    assert_eq!(dry.items, pruned.items, "a dry run tells what a real one does");
    assert_eq!(dry.bytes, pruned.bytes);
    let again = store.sweep(|| {}).unwrap().prune(Prune { all, dry_run: false }, in_use).unwrap();
    assert_eq!(again.items, [], "everything went at once");
    pruned.items.into_iter().map(|item| (item.kind, item.name)).collect()
}

fn count(directory: &Path) -> usize {
    fs::read_dir(directory).unwrap().count()
}

#[test]
fn nothing_goes_that_an_image_needs() {
    let home = Home::new();
    let store = home.store();
    let image = install(&store, "a:1", &[1, 2]);
    assert_eq!(prune(&store, false, &[]), []);
    assert_eq!(store.find(&image.reference).unwrap().unwrap().manifest, image.manifest);
}

#[test]
fn what_only_a_removed_image_had_goes() {
    let home = Home::new();
    let store = home.store();
    let kept = install(&store, "kept:1", &[1, 2]);
    let gone = install(&store, "gone:1", &[1, 3]);
    assert!(store.remove(&gone.reference).unwrap());
    assert!(!store.remove(&gone.reference).unwrap(), "it was removed already");
    let pruned = prune(&store, false, &[]);
    let blobs: Vec<&str> = pruned.iter().filter(|it| it.0 == PrunedKind::Blob).map(|it| &*it.1).collect();
    let own = [gone.manifest, gone.config_digest, gone.layers[1].diff_id, gone.source.unwrap().manifest];
    assert_eq!(blobs.len(), own.len(), "{blobs:?}");
    assert!(own.iter().all(|digest| blobs.contains(&&*digest.hex())));
    assert_eq!(store.find(&kept.reference).unwrap().unwrap().layers, kept.layers);
    assert_eq!([count(&home.path().join("cache/base")), count(&home.path().join("cache/tree"))], [2, 1]);
}

#[test]
fn a_name_that_moves_on_leaves_the_old_image_to_those_who_use_it() {
    let home = Home::new();
    let store = home.store();
    let old = install(&store, "moving:1", &[1]);
    let new = install(&store, "moving:1", &[2]);
    assert_eq!(store.list().unwrap().len(), 1);
    assert_eq!(prune(&store, true, &[old.manifest]).iter().filter(|it| it.0 == PrunedKind::Image).count(), 1);
    assert!(store.blob(&old.layers[0].diff_id).exists(), "a workspace runs on it");
    assert!(store.tree(&old).unwrap().join("file-1").exists());
    assert!(!store.blob(&new.layers[0].diff_id).exists(), "nobody uses it");
    prune(&store, false, &[]);
    assert!(!store.blob(&old.layers[0].diff_id).exists());
}

#[test]
fn all_leaves_only_what_is_in_use() {
    let home = Home::new();
    let store = home.store();
    let used = install(&store, "used:1", &[1, 2]);
    install(&store, "idle:1", &[2, 3]);
    let snapshot = Digest::of(&layer(3));
    let pruned = prune(&store, true, &[used.manifest, snapshot]);
    assert!(pruned.contains(&(PrunedKind::Image, "docker.io/library/idle:1".into())), "{pruned:?}");
    assert_eq!(store.list().unwrap().len(), 1);
    assert!(store.blob(&snapshot).exists(), "a single layer can be in use too");
    prune(&store, true, &[]);
    assert_eq!(count(&home.path().join("store/blobs/sha256")), 0);
    assert_eq!(count(&home.path().join("cache/toc")) + count(&home.path().join("cache/tree")), 0);
}

#[test]
fn what_a_crash_left_goes() {
    let home = Home::new();
    let store = home.store();
    let image = install(&store, "a:1", &[1]);
    let part = format!("{}.part", Digest::of(b"x").hex());
    fs::write(home.path().join("store/ingest").join(&part), vec![1; 10_000]).unwrap();
    fs::create_dir(home.path().join("trash/old")).unwrap();
    fs::write(home.path().join("trash/old/x"), b"x").unwrap();
    let pruned = prune(&store, false, &[]);
    assert_eq!(pruned, [(PrunedKind::Partial, part), (PrunedKind::Rest, "old".into())]);
    store.find(&image.reference).unwrap().expect("the image stays");
}

#[test]
fn pruning_waits_for_those_who_hold_the_store() {
    let home = Home::new();
    let store = home.store();
    let image = install(&store, "a:1", &[1]);
    let held = store.hold().unwrap();
    let (done, pruned) = mpsc::channel();
    let (waits, waiting) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            store
                .sweep(|| waits.send(()).unwrap())
                .unwrap()
                .prune(Prune { all: true, dry_run: false }, &[])
                .unwrap();
            done.send(()).unwrap();
        });
        waiting.recv().expect("it says that it waits");
        assert!(pruned.recv_timeout(Duration::from_millis(300)).is_err(), "it must wait");
        assert!(store.blob(&image.layers[0].diff_id).exists());
        drop(held);
        pruned.recv().unwrap();
    });
    assert!(store.list().unwrap().is_empty());
}

#[test]
fn the_list_tells_what_is_shared() {
    let home = Home::new();
    let store = home.store();
    install(&store, "one:1", &[1, 2]);
    install(&store, "two:1", &[1, 3, 3]);
    let list = store.list().unwrap();
    let disk = |seed: usize| {
        std::os::unix::fs::MetadataExt::blocks(&fs::metadata(store.blob(&Digest::of(&layer(seed)))).unwrap())
            * 512
    };
    assert_eq!([list[0].unique_disk, list[0].shared_disk], [disk(2), disk(1)]);
    assert_eq!([list[1].unique_disk, list[1].shared_disk], [disk(3), disk(1)]);
    assert_eq!([list[0].layers, list[1].layers], [2, 3]);
}

#[test]
fn a_newer_store_is_refused_and_left_alone() {
    let home = Home::new();
    let store = home.store();
    install(&store, "a:1", &[1]);
    let version = home.path().join("VERSION");
    fs::write(&version, "{\"layout\":2}\n").unwrap();
    let before = home.visible();
    let error = Store::open(home.path()).unwrap_err().to_string();
    assert!(error.contains("has layout 2; this program knows up to 1"), "{error}");
    fs::write(&version, "what?").unwrap();
    assert!(Store::open(home.path()).unwrap_err().to_string().contains("VERSION is damaged"));
    assert_eq!(home.visible(), before);
}

#[test]
fn what_lies_on_an_image_stays_as_long_as_its_layers() {
    let home = Home::new();
    let store = home.store();
    let seeds = [install(&store, "seed:1", &[1]), install(&store, "seed:2", &[2])];
    let layers = seeds.each_ref().map(|seed| seed.layers[0].diff_id);
    let disks = [store.delta(&layers[..1]).unwrap(), store.delta(&layers).unwrap()];
    let trees = store.delta_trees(&layers).unwrap();
    assert_eq!(prune(&store, false, &[]), []);
    for seed in seeds {
        store.remove(&seed.reference).unwrap();
    }
    prune(&store, false, &layers);
    assert_eq!(disks, [store.delta(&layers[..1]).unwrap(), store.delta(&layers).unwrap()]);
    assert!(disks.iter().all(|disk| disk.descriptor.exists()) && trees.iter().all(|tree| tree.exists()));
    prune(&store, false, &layers[..1]);
    assert_eq!(disks.each_ref().map(|disk| disk.descriptor.exists()), [true, false]);
    assert_eq!(trees.iter().map(|tree| tree.exists()).collect::<Vec<_>>(), [true, false]);
    prune(&store, false, &[]);
    assert_eq!([count(&home.path().join("cache/delta")), count(&home.path().join("cache/tree"))], [0, 0]);
}
