//! Two things are embedded: the agent that `PYRO_AGENT` names (set by the Makefile), and the
//! blocks of an empty ext4 file system that are not zero.

#![expect(clippy::disallowed_methods, reason = "cargo speaks to a build script through variables")]

use sha2::{Digest, Sha256};
use std::path::Path;
use std::{env, fs};

const TEMPLATE: &str = "src/upper.ext4.zst";
const BLOCK: usize = 4096;

fn main() {
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    println!("cargo::rerun-if-env-changed=PYRO_AGENT");
    println!("cargo::rerun-if-changed={TEMPLATE}");
    // Without the variable (a plain `cargo check`) nothing is embedded, and starting a machine says so.
    let agent = match env::var("PYRO_AGENT") {
        Ok(path) if !path.is_empty() => {
            println!("cargo::rerun-if-changed={path}");
            fs::read(&path).unwrap_or_else(|error| panic!("PYRO_AGENT={path}: {error}"))
        }
        _ => Vec::new(),
    };
    println!("cargo::rustc-env=PYRO_AGENT_SHA256={}", hex::encode(Sha256::digest(&agent)));
    fs::write(Path::new(&out).join("agent"), agent).expect("OUT_DIR is writable");

    let packed = fs::read(TEMPLATE).expect("the template is in the source tree");
    let image = zstd::decode_all(packed.as_slice()).expect("the template is zstd");
    let mut blocks = Vec::new();
    for (number, block) in image.chunks(BLOCK).enumerate() {
        if block.iter().any(|&byte| byte != 0) {
            blocks.extend((number as u64 * BLOCK as u64).to_le_bytes());
            blocks.extend(block);
        }
    }
    fs::write(Path::new(&out).join("upper.blocks"), blocks).expect("OUT_DIR is writable");
    println!("cargo::rustc-env=PYRO_UPPER_BYTES={}", image.len());
}
