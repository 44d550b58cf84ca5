//! Archives.

use super::support::{Bench, listing, run};
use pyro_workspace::SeedMode;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use tar::{Builder, EntryType, Header};

/// A directory with a bit of everything that may be in an archive.
fn sample(directory: &Path) -> PathBuf {
    let path = directory.join("sample");
    fs::create_dir_all(path.join("dir")).unwrap();
    fs::write(path.join("dir/file"), "x\n").unwrap();
    fs::hard_link(path.join("dir/file"), path.join("same")).unwrap();
    symlink("dir/file", path.join("link")).unwrap();
    run(Command::new("truncate").arg("-s8M").arg(path.join("holes")));
    run(Command::new("chmod").arg("4711").arg(path.join("dir/file")));
    path
}

#[test]
fn every_kind_of_archive_is_taken() {
    let bench = Bench::new();
    let directory = tempfile::tempdir().unwrap();
    let sample = sample(directory.path());
    for (name, option) in
        [("a.tar", "--sparse"), ("a.tar.gz", "--gzip"), ("a.tgz", "--gzip"), ("a.tar.zst", "--zstd")]
    {
        let archive = directory.path().join(name);
        run(Command::new("tar").arg(option).arg("-cf").arg(&archive).arg("-C").arg(&sample).arg("."));
        let seeded = bench.seed(&archive);
        assert_eq!((seeded.facts.mode, seeded.facts.entries), (SeedMode::Archive, 4), "{name}");
        let tree = bench.unpack(&seeded);
        let listed = listing(&tree).into_iter().filter(|line| !line.starts_with("holes "));
        let expected = ["dir/ 755", "dir/file 755 x", "link -> dir/file", "same 755 x"];
        assert_eq!(listed.collect::<Vec<_>>(), expected, "{name}");
        let ino = |path: &str| fs::metadata(tree.join(path)).unwrap().ino();
        assert_eq!(ino("same"), ino("dir/file"), "{name}");
        assert_eq!(fs::metadata(tree.join("holes")).unwrap().len(), 8 << 20, "{name}");
    }
}

fn refusal(members: &[(&[u8], EntryType, &str)]) -> String {
    let mut builder = Builder::new(Vec::new());
    for (path, kind, target) in members {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..path.len()].copy_from_slice(path);
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.set_size(0);
        header.set_link_name_literal(target).unwrap();
        header.set_cksum();
        builder.append(&header, &b""[..]).unwrap();
    }
    let bench = Bench::new();
    let archive = bench.home.path().parent().unwrap().join("x.tar");
    fs::write(&archive, builder.into_inner().unwrap()).unwrap();
    let words = bench.refusal(&archive);
    let start = format!("cannot seed from the archive {}: ", archive.canonicalize().unwrap().display());
    words.strip_prefix(&start).unwrap_or(&words).to_owned()
}

#[test]
fn unsafe_members_are_refused() {
    let file = EntryType::Regular;
    assert_eq!(
        refusal(&[(b"../x", file, "")]),
        "tar member \"../x\" at byte 0: its path has a `..` component"
    );
    assert_eq!(refusal(&[(b"null", EntryType::Char, "")]), "member \"null\" is a device");
    assert_eq!(refusal(&[(b"pipe", EntryType::Fifo, "")]), "member \"pipe\" is a named pipe");
    assert_eq!(
        refusal(&[(b"a", EntryType::Symlink, "/etc"), (b"a/passwd", file, "")]),
        "member \"a/passwd\" lies behind a symbolic link"
    );
    assert_eq!(
        refusal(&[(b"a/passwd", file, ""), (b"a", EntryType::Symlink, "/etc")]),
        "member \"a\" takes the place of a directory that has members"
    );
    assert_eq!(
        refusal(&[(b"a", EntryType::Link, "../../etc/passwd")]),
        "tar member \"a\" at byte 0: the path that it links to has a `..` component"
    );
    assert_eq!(
        refusal(&[(b"a", EntryType::Link, "etc/passwd")]),
        "entry \"a\" of layer 0: it is a hard link to \"etc/passwd\", which does not exist before it"
    );
    assert_eq!(
        refusal(&[(b".wh.a", file, "")]),
        "member \".wh.a\" has a name that means in a layer that something is gone"
    );
}

#[test]
fn what_is_no_archive_is_refused() {
    let bench = Bench::new();
    let file = bench.home.path().parent().unwrap().join("notes.txt");
    fs::write(&file, "notes\n".repeat(100)).unwrap();
    assert!(bench.refusal(&file).contains("the checksum of its header is wrong"), "{}", bench.refusal(&file));
    fs::write(&file, "").unwrap();
    assert!(bench.refusal(&file).contains("it is empty"), "{}", bench.refusal(&file));
}
