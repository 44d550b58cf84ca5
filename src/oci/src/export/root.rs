//! The files of an image as one tar.

use super::ExportError;
use crate::{FileError, Image, LayerError, Store, ingest, loose::Slice};
use pyro_layer::{Content, LayerWriter, Member, NodeKind, Part, Toc, WriteError, flatten};
use std::{
    collections::{HashMap, hash_map::Entry},
    fs::File,
    io::Write,
    path::Path,
};

/// Writes all files of an image. `path` is what errors name.
pub(super) fn write(
    store: &Store,
    image: &Image,
    path: &Path,
    out: &mut impl Write,
) -> Result<(), ExportError> {
    let tocs = image.layers.iter().map(|layer| ingest::toc(store, layer)).collect::<Result<Vec<Toc>, _>>()?;
    let tree = flatten(&tocs)?;
    let mut parts = HashMap::new();
    let mut first_names: HashMap<usize, Vec<u8>> = HashMap::new();
    let failed = |error| match error {
        WriteError::Write(error) | WriteError::Read(_, error) => {
            ExportError::from(FileError::at("write", path)(error))
        }
        error => LayerError::from(error).into(),
    };
    let mut writer = LayerWriter::new(out);
    let mut walk = tree.walk();
    while let Some(visit) = walk.next() {
        let mut slice;
        let first = first_names.get(&visit.id.index());
        let member = match &visit.node.kind {
            _ if let Some(first) = first => Member::HardLink(first),
            NodeKind::Directory(_) => Member::Directory { opaque: false },
            NodeKind::File(content) => {
                slice = slice_of(&mut parts, store, image, content)?;
                Member::File { size: content.payload.size, content: &mut slice }
            }
            NodeKind::Symlink(target) => Member::Symlink(target),
            NodeKind::Character(device) => Member::Character(*device),
            NodeKind::Block(device) => Member::Block(*device),
            NodeKind::Fifo => Member::Fifo,
            NodeKind::Whiteout => unreachable!("a flattened tree has no whiteouts"),
        };
        writer.add(visit.path, visit.node.meta, member).map_err(failed)?;
        if first.is_none() && visit.node.links > 1 && !matches!(visit.node.kind, NodeKind::Directory(_)) {
            first_names.insert(visit.id.index(), visit.path.to_vec());
        }
    }
    writer.finish().map_err(failed)
}

type Parts = HashMap<(usize, Part), File>;

/// The content of a file, in one of the layers, which are opened once.
fn slice_of<'a>(
    parts: &'a mut Parts,
    store: &Store,
    image: &Image,
    content: &Content,
) -> Result<Slice<'a>, FileError> {
    let key = (content.layer, content.payload.part);
    let file = match parts.entry(key) {
        Entry::Occupied(part) => part.into_mut(),
        Entry::Vacant(place) => place.insert(open(store, image, content)?),
    };
    Ok(Slice::new(file, &content.payload))
}

fn open(store: &Store, image: &Image, content: &Content) -> Result<File, FileError> {
    let diff_id = image.layers[content.layer].diff_id;
    let path = match content.payload.part {
        Part::Tar => store.blob(&diff_id),
        Part::Aux => store.tocs().join(format!("{}.aux", diff_id.hex())),
    };
    File::open(&path).map_err(FileError::at("open", &path))
}
