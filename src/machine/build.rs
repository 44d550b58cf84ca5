//! Compiles the system call list of the virtual machine monitor, so that a start need not.

use std::fmt::Write;
use std::fs::{self, File};
use std::path::Path;

const LIST: &str = "src/confine/seccomp.json";

fn main() {
    println!("cargo::rerun-if-changed={LIST}");
    let list = File::open(LIST).expect("the list lies beside its module");
    let mut filters = seccompiler::compile_from_json(list, seccompiler::TargetArch::x86_64)
        .unwrap_or_else(|error| panic!("{LIST}: {error}"));
    let program = filters.remove("monitor").expect("the list names the monitor's filter");
    let mut text = String::from("&[");
    for step in program {
        write!(text, "({},{},{},{}),", step.code, step.jt, step.jf, step.k).expect("strings take all text");
    }
    text.push(']');
    let out = std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    fs::write(Path::new(&out).join("seccomp.rs"), text).expect("cargo made OUT_DIR writable");
}
