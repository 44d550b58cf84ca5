use super::*;
use crate::Xattr;
use crate::tarball::{Tarball, record};
use std::io::Cursor;

fn scanned(tar: &[u8]) -> Result<(Toc, Vec<u8>), TarError> {
    let mut aux = Cursor::new(Vec::new());
    let toc = scan(tar, &Limits::default(), &mut aux)?;
    Ok((toc, aux.into_inner()))
}

fn entries(tar: Vec<u8>) -> Vec<Entry> {
    let (toc, _) = scanned(&tar).unwrap();
    assert_eq!(toc.tar_bytes(), tar.len() as u64);
    toc.entries
}

fn paths(tar: Vec<u8>) -> Vec<String> {
    entries(tar).into_iter().map(|entry| String::from_utf8(entry.path.into()).unwrap()).collect()
}

/// The problem with a tar, and the member that has it.
fn refusal(tar: &[u8]) -> (String, TarProblem) {
    match scanned(tar) {
        Err(TarError::Member { name, problem, .. }) => (name, problem),
        other => panic!("{other:?}"),
    }
}

fn tar_payload(offset: u64, size: u64) -> Kind {
    Kind::File(Payload { part: Part::Tar, offset, size })
}

#[test]
fn every_kind_of_member() {
    let tar = Tarball::new()
        .dir("./")
        .dir("a/")
        .file("a/file", b"hello")
        .link("a/link", "./a/file")
        .symlink("a/symlink", "../somewhere")
        .device(b'3', "null", 1, 3)
        .device(b'4', "sda", 8, 0)
        .member(b'6', "fifo", b"", |_| {})
        .member(b'7', "contiguous", b"x", |_| {})
        .member(0, "old", b"", |_| {})
        .member(0, "old-directory/", b"", |_| {});
    let found: Vec<(String, Kind)> = entries(tar.end())
        .into_iter()
        .map(|entry| (String::from_utf8(entry.path.into()).unwrap(), entry.kind))
        .collect();
    let expected = [
        ("", Kind::Directory),
        ("a", Kind::Directory),
        ("a/file", tar_payload(3 * 512, 5)),
        ("a/link", Kind::HardLink((*b"a/file").into())),
        ("a/symlink", Kind::Symlink((*b"../somewhere").into())),
        ("null", Kind::Character(Device { major: 1, minor: 3 })),
        ("sda", Kind::Block(Device { major: 8, minor: 0 })),
        ("fifo", Kind::Fifo),
        ("contiguous", tar_payload(10 * 512, 1)),
        ("old", tar_payload(0, 0)),
        ("old-directory", Kind::Directory),
    ];
    assert_eq!(found, expected.map(|(path, kind)| (path.to_owned(), kind)));
}

#[test]
fn what_a_header_says_about_a_member() {
    let tar = Tarball::new().member(b'0', "a", b"", |header| {
        header.set_mode(0o104_755);
        header.set_uid(70_000_000);
        header.set_gid(7);
        header.set_mtime(1_700_000_000);
    });
    let meta = &entries(tar.end())[0].meta;
    assert_eq!((meta.mode, meta.uid, meta.gid), (0o4755, 70_000_000, 7));
    assert_eq!(meta.mtime, Time { seconds: 1_700_000_000, nanos: 0 });
    let before_1970 = Tarball::new().member(b'0', "a", b"", |header| header.as_old_mut().mtime = [0xff; 12]);
    assert_eq!(entries(before_1970.end())[0].meta.mtime, Time { seconds: -1, nanos: 0 });
}

#[test]
fn an_extended_header_overrides_the_header() {
    let long = "d/".repeat(120) + "file";
    let tar = Tarball::new()
        .global(&[("comment", b"of git"), ("uid", b"5"), ("mtime", b"9.5")])
        .pax(&[
            ("path", long.as_bytes()),
            ("size", b"3"),
            ("uid", b"4294967295"),
            ("gid", b"6"),
            ("mtime", b"-1.25"),
            ("SCHILY.xattr.user.b", b"line\nline=\0"),
            ("LIBARCHIVE.xattr.user.%61", b"aGk"),
            ("LIBARCHIVE.xattr.user.b", b"bm90IHRoaXM="),
            ("SCHILY.xattr.com.apple.provenance", b"1"),
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            ("VENDOR.unknown", b"1"),
        ])
        .member(b'0', "short", b"", |header| header.set_size(0o7777))
        .raw(b"abc")
        .raw(&[0; 509])
        .pax(&[("linkpath", "t".repeat(200).as_bytes())])
        .symlink("link", "short");
    let entries = entries(tar.end());
    assert_eq!(*entries[0].path, *long.as_bytes());
    assert_eq!(entries[0].kind, tar_payload(5 * 512, 3));
    let xattr = |name: &[u8], value: &[u8]| Xattr { name: name.into(), value: value.into() };
    let expected = Meta {
        mode: 0o644,
        uid: u32::MAX,
        gid: 6,
        mtime: Time { seconds: -2, nanos: 750_000_000 },
        xattrs: vec![xattr(b"user.a", b"hi"), xattr(b"user.b", b"line\nline=\0")],
    };
    assert_eq!(entries[0].meta, expected);
    assert_eq!(entries[1].kind, Kind::Symlink([b't'; 200].into()));
    assert_eq!(entries[1].meta.uid, 5, "the global header still holds");
    assert_eq!(entries[1].meta.mtime, Time { seconds: 9, nanos: 500_000_000 });
}

#[test]
fn long_names_of_gnu_tar() {
    let (name, target) = ("n".repeat(150), "t/".repeat(150));
    let tar = Tarball::new()
        .member(b'L', "././@LongLink", format!("{name}\0").as_bytes(), |_| {})
        .member(b'K', "././@LongLink", target.as_bytes(), |_| {})
        .symlink("cut", "cut")
        .file("next", b"");
    let entries = entries(tar.end());
    assert_eq!(*entries[0].path, *name.as_bytes());
    assert_eq!(entries[0].kind, Kind::Symlink(target.into_bytes().into()));
    assert_eq!(*entries[1].path, *b"next");
}

#[test]
fn a_ustar_prefix_is_part_of_the_path() {
    let ustar = |header: &mut Header| {
        *header = Header::new_ustar();
        header.set_path(format!("{}/file", "p".repeat(120))).unwrap();
        header.set_size(0);
        header.set_mode(0o600);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_entry_type(::tar::EntryType::Regular);
    };
    let tar = Tarball::new().member(b'0', "", b"", ustar);
    assert_eq!(paths(tar.end()), [format!("{}/file", "p".repeat(120))]);
}

#[test]
fn the_oldest_tars_have_no_magic() {
    let tar = Tarball::new().member(b'0', "a", b"x", |header| header.as_mut_bytes()[257..].fill(0));
    assert_eq!(paths(tar.end()), ["a"]);
}

#[test]
fn a_checksum_may_be_that_of_signed_bytes() {
    let mut tar = Tarball::new().file("\u{e4}", b"").end();
    let value =
        |(at, &byte): (usize, &u8)| if (148..156).contains(&at) { 32 } else { byte.cast_signed().into() };
    let sum: i32 = tar[..512].iter().enumerate().map(value).sum();
    tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert_eq!(paths(tar), ["\u{e4}"]);
}

#[test]
fn a_tar_may_end_in_several_ways_and_is_read_to_its_end() {
    let one = || Tarball::new().file("a", b"x");
    assert_eq!(paths(one().cut()), ["a"]);
    assert_eq!(paths(one().raw(&[0; 512]).cut()), ["a"]);
    assert_eq!(paths(one().end()), ["a"]);
    assert_eq!(paths(one().raw(&[0; 1024]).raw(b"garbage, but part of the digest").cut()), ["a"]);
    assert_eq!(paths(Vec::new()), [""; 0]);
}

#[test]
fn sizes_of_members_without_data_count_nothing() {
    let sized = |header: &mut Header| {
        header.set_size(1 << 40);
        header.set_link_name_literal("a").unwrap();
    };
    let tar = [b'1', b'2', b'3', b'4', b'5', b'6']
        .iter()
        .fold(Tarball::new(), |tar, &flag| tar.member(flag, "x", b"", sized));
    assert_eq!(entries(tar.file("a", b"").end()).len(), 7);
}

/// The expanded bytes of the only file in a tar.
fn expanded(tar: Vec<u8>) -> (String, Vec<u8>) {
    let (toc, aux) = scanned(&tar).unwrap();
    assert_eq!(toc.aux_bytes(), aux.len() as u64);
    let entry = toc.entries().last().unwrap();
    let Kind::File(Payload { part: Part::Aux, offset, size }) = entry.kind else { panic!("{entry:?}") };
    let data = aux[offset as usize..][..size as usize].to_vec();
    (String::from_utf8(entry.path.clone().into()).unwrap(), data)
}

/// 600 bytes: a hole of 100, `abc`, a hole, `de` at 500, a hole.
fn sparse_bytes() -> Vec<u8> {
    let mut bytes = vec![0; 600];
    bytes[100..103].copy_from_slice(b"abc");
    bytes[500..502].copy_from_slice(b"de");
    bytes
}

#[test]
fn sparse_files_of_every_format_are_expanded() {
    let expected = ("real".to_owned(), sparse_bytes());
    let old = |header: &mut Header| {
        let header = header.as_gnu_mut().unwrap();
        header.set_real_size(600);
        header.sparse[0].set_offset(100);
        header.sparse[0].set_length(3);
        header.sparse[1].set_offset(500);
        header.sparse[1].set_length(2);
    };
    assert_eq!(expanded(Tarball::new().member(b'S', "real", b"abcde", old).end()), expected);

    let mut extension = ::tar::GnuExtSparseHeader::new();
    extension.sparse[0].set_offset(100);
    extension.sparse[0].set_length(3);
    extension.sparse[1].set_offset(500);
    extension.sparse[1].set_length(2);
    let extended = |header: &mut Header| {
        header.as_gnu_mut().unwrap().set_real_size(600);
        header.as_gnu_mut().unwrap().set_is_extended(true);
        header.set_size(5);
    };
    let tar = Tarball::new().member(b'S', "real", b"", extended).raw(extension.as_bytes()).raw(b"abcde");
    assert_eq!(expanded(tar.raw(&[0; 507]).end()), expected);

    let pax_00: &[(&str, &[u8])] = &[
        ("GNU.sparse.size", b"600"),
        ("GNU.sparse.numblocks", b"2"),
        ("GNU.sparse.offset", b"100"),
        ("GNU.sparse.numbytes", b"3"),
        ("GNU.sparse.offset", b"500"),
        ("GNU.sparse.numbytes", b"2"),
    ];
    assert_eq!(expanded(Tarball::new().pax(pax_00).file("real", b"abcde").end()), expected);

    let pax_01: &[(&str, &[u8])] = &[
        ("GNU.sparse.size", b"600"),
        ("GNU.sparse.numblocks", b"2"),
        ("GNU.sparse.name", b"./real"),
        ("GNU.sparse.map", b"100,3,500,2"),
    ];
    assert_eq!(expanded(Tarball::new().pax(pax_01).file("GNUSparseFile.1/real", b"abcde").end()), expected);

    let pax_10: &[(&str, &[u8])] = &[
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"real"),
        ("GNU.sparse.realsize", b"600"),
    ];
    let mut data = b"2\n100\n3\n500\n2\n".to_vec();
    data.resize(512, 0);
    data.extend_from_slice(b"abcde");
    assert_eq!(expanded(Tarball::new().pax(pax_10).file("GNUSparseFile.1/real", &data).end()), expected);
}

#[test]
fn a_file_of_one_hole_and_its_neighbours_in_the_auxiliary_part() {
    let hole: &[(&str, &[u8])] =
        &[("GNU.sparse.size", b"1500"), ("GNU.sparse.numblocks", b"0"), ("GNU.sparse.map", b"")];
    let full: &[(&str, &[u8])] = &[("GNU.sparse.size", b"512"), ("GNU.sparse.map", b"0,512")];
    let tar = Tarball::new().pax(hole).file("hole", b"").pax(full).file("full", &[7; 512]).end();
    let (toc, aux) = scanned(&tar).unwrap();
    let payload = |offset, size| Kind::File(Payload { part: Part::Aux, offset, size });
    assert_eq!(toc.entries()[0].kind, payload(0, 1500));
    assert_eq!(toc.entries()[1].kind, payload(1536, 512));
    assert_eq!(aux, [vec![0; 1536], vec![7; 512]].concat());
}

#[test]
fn hostile_tars_are_refused_by_name() {
    let one = Tarball::new;
    let big = |value: u64| move |header: &mut Header| header.set_size(value);
    let field = |at: usize, value: &'static [u8]| {
        move |header: &mut Header| header.as_mut_bytes()[at..at + value.len()].copy_from_slice(value)
    };
    let sparse = |map: &str, data: &[u8]| {
        let keys: &[(&str, &[u8])] = &[("GNU.sparse.size", b"100"), ("GNU.sparse.map", map.as_bytes())];
        Tarball::new().pax(keys).file("a", data).end()
    };
    let version_1 = |data: &[u8]| {
        let keys: &[(&str, &[u8])] =
            &[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"9")];
        Tarball::new().pax(keys).file("a", data).end()
    };
    let limit = Limits::default();
    use TarProblem as P;
    let table: Vec<(Vec<u8>, &str, TarProblem)> = vec![
        // Paths
        (one().file("../a", b"").end(), "../a", P::Path(NameError::Parent)),
        (one().file("a/../../b", b"").end(), "a/../../b", P::Path(NameError::Parent)),
        (one().file(".", b"").end(), ".", P::Path(NameError::Empty)),
        (one().symlink("/", "a").end(), "/", P::Path(NameError::Empty)),
        (one().pax(&[("path", b"a\0b")]).file("x", b"").end(), "a\0b", P::Path(NameError::Nul)),
        (one().pax(&[("path", b"..")]).file("x", b"").end(), "..", P::Path(NameError::Parent)),
        // Links
        (one().link("a", "/../etc/passwd").end(), "a", P::LinkPath(NameError::Parent)),
        (one().link("a", "").end(), "a", P::LinkPath(NameError::Empty)),
        (one().symlink("a", "").end(), "a", P::Target),
        (one().pax(&[("linkpath", &[b'x'; 4096])]).symlink("a", "b").end(), "a", P::Target),
        (one().pax(&[("linkpath", b"x\0")]).symlink("a", "b").end(), "a", P::Target),
        // Truncation
        (one().file("a", &[1; 600]).cut()[..1024].to_vec(), "a", P::Truncated),
        (one().file("a", &[1; 600]).cut()[..1200].to_vec(), "a", P::Truncated),
        (one().file("a", b"").cut()[..100].to_vec(), "", P::Truncated),
        (one().pax(&[("path", b"b")]).end(), "pax", P::Truncated),
        (one().member(b'L', "long", b"b", |_| {}).cut(), "long", P::Truncated),
        // Numbers
        (one().member(b'0', "a", b"", big(u64::MAX)).end(), "a", P::Limit { of: "bytes", limit: 64 << 30 }),
        (one().pax(&[("size", b"18446744073709551616")]).file("a", b"").end(), "pax", P::TooLarge("size")),
        (one().member(b'0', "a", b"", field(124, &[0xff; 12])).end(), "a", P::Negative("size")),
        (one().member(b'0', "a", b"", field(124, b"0000000009 ")).end(), "a", P::Number("size")),
        (one().member(b'0', "a", b"", field(108, &[0xff; 8])).end(), "a", P::Negative("owner")),
        (one().pax(&[("uid", b"4294967296")]).file("a", b"").end(), "pax", P::TooLarge("owner")),
        (one().pax(&[("gid", b"-1")]).file("a", b"").end(), "pax", P::Negative("group")),
        (one().pax(&[("mtime", b"soon")]).file("a", b"").end(), "pax", P::Number("modification time")),
        (one().device(b'3', "a", 4096, 0).end(), "a", P::TooLarge("device number")),
        (one().device(b'4', "a", 0, 1 << 20).end(), "a", P::TooLarge("device number")),
        (one().device(b'4', "a", u32::MAX, u32::MAX).end(), "a", P::TooLarge("device number")),
        // Extended headers
        (
            one().pax(&[("size", b"1"), ("size", b"2")]).file("a", b"x").end(),
            "pax",
            P::Duplicate("size".into()),
        ),
        (
            one().pax(&[("uid", b"1")]).pax(&[("gid", b"2")]).file("a", b"").end(),
            "pax",
            P::Duplicate("extended header".into()),
        ),
        (one().global(&[("size", b"1")]).file("a", b"").end(), "pax", P::Global("size".into())),
        (one().global(&[("path", b"p")]).file("a", b"").end(), "pax", P::Global("path".into())),
        (one().member(b'x', "pax", b"99 a=b\n", |_| {}).end(), "pax", P::Extended("99 a=b\n".into())),
        (one().member(b'x', "pax", b"6 a=b\n7", |_| {}).end(), "pax", P::Extended("7".into())),
        (one().member(b'x', "pax", b"5 a=b\n", |_| {}).end(), "pax", P::Extended("5 a=b\n".into())),
        (one().member(b'x', "pax", b"5 =b\n", |_| {}).end(), "pax", P::Extended("5 =b\n".into())),
        (one().member(b'x', "pax", b"5 ab\n", |_| {}).end(), "pax", P::Extended("5 ab\n".into())),
        (one().member(b'x', "pax", b"", big(2 << 20)).end(), "pax", P::TooLarge("extended header")),
        (one().member(b'L', "long", b"", big(2 << 20)).end(), "long", P::TooLarge("extended header")),
        (
            one().member(b'L', "l", b"a", |_| {}).member(b'L', "l", b"b", |_| {}).file("a", b"").end(),
            "l",
            P::Duplicate("long name".into()),
        ),
        (
            one().pax(&[("SCHILY.xattr.user.a", &[0; 65_536])]).file("a", b"").end(),
            "pax",
            P::TooLarge("extended attribute"),
        ),
        (
            one().pax(&[("LIBARCHIVE.xattr.user.%", b"")]).file("a", b"").end(),
            "pax",
            P::Extended("LIBARCHIVE.xattr.user.%".into()),
        ),
        // Sparse files
        (sparse("50,2,0,2", b"abcd"), "a", P::Sparse("is not in order")),
        (sparse("0,3,2,1", b"abcd"), "a", P::Sparse("is not in order")),
        (sparse("99,2", b"ab"), "a", P::Sparse("goes beyond the file")),
        (sparse("18446744073709551615,2", b"ab"), "a", P::Sparse("goes beyond the file")),
        (sparse("0,3", b"ab"), "a", P::Sparse("does not match the data")),
        (sparse("0", b"ab"), "pax", P::Sparse("has an offset without a length")),
        (one().pax(&[("GNU.sparse.size", b"1")]).file("a", b"").end(), "a", P::Sparse("is missing")),
        (
            one().pax(&[("GNU.sparse.size", b"1"), ("GNU.sparse.map", b"")]).symlink("a", "b").end(),
            "a",
            P::Sparse("belongs to no regular file"),
        ),
        (
            one().pax(&[("GNU.sparse.major", b"2"), ("GNU.sparse.size", b"1")]).file("a", b"").end(),
            "a",
            P::Sparse("has an unknown version"),
        ),
        (version_1(b"9\n"), "a", P::Sparse("is longer than the data")),
        (version_1(&[b'1'; 512]), "a", P::TooLarge("sparse map")),
        (version_1(&[b'\n'; 512]), "a", P::Number("sparse map")),
        (
            one().pax(&[("GNU.sparse.size", b"10737418240"), ("GNU.sparse.map", b"")]).file("a", b"").end(),
            "a",
            P::Limit { of: "bytes of sparse files", limit: limit.expanded_bytes },
        ),
        (
            one()
                .pax(&[("GNU.sparse.size", b"18446744073709551615"), ("GNU.sparse.map", b"")])
                .file("a", b"")
                .end(),
            "a",
            P::Limit { of: "bytes of sparse files", limit: limit.expanded_bytes },
        ),
        // Structure
        (one().member(b'V', "volume", b"", |_| {}).end(), "volume", P::Type(b'V')),
        (one().raw(&[0; 512]).file("a", b"").end(), "", P::AfterEnd),
        (one().raw(b"GIF89a\0").raw(&[1; 505]).end(), "GIF89a", P::Checksum),
        (one().file("a", b"").raw(b"b\0").raw(&[1; 510]).end(), "b", P::Checksum),
    ];
    for (number, (tar, name, problem)) in table.into_iter().enumerate() {
        assert_eq!(refusal(&tar), (name.to_owned(), problem), "row {number}");
    }
}

#[test]
fn limits_are_kept() {
    let tar = Tarball::new().file("aaaa", b"x").file("bbbb", b"").end();
    let length = tar.len() as u64;
    let with = |edit: fn(&mut Limits)| {
        let mut limits = Limits { layer_bytes: tar.len() as u64, ..Limits::default() };
        edit(&mut limits);
        scan(&tar[..], &limits, Cursor::new(Vec::new())).map(|toc| toc.entries().len())
    };
    let problem = |result: Result<usize, TarError>| match result {
        Err(TarError::Member { name, problem, .. }) => (name, problem),
        other => panic!("{other:?}"),
    };
    let of = |of, limit| TarProblem::Limit { of, limit };
    assert_eq!(with(|limits| limits.entries = 2).unwrap(), 2);
    assert_eq!(problem(with(|limits| limits.entries = 1)), ("bbbb".into(), of("entries", 1)));
    assert_eq!(with(|limits| limits.metadata_bytes = 8).unwrap(), 2);
    assert_eq!(
        problem(with(|limits| limits.metadata_bytes = 7)),
        ("bbbb".into(), of("bytes of metadata", 7))
    );
    assert_eq!(problem(with(|limits| limits.layer_bytes -= 1)).1, of("bytes", length - 1));
}

#[test]
fn failures_of_either_side_are_told_apart() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("unplugged"))
        }
    }
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::other("full"))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    impl Seek for Broken {
        fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
            Ok(0)
        }
    }
    let limits = Limits::default();
    assert!(matches!(scan(Broken, &limits, Cursor::new(Vec::new())), Err(TarError::Read(_))));
    let keys: &[(&str, &[u8])] = &[("GNU.sparse.size", b"1"), ("GNU.sparse.map", b"0,1")];
    let tar = Tarball::new().pax(keys).file("a", b"x").end();
    assert!(matches!(scan(&tar[..], &limits, Broken), Err(TarError::Aux(_))));
}

#[test]
fn a_record_counts_its_own_length() {
    assert_eq!(record("a", b"b"), b"6 a=b\n");
    assert_eq!(record("path", &[b'x'; 90])[..9], *b"99 path=x");
    assert_eq!(record("path", &[b'x'; 91])[..10], *b"101 path=x");
}
