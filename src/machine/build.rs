//! Compiles the system call list of the virtual machine monitor, so that a start need not, and sends the
//! program's `ioctl`s through `krun/ffi/ioctl.rs`.

use std::fmt::Write;
use std::fs::{self, File};
use std::path::Path;

const LIST: &str = "src/confine/seccomp.json";

fn main() {
    println!("cargo::rerun-if-changed={LIST}");
    println!("cargo::rustc-link-arg-bins=-Wl,--wrap=ioctl");
    let list = File::open(LIST).expect("the list lies beside its module");
    let filters = seccompiler::compile_from_json(list, seccompiler::TargetArch::x86_64)
        .unwrap_or_else(|error| panic!("{LIST}: {error}"));
    let out = std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    for name in ["absent", "monitor"] {
        let mut text = String::from("&[");
        for step in &filters[name] {
            write!(text, "({},{},{},{}),", step.code, step.jt, step.jf, step.k)
                .expect("strings take all text");
        }
        text.push(']');
        fs::write(Path::new(&out).join(format!("{name}.rs")), text).expect("cargo made OUT_DIR writable");
    }
}
