//! What the tests of this crate share.

pub mod tarball;

use pyro_layer::{Disk, Limits, Source, Toc, Tree, scan, write_index};
use std::io::Cursor;

/// A layer as the store keeps it.
pub struct Layer {
    pub tar: Vec<u8>,
    pub aux: Vec<u8>,
}

/// Scans tars.
pub fn layers(tars: Vec<Vec<u8>>) -> (Vec<Layer>, Vec<Toc>) {
    let scanned = tars.into_iter().map(|tar| {
        let mut aux = Cursor::new(Vec::new());
        let toc = scan(&tar[..], &Limits::default(), &mut aux).unwrap();
        (Layer { tar, aux: aux.into_inner() }, toc)
    });
    scanned.unzip()
}

/// The disk of a tree, as the guest sees it.
pub fn disk(tree: &Tree<'_>, layers: &[Layer]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let Disk { extents, .. } = write_index(tree, &mut bytes).unwrap();
    for extent in &extents {
        let part = match extent.source {
            Source::Index => continue,
            Source::Tar(number) => &layers[number].tar,
            Source::Aux(number) => &layers[number].aux,
        };
        bytes.extend_from_slice(&part[..extent.sectors as usize * 512]);
    }
    bytes
}
