//! Damaged or forged tables of contents: errors are fine, panics are bugs, and an index is as long
//! as it says and the same each time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pyro_layer::{Toc, Tree, flatten, overlay, write_index};

fn table(bytes: &[u8]) -> Option<Toc> {
    let mut file = b"PYROTOC1".to_vec();
    file.extend_from_slice(bytes);
    let checksum = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(&file);
    file.extend_from_slice(&checksum.to_le_bytes());
    Toc::read_from(&file[..]).ok()
}

fn index(tree: &Tree<'_>) {
    let (mut once, mut again) = (Vec::new(), Vec::new());
    let Ok(disk) = write_index(tree, &mut once) else { return };
    assert_eq!(disk.index_bytes, once.len() as u64);
    write_index(tree, &mut again).expect("it was written before");
    assert_eq!(once, again);
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&middle, bytes)) = bytes.split_first() else { return };
    let (first, second) = bytes.split_at(bytes.len() * usize::from(middle) / 256);
    let layers: Vec<Toc> = [first, second].into_iter().filter_map(table).collect();
    for tree in [flatten(&layers), overlay(&layers)].into_iter().flatten() {
        index(&tree);
    }
});
