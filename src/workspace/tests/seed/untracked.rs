//! What is neither tracked nor ignored is found by whoever was told before what that is, too.

use super::reuse::settle;
use super::support::{Bench, Checkout, listing};
use std::fs;

#[test]
fn whoever_has_looked_before_sees_what_a_newcomer_sees() {
    let checkout = Checkout::new();
    let path = checkout.path();
    let write = |name: &str, text: &str| {
        checkout.write(name, text);
    };
    // Directories into which git goes without finding anything.
    for idle in ["idle/deep", "dir/idle", "new/idle"] {
        fs::create_dir_all(path.join(idle)).unwrap();
    }
    write(".gitignore", "*.o\njunk/\n.hidden\n");
    write("objects/x.o", "");
    write("junk/deep/x", "");
    write("new/file", "");
    write("secret/.gitignore", ".gitignore\nshown\n");
    write("secret/shown", "");
    checkout.git(&["config", "core.excludesFile", path.join(".hidden").to_str().unwrap()]);
    write(".hidden", "one\n");
    let changes: [(&str, &dyn Fn()); 14] = [
        ("nothing", &|| ()),
        ("a file in an empty directory", &|| write("idle/deep/file", "")),
        ("one in an empty directory of a tracked one", &|| write("dir/idle/file", "")),
        ("one in an empty directory of an untracked one", &|| write("new/idle/file", "")),
        ("one where all was ignored", &|| write("objects/file", "")),
        ("one in a new directory", &|| write("fresh/deep/file", "")),
        ("new patterns", &|| write("fresh/.gitignore", "deep\n")),
        ("other patterns", &|| write("fresh/.gitignore", "file\n")),
        ("other patterns that are ignored", &|| write("secret/.gitignore", ".gitignore\n")),
        ("the repository's own patterns", &|| write(".git/info/exclude", "objects\n")),
        ("the user's own patterns", &|| write(".hidden", "one\nfresh\n")),
        ("another file of those", &|| drop(checkout.git(&["config", "core.excludesFile", "/dev/null"]))),
        ("a file that is tracked no more", &|| drop(checkout.git(&["rm", "-q", "--cached", "a"]))),
        ("another repository", &|| drop(checkout.git(&["clone", "-q", ".", "idle/other"]))),
    ];
    let bench = Bench::new();
    for (what, change) in changes {
        change();
        settle();
        let newcomer = Bench::new();
        let expected = listing(&newcomer.tree(path));
        let first = bench.seed(path);
        assert_eq!(listing(&bench.unpack(&first)), expected, "{what}");
        // By now what git says is known.
        let second = bench.seed(path);
        assert!(second.reused && second.layer == first.layer, "{what}");
    }
}

#[test]
fn git_is_not_asked_again_for_what_it_has_said() {
    let bench = Bench::new();
    let checkout = Checkout::new();
    checkout.write("dir/untracked", "");
    settle();
    let said = || {
        let entries = fs::read_dir(bench.home.cache().join("seed")).unwrap().map(Result::unwrap);
        entries.filter(|it| it.path().extension().is_some_and(|it| it == "said")).collect::<Vec<_>>()
    };
    let entries = bench.seed(checkout.path()).facts.entries;
    assert_eq!((entries, said().len()), (4, 2));
    // If it were asked, it would be found out that nothing is there any more.
    for kept in said() {
        let text = fs::read(kept.path()).unwrap();
        let at = text.windows(3).position(|it| it == b"dir").unwrap();
        fs::write(kept.path(), [&text[..at], b"DIR", &text[at + 3..]].concat()).unwrap();
    }
    assert!(bench.seed(checkout.path()).facts.entries < entries);
}
