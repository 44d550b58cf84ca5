use super::*;
use crate::{Entry, Kind, Limits, Part, Payload, Time, Toc, overlay, scan};
use std::io::Cursor;

fn write(fill: impl FnOnce(&mut LayerWriter<'_>) -> Result<(), WriteError>) -> Result<Vec<u8>, WriteError> {
    let mut tar = Vec::new();
    let mut writer = LayerWriter::new(&mut tar);
    fill(&mut writer)?;
    writer.finish()?;
    Ok(tar)
}

fn read(tar: &[u8]) -> Toc {
    scan(tar, &Limits::default(), Cursor::new(Vec::new())).unwrap()
}

fn meta(mode: u16) -> Meta {
    Meta { mode, ..Meta::default() }
}

const DIRECTORY: Member<'_> = Member::Directory { opaque: false };

#[test]
fn everything_comes_back_as_it_was_written() {
    let long = [&[b'l'; 200][..], b"/", &[b'm'; 90]].concat();
    let xattr = |name: &[u8], value: &[u8]| Xattr { name: name.into(), value: value.into() };
    let odd = Meta {
        mode: 0o4755,
        uid: 3_000_000_000,
        gid: 2_097_152,
        mtime: Time { seconds: -5, nanos: 123_456_789 },
        xattrs: vec![xattr(b"security.capability", b"\x01\0\n="), xattr(b"user.x", b"")],
    };
    let tar = write(|writer| {
        writer.add(b"", &meta(0o755), DIRECTORY)?;
        writer.add(b"a", &meta(0o750), Member::Directory { opaque: true })?;
        writer.add(b"a/a\xff\n", &odd, Member::File { size: 3, content: &mut &b"abc"[..] })?;
        writer.add(b"a/block", &meta(0o600), Member::Block(Device { major: 4095, minor: 1_048_575 }))?;
        writer.add(b"a/gone", &odd, Member::Whiteout)?;
        writer.add(b"a/same", &odd, Member::HardLink(b"a/a\xff\n"))?;
        writer.add(b"a!", &meta(0o644), Member::File { size: 0, content: &mut io::empty() })?;
        writer.add(b"b", &meta(0o600), Member::Character(Device { major: 1, minor: 3 }))?;
        writer.add(b"c", &meta(0o600), Member::Fifo)?;
        writer.add(&long[..200], &meta(0o700), DIRECTORY)?;
        writer.add(&long, &meta(0o644), Member::Symlink(&long))
    })
    .unwrap();
    let link = Meta { xattrs: Vec::new(), ..odd.clone() };
    let file = |offset, size| Kind::File(Payload { part: Part::Tar, offset, size });
    let device = |major, minor| Device { major, minor };
    let expected: Vec<(&[u8], Kind, Meta)> = vec![
        (b"", Kind::Directory, meta(0o755)),
        (b"a", Kind::Directory, meta(0o750)),
        (b"a/.wh..wh..opq", file(0, 0), meta(0)),
        (b"a/a\xff\n", file(3072, 3), odd.clone()),
        (b"a/block", Kind::Block(device(4095, 1_048_575)), meta(0o600)),
        (b"a/.wh.gone", file(0, 0), meta(0)),
        (b"a/same", Kind::HardLink(b"a/a\xff\n"[..].into()), link),
        (b"a!", file(0, 0), meta(0o644)),
        (b"b", Kind::Character(device(1, 3)), meta(0o600)),
        (b"c", Kind::Fifo, meta(0o600)),
        (&long[..200], Kind::Directory, meta(0o700)),
        (&long, Kind::Symlink(long.as_slice().into()), meta(0o777)),
    ];
    let expected: Vec<Entry> =
        expected.into_iter().map(|(path, kind, meta)| Entry { path: path.into(), kind, meta }).collect();
    let toc = read(&tar);
    assert_eq!(toc.entries(), expected);
    assert_eq!(toc.tar_bytes(), tar.len() as u64);
    assert_eq!(&tar[3072..3075], b"abc");
    overlay(&[toc]).unwrap();
}

fn check(fill: impl FnOnce(&mut LayerWriter<'_>) -> Result<(), WriteError>, expected: &str) {
    assert_eq!(write(fill).map(|tar| tar.len()).unwrap_err().to_string(), expected);
}

fn after_a(writer: &mut LayerWriter<'_>, path: &[u8]) -> Result<(), WriteError> {
    writer.add(b"a", &meta(0o755), DIRECTORY)?;
    writer.add(b"a/b", &meta(0o644), Member::Fifo)?;
    writer.add(path, &meta(0o644), Member::Fifo)
}

#[test]
fn what_no_layer_can_hold_is_refused() {
    let fifo = || Member::Fifo;
    let empty = || meta(0o644);
    check(
        |w| w.add(b"../x", &empty(), fifo()),
        "\"../x\" cannot be in a layer: its path has a `..` component",
    );
    check(|w| w.add(b"a//b", &empty(), fifo()), "\"a//b\" is not a clean relative path");
    check(|w| w.add(b"/a", &empty(), fifo()), "\"/a\" is not a clean relative path");
    check(|w| w.add(b"", &empty(), fifo()), "\"\" cannot be in a layer: its path is empty");
    check(
        |w| w.add(b".wh.x", &empty(), fifo()),
        "\".wh.x\" cannot be in a layer: a name with .wh. in front means that something is gone",
    );
    check(|w| w.add(b"a/b", &empty(), fifo()), "the directory of \"a/b\" is not in the layer");
    check(|w| after_a(w, b"a/b"), "\"a/b\" is out of order");
    check(|w| after_a(w, b"a"), "\"a\" is out of order");
    check(|w| after_a(w, b"a/b/c"), "the directory of \"a/b/c\" is not in the layer");
    check(|w| after_a(w, b"ab/c"), "the directory of \"ab/c\" is not in the layer");
    write(|w| after_a(w, b"a-b")).unwrap();
    check(|w| w.add(b"a", &empty(), Member::Symlink(b"")), "\"a\" has a link target that no layer can hold");
    check(
        |w| w.add(b"a", &empty(), Member::HardLink(b"b")),
        "\"a\" has a link target that no layer can hold",
    );
    check(
        |w| w.add(b"a", &empty(), Member::Block(Device { major: 1 << 24, minor: 0 })),
        "\"a\" has a device number that no layer can hold",
    );
    check(
        |w| {
            let overlays = Xattr { name: b"trusted.overlay.opaque"[..].into(), value: b"y"[..].into() };
            w.add(b"a", &Meta { xattrs: vec![overlays], ..Meta::default() }, fifo())
        },
        "\"a\" has extended attributes that no layer can hold",
    );
}

#[test]
fn a_file_has_exactly_the_announced_bytes() {
    for (size, content) in [(3, "ab"), (3, "abcd"), (0, "a"), (CHUNK as u64 + 1, "x")] {
        let result = write(|writer| {
            writer.add(b"f", &Meta::default(), Member::File { size, content: &mut content.as_bytes() })
        });
        assert!(matches!(result, Err(WriteError::Size { size: told, .. }) if told == size), "{content}");
    }
    let size = 2 * CHUNK as u64 + 1;
    let content = vec![7; size as usize];
    let tar =
        write(|writer| writer.add(b"f", &Meta::default(), Member::File { size, content: &mut &content[..] }))
            .unwrap();
    assert!(tar[BLOCK..].starts_with(&content));
    assert_eq!(tar.len(), BLOCK + content.len().next_multiple_of(BLOCK) + 2 * BLOCK);
}
