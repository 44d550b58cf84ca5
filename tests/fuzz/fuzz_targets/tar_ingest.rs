//! Tars from a hostile registry: errors are fine, panics are bugs, and a table survives its file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pyro_layer::{Limits, Toc, flatten, overlay, scan, write_index};
use std::io::{Cursor, sink};

fn ingest(tar: &[u8]) {
    let limits = Limits { layer_bytes: 1 << 20, expanded_bytes: 1 << 20, ..Limits::default() };
    let Ok(toc) = scan(tar, &limits, Cursor::new(Vec::new())) else { return };
    assert_eq!(toc.tar_bytes(), tar.len() as u64, "a tar is read to its end");
    let mut bytes = Vec::new();
    toc.write_to(&mut bytes).expect("memory takes every write");
    assert_eq!(Toc::read_from(&bytes[..]).expect("what was written can be read"), toc);
    let layers = [toc.clone(), toc];
    for tree in [flatten(&layers), overlay(&layers)].into_iter().flatten() {
        write_index(&tree, sink()).expect("a small tree has an index");
    }
}

fuzz_target!(|bytes: &[u8]| {
    ingest(bytes);
    // No fuzzer guesses checksums: make them right.
    let mut tar = bytes.to_vec();
    for block in tar.chunks_exact_mut(512).filter(|block| block.iter().any(|&byte| byte != 0)) {
        let mut header = tar::Header::new_old();
        header.as_mut_bytes().copy_from_slice(block);
        header.set_cksum();
        block.copy_from_slice(header.as_bytes());
    }
    ingest(&tar);
});
