//! Files that are broken, or mean harm.

use super::{Bench, Row};
use crate::images::layout::{Layout, Packing};
use crate::images::tarball::{Tarball, noise};
use std::io::{Read as _, repeat};
use std::process::Command;
use tar::EntryType;

const FORMS: &str = "pyro env import takes";
const DAMAGED: &str = "download it again";

#[track_caller]
fn refused(what: &str, bytes: impl AsRef<[u8]>, message: &[&str], hint: &str) {
    let bench = Bench::new();
    bench.write("file.tar", bytes);
    let words = ["env", "import", "file.tar"];
    bench.refuses(&Row { what, words: &words, status: 1, code: "import", message, hint });
}

#[test]
fn files_that_are_none() {
    let bench = Bench::new();
    std::fs::create_dir(bench.file("directory")).unwrap();
    let fifo = Command::new("mkfifo").arg(bench.file("fifo")).status().unwrap();
    assert!(fifo.success());
    for (file, message, hint) in [
        ("missing.tar", "missing.tar: no such file or directory", "check that FILE is there"),
        ("directory", "the directory has no oci-layout", FORMS),
        ("fifo", "neither a file nor a directory", FORMS),
        ("/dev/zero", "neither a file nor a directory", FORMS),
    ] {
        let (words, message) = (["env", "import", file], [message]);
        bench.refuses(&Row { what: file, words: &words, status: 1, code: "import", message: &message, hint });
    }
    refused("empty", b"", &["file.tar is not an image: it is empty"], FORMS);
    refused("text", [b'x'; 2000], &["the checksum of its header is wrong"], DAMAGED);
    refused("an empty tar", Tarball::new().bytes(), &["it holds no files"], FORMS);
    bench.write("root.tar", Tarball::new().file("f", b"").bytes());
    bench.refuses(&Row {
        what: "a name that is none",
        words: &["env", "import", "root.tar", "-t", "No Name"],
        status: 2,
        code: "usage",
        message: &["must be lower-case"],
        hint: "pyro env list",
    });
}

/// An archive of an OCI directory, or what `docker save` makes of the same layer.
fn archives() -> [(&'static str, Vec<u8>); 2] {
    let layer = Tarball::new().file("noise", &noise(100_000)).bytes();
    let (layout, made) = Layout::of(std::slice::from_ref(&layer), Packing::Plain);
    let mut oci = tar::Builder::new(Vec::new());
    oci.append_dir_all(".", layout.path()).unwrap();
    let config = std::fs::read(layout.blob_path(&made.config)).unwrap();
    let manifest = r#"[{"Config":"c.json","RepoTags":["a:1"],"Layers":["layer.tar"]}]"#;
    // The members that say what it is come first: what is cut off is the layer.
    let docker = Tarball::new()
        .file("manifest.json", manifest.as_bytes())
        .file("c.json", &config)
        .file("layer.tar", &layer);
    [("OCI", oci.into_inner().unwrap()), ("docker", docker.bytes())]
}

#[test]
fn files_that_are_cut_off() {
    let root = Tarball::new().file("noise", &noise(100_000)).bytes();
    let half = |bytes: &[u8]| bytes[..bytes.len() / 2].to_vec();
    refused("root", half(&root), &["\"noise\"", "the tar ends inside it"], DAMAGED);
    refused("gzip", half(&Packing::Gzip.pack(&root)), &["cannot be decompressed"], DAMAGED);
    refused("zstd", half(&Packing::Zstd.pack(&root)), &["cannot be decompressed"], DAMAGED);
    for (what, archive) in archives() {
        refused(what, half(&archive), &[], "");
    }
}

#[test]
fn names_that_lead_outside() {
    let plain = || Tarball::new().directory("etc/");
    let link = |target| plain().link("link", EntryType::Link, target).bytes();
    refused(
        "..",
        plain().file("etc/../../x", b"").bytes(),
        &["etc/../../x", "has a `..` component"],
        DAMAGED,
    );
    let zero = plain().extended(&[("path", b"a\0b")]).file("x", b"").bytes();
    refused("zero", zero, &["has a zero byte"], DAMAGED);
    let escape = plain().file("a\u{1b}[2Jb/../..", b"").bytes();
    refused("escapes", escape, &["has a `..` component"], DAMAGED);
    let long = plain()
        .extended(&[("path", format!("{}/", "x".repeat(250)).repeat(20).as_bytes())])
        .file("x", b"")
        .bytes();
    refused("long", long, &["is longer than 4096 bytes"], DAMAGED);
    refused("a link up", link("../../etc/passwd"), &["\"link\"", "links to has a `..` component"], DAMAGED);
    // One below the image's own root, where there is nothing of that name. What came whole may stay.
    let bench = Bench::new();
    bench.write("file.tar", link("/etc/shadow"));
    bench.refuses_in_part(&Row {
        what: "an absolute link",
        words: &["env", "import", "file.tar"],
        status: 1,
        code: "import",
        message: &["the layers do not make a file system", "etc/shadow"],
        hint: DAMAGED,
    });
}

#[test]
fn an_absolute_name_is_one_below_the_images_root() {
    let bench = Bench::new();
    bench.write("root.tar", Tarball::new().file("/absolute", b"").bytes());
    bench.pyro(&["env", "import", "root.tar", "-t", "pyro.local/root:1"]).ended(0);
    bench.pyro(&["env", "export", "pyro.local/root:1", "out.tar", "--format", "rootfs"]).ended(0);
    let out = std::fs::read(bench.file("out.tar")).unwrap();
    let mut out = tar::Archive::new(&out[..]);
    let names = out.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string());
    assert!(names.collect::<Vec<_>>().contains(&"absolute".to_owned()));
}

#[test]
fn claims_that_would_fill_the_host() {
    let huge = |header: &mut tar::Header| header.set_size(1 << 40);
    let lie = Tarball::new().entry("x", EntryType::Regular, 0o644, b"", huge).bytes();
    refused("a size", lie, &["\"x\"", "over the limit of"], DAMAGED);
    let holes: &[(&str, &[u8])] =
        &[("GNU.sparse.size", b"10737418240"), ("GNU.sparse.numblocks", b"1"), ("GNU.sparse.map", b"0,1")];
    let sparse = Tarball::new().extended(holes).file("holes", b"x").bytes();
    refused("10 GB of holes", sparse, &["\"holes\"", "bytes of sparse files"], DAMAGED);
    let number = |header: &mut tar::Header| {
        header.set_device_major(0o777_7777).unwrap();
        header.set_device_minor(0).unwrap();
    };
    let device = Tarball::new().entry("sda", EntryType::Block, 0o666, b"", number).bytes();
    refused("a device", device, &["\"sda\"", "too large"], DAMAGED);
    let kind = Tarball::new().entry("volume", EntryType::new(b'M'), 0o666, b"", |_| {}).bytes();
    refused("a kind of member", kind, &["\"volume\"", "type 'M' is not supported"], DAMAGED);
    let zeros = zstd::encode_all(repeat(0).take((1 << 30) + (64 << 20)), 1).unwrap();
    refused("a bomb", zeros, &["more than 1100 times its size; this is a bomb"], DAMAGED);
    // gzip makes nothing a thousand times smaller: what it can hide is bounded by its own size.
    let zeros = Packing::Gzip.pack(&vec![0; 64 << 20]);
    refused("a small bomb", zeros, &["it holds no files"], FORMS);
}
