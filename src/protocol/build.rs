//! Gives the vocabulary a name: the digest of this crate's sources. Host and agent are built from
//! one tree, so a different name means that they are not of one build.

use sha2::{Digest, Sha256};
use std::fs;

fn main() {
    let mut digest = Sha256::new();
    for file in ["src/frame.rs", "src/lib.rs", "src/message.rs", "src/path.rs"] {
        println!("cargo::rerun-if-changed={file}");
        digest.update(fs::read(file).expect("a source file of this crate is readable"));
    }
    let name = hex::encode(&digest.finalize()[..8]);
    println!("cargo::rustc-env=PYRO_BUILD_ID={}-{name}", env!("CARGO_PKG_VERSION"));
}
