//! Layers of our own making.

use super::support::{home::Home, run, tarball::noise};
use pyro_layer::{LayerWriter, Limits, Member, Meta, Time, WriteError, scan};
use pyro_oci::{Digest, Layer, LayerError};
use std::{fs, io, os::unix::fs::MetadataExt as _};

const DIRECTORY: Member<'_> = Member::Directory { opaque: false };

fn meta() -> Meta {
    Meta { mode: 0o755, ..Meta::default() }
}

fn two_files(writer: &mut LayerWriter<'_>) -> Result<(), WriteError> {
    let (zeros, noise) = (vec![0; 8 << 20], noise(1 << 20));
    writer.add(b"d", &meta(), DIRECTORY)?;
    writer.add(b"d/noise", &meta(), Member::File { size: noise.len() as u64, content: &mut &noise[..] })?;
    writer.add(b"d/zeros", &meta(), Member::File { size: zeros.len() as u64, content: &mut &zeros[..] })
}

fn write(home: &Home) -> Layer {
    home.store().write_layer(|writer| two_files(writer).map_err(LayerError::from)).unwrap()
}

#[test]
fn a_written_layer_is_a_sparse_blob_of_its_own_name() {
    let home = Home::new();
    let layer = write(&home);
    let path = home.store().blob(&layer.diff_id);
    let bytes = fs::read(&path).unwrap();
    assert_eq!((Digest::of(&bytes), bytes.len() as u64), (layer.diff_id, layer.size));
    assert!(fs::metadata(&path).unwrap().blocks() * 512 < 2 << 20, "holes for zeros");
    let toc = scan(&bytes[..], &Limits::default(), io::Cursor::new(Vec::new())).unwrap();
    assert_eq!(toc.entries().len(), 3);
    // GNU tar reads it too.
    let listed = run("tar", &["-tf", path.to_str().unwrap()]).stdout;
    assert_eq!(String::from_utf8(listed).unwrap(), "d/\nd/noise\nd/zeros\n");
}

#[test]
fn the_same_content_is_the_same_layer() {
    let home = Home::new();
    let layer = write(&home);
    let before = home.visible();
    assert_eq!(write(&home), layer);
    assert_eq!(write(&Home::new()), layer);
    assert_eq!(home.visible(), before);
}

#[test]
fn a_layer_that_is_not_finished_leaves_nothing() {
    let home = Home::new();
    home.store();
    let before = home.visible();
    let error = home.store().write_layer(|writer| {
        two_files(writer)?;
        Err(LayerError::from(WriteError::Unclean("mine".into())))
    });
    assert_eq!(error.unwrap_err().to_string(), "\"mine\" is not a clean relative path");
    assert_eq!(home.visible(), before);
}

#[test]
fn what_the_strict_reader_refuses_is_not_published() {
    let home = Home::new();
    home.store();
    let before = home.visible();
    let never = Meta { mtime: Time { seconds: i64::MIN, nanos: 0 }, ..meta() };
    let error = home.store().write_layer(|writer| {
        writer.add(b"a", &never, DIRECTORY)?;
        two_files(writer).map_err(LayerError::from)
    });
    let error = error.unwrap_err().to_string();
    assert_eq!(
        error,
        "layer of the file: tar member \"./pax\" at byte 0: its modification time is too large"
    );
    assert_eq!(home.visible(), before);
}
