use super::*;
use crate::tarball::Tarball;
use crate::{Limits, scan};
use std::io::Cursor;

/// A layer in words: `a/` is a directory, `a->b` a symbolic link, `a=>b` a hard link, `a` a file.
fn layer(words: &str) -> Toc {
    let tar = words.split_whitespace().fold(Tarball::new(), |tar, word| {
        if let Some((link, target)) = word.split_once("=>") {
            tar.link(link, target)
        } else if let Some((link, target)) = word.split_once("->") {
            tar.symlink(link, target)
        } else if word.ends_with('/') {
            tar.dir(word)
        } else {
            tar.file(word, b"")
        }
    });
    scan(&tar.end()[..], &Limits::default(), Cursor::new(Vec::new())).unwrap()
}

/// A tree in words: `a@1` is a file of layer 1, `a->b` a symbolic link, `a/` a directory, `a/*` an
/// opaque one, `-a` a whiteout.
fn words(tree: &Tree<'_>) -> String {
    let mut words = Vec::new();
    let mut walk = tree.walk();
    while let Some(visit) = walk.next() {
        let path = display(visit.path);
        match &visit.node.kind {
            NodeKind::Directory(Directory { opaque: true, .. }) => words.push(format!("{path}/*")),
            NodeKind::Directory(_) => words.push(format!("{path}/")),
            NodeKind::File(content) => words.push(format!("{path}@{}", content.layer)),
            NodeKind::Symlink(target) => words.push(format!("{path}->{}", display(target))),
            NodeKind::Whiteout => words.push(format!("-{path}")),
            other => panic!("{other:?}"),
        }
    }
    assert!(words.remove(0).starts_with('/'), "the root comes first");
    words.join(" ")
}

fn check(layers: &[&str], flat: &str, over: &str) {
    let tocs: Vec<Toc> = layers.iter().map(|words| layer(words)).collect();
    assert_eq!(words(&flatten(&tocs).unwrap()), flat, "{layers:?} flattened");
    assert_eq!(words(&overlay(&tocs).unwrap()), over, "{layers:?} as an overlay");
}

#[test]
fn deleting() {
    check(&["a b", ".wh.a"], "b@0", "-a b@0");
    check(&["a/ a/f", ".wh.a"], "", "-a");
    check(&["a->b", ".wh.a"], "", "-a");
    check(&["a/ a/f a/g", "a/ a/.wh.f"], "a/ a/g@0", "a/ -a/f a/g@0");
    check(&["a", ".wh.b"], "a@0", "a@0 -b");
    check(&["a", ".wh.a", ".wh.a"], "", "-a");
    check(&["a/ a/f", ".wh.a/"], "", "-a");
}

#[test]
fn replacing_without_a_whiteout() {
    check(&["a", "a"], "a@1", "a@1");
    check(&["a", "a/ a/f"], "a/ a/f@1", "a/* a/f@1");
    check(&["a", "a->b"], "a->b", "a->b");
    check(&["a/ a/f", "a"], "a@1", "a@1");
    check(&["a/ a/f", "a->b"], "a->b", "a->b");
    check(&["a/ a/f", "a/ a/g"], "a/ a/f@0 a/g@1", "a/ a/f@0 a/g@1");
    check(&["a->b", "a"], "a@1", "a@1");
    check(&["a->b", "a/ a/f"], "a/ a/f@1", "a/* a/f@1");
    check(&["a->b", "a->c"], "a->c", "a->c");
    check(&["a/ a/f", "a", "a/ a/g"], "a/ a/g@2", "a/* a/g@2");
    check(&["a", "a/ a/f", "a"], "a@2", "a@2");
}

#[test]
fn deleting_and_creating_again() {
    check(&["a", ".wh.a", "a"], "a@2", "a@2");
    check(&["a/ a/f", ".wh.a", "a/ a/g"], "a/ a/g@2", "a/* a/g@2");
    check(&["a/ a/f", ".wh.a", "a"], "a@2", "a@2");
    check(&["a", ".wh.a", "a/"], "a/", "a/*");
    check(&["a->b", ".wh.a", "a/"], "a/", "a/*");
    check(&["a/ a/f", ".wh.a", "a->b"], "a->b", "a->b");
}

#[test]
fn whiteouts_act_on_earlier_layers_wherever_they_stand() {
    check(&["a", ".wh.a a"], "a@1", "a@1");
    check(&["a", "a .wh.a"], "a@1", "a@1");
    check(&["a/ a/f", ".wh.a a/ a/g"], "a/ a/g@1", "a/* a/g@1");
    check(&["a/ a/f", "a/ a/g .wh.a"], "a/ a/g@1", "a/* a/g@1");
    check(&["a/ a/f", "a/g .wh.a"], "a/ a/g@1", "a/* a/g@1");
    check(&["a/ a/f", ".wh.a a/g"], "a/ a/g@1", "a/* a/g@1");
    check(&["a/ a/b/ a/b/f", "a/b/g .wh.a"], "a/ a/b/ a/b/g@1", "a/* a/b/ a/b/g@1");
}

#[test]
fn opaque_directories() {
    check(&["a/ a/f", "a/ a/.wh..wh..opq a/g"], "a/ a/g@1", "a/* a/g@1");
    check(&["a/ a/f", "a/ a/g a/.wh..wh..opq"], "a/ a/g@1", "a/* a/g@1");
    check(&["a/ a/b/ a/b/f", "a/ a/b/ a/b/g a/.wh..wh..opq"], "a/ a/b/ a/b/g@1", "a/* a/b/ a/b/g@1");
    check(&["a/ a/b/ a/b/f", "a/.wh..wh..opq"], "a/", "a/*");
    check(&["a/ a/f", "a/ a/.wh..wh..opq", "a/ a/g"], "a/ a/g@2", "a/* a/g@2");
    check(&["a b", ".wh..wh..opq c"], "c@1", "c@1");
    check(&["a", "b/.wh..wh..opq"], "a@0", "a@0 b/*");
    check(&["a/ a/f", "a/.wh..wh..opq a/g a/.wh..wh..opq"], "a/ a/g@1", "a/* a/g@1");
}

#[test]
fn the_root_can_be_opaque() {
    let tocs = [layer("a"), layer(".wh..wh..opq")];
    let tree = overlay(&tocs).unwrap();
    assert!(matches!(tree.node(tree.root()).kind, NodeKind::Directory(Directory { opaque: true, .. })));
}

#[test]
fn what_aufs_left_is_ignored() {
    check(&["a", ".wh..wh.aufs .wh..wh.plnk/ .wh..wh.plnk/1.2 a"], "a@1", "a@1");
}

#[test]
fn parents_that_no_layer_describes() {
    let tocs = [layer("a/b/f")];
    let tree = flatten(&tocs).unwrap();
    assert_eq!(words(&tree), "a/ a/b/ a/b/f@0");
    assert_eq!(tree.node(tree.find(b"a/b").unwrap()).meta, &BARE);
}

#[test]
fn a_directory_over_a_directory_gives_it_new_metadata() {
    let first = Tarball::new().dir("a").file("a/f", b"");
    let second = Tarball::new().member(b'5', "a", b"", |header| header.set_uid(7));
    let tocs =
        [first, second].map(|tar| scan(&tar.end()[..], &Limits::default(), Cursor::new(Vec::new())).unwrap());
    let tree = flatten(&tocs).unwrap();
    assert_eq!(words(&tree), "a/ a/f@0");
    assert_eq!(tree.node(tree.find(b"a").unwrap()).meta.uid, 7);
}

#[test]
fn hard_links_share_a_node_across_layers() {
    let tocs = [layer("a b=>a s->x"), layer("c=>a d/ d/s=>s"), layer(".wh.a")];
    let tree = flatten(&tocs).unwrap();
    assert_eq!(words(&tree), "b@0 c@0 d/ d/s->x s->x");
    assert_eq!(tree.find(b"b"), tree.find(b"c"));
    assert_eq!(tree.node(tree.find(b"b").unwrap()).links, 2);
    assert_eq!(tree.find(b"s"), tree.find(b"d/s"));
    assert_eq!(tree.node(tree.root()).links, 3);
    // A link refers to what is there at its place in the tar.
    check(&["a b=>a a", "c=>a"], "a@0 b@0 c@0", "a@0 b@0 c@0");
    check(&["a", "b=>a a"], "a@1 b@0", "a@1 b@0");
    check(&["a", "a=>a"], "a@0", "a@0");
}

#[test]
fn symbolic_links_on_the_way_are_followed_inside_the_tree() {
    let flat = |layers: &[&str]| {
        let tocs: Vec<Toc> = layers.iter().map(|words| layer(words)).collect();
        flatten(&tocs).map(|tree| words(&tree))
    };
    assert_eq!(
        flat(&["usr/ usr/lib/ lib->usr/lib", "lib/x"]).unwrap(),
        "lib->usr/lib usr/ usr/lib/ usr/lib/x@1"
    );
    assert_eq!(flat(&["a/ a/up->../../../b b/", "a/up/x"]).unwrap(), "a/ a/up->../../../b b/ b/x@1");
    assert_eq!(flat(&["l->/d d/ d/x", "l/.wh.x"]).unwrap(), "d/ l->/d");
    assert_eq!(flat(&["l->d d/ d/x", "y=>l/x"]).unwrap(), "d/ d/x@0 l->d y@0");
    assert_eq!(flat(&["l->new/deep", "l/x"]).unwrap(), "l->new/deep new/ new/deep/ new/deep/x@1");
}

#[test]
fn entries_that_cannot_be_placed_are_errors() {
    let table: &[(&[&str], usize, &str, MergeProblem)] = &[
        (&["b=>a a"], 0, "b", MergeProblem::LinkTarget("a".into())),
        (&["a", ".wh.a b=>a"], 1, "b", MergeProblem::LinkTarget("a".into())),
        (&["a/ b=>a"], 0, "b", MergeProblem::LinkDirectory("a".into())),
        (&["a a/b"], 0, "a/b", MergeProblem::NotDirectory("a".into())),
        (&["a->a", "a/b"], 1, "a/b", MergeProblem::Loop),
        (&["a->b b->a", "a/x"], 1, "a/x", MergeProblem::Loop),
        (&["a", ".wh."], 1, ".wh.", MergeProblem::Whiteout),
        (&[".wh.a/b"], 0, ".wh.a/b", MergeProblem::Whiteout),
    ];
    for (layers, number, path, problem) in table {
        let tocs: Vec<Toc> = layers.iter().map(|words| layer(words)).collect();
        let expected = MergeError { layer: *number, path: (*path).into(), problem: problem.clone() };
        assert_eq!(flatten(&tocs).unwrap_err(), expected, "{layers:?}");
    }
}

#[test]
fn links_cannot_dig_deeper_than_the_limit() {
    let deep = "d/".repeat(200);
    let first = Tarball::new().dir(&deep[..99]).pax(&[("linkpath", deep.as_bytes())]).symlink("l", "x");
    let second = Tarball::new().pax(&[("path", format!("l/{deep}f").as_bytes())]).file("x", b"");
    let tocs =
        [first, second].map(|tar| scan(&tar.end()[..], &Limits::default(), Cursor::new(Vec::new())).unwrap());
    assert_eq!(flatten(&tocs).unwrap_err().problem, MergeProblem::Loop);
}
