//! Adds what must run before Rust's start-up code to the binary, and leaves out what nobody reads.

use std::env;

fn main() {
    let (source, script) = ("src/closed.c", "no_tables.ld");
    println!("cargo::rerun-if-changed={source}");
    println!("cargo::rerun-if-changed={script}");
    if env::var_os("CARGO_CFG_UNIX").is_none() {
        return;
    }
    // As an object, since the linker would leave out what nothing refers to from an archive.
    for object in cc::Build::new().file(source).warnings_into_errors(true).compile_intermediates() {
        println!("cargo::rustc-link-arg-bins={}", object.display());
    }
    let is = |variable: &str, value: &str| env::var(variable).is_ok_and(|v| v == value);
    if is("CARGO_CFG_TARGET_OS", "linux") && is("PROFILE", "release") {
        // A panic aborts, so nobody looks for the tables.
        println!("cargo::rustc-link-arg-bins=-Wl,-O2,--no-eh-frame-hdr");
        if reads_scripts() {
            let folder = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
            println!("cargo::rustc-link-arg-bins=-T{folder}/{script}");
        }
    }
}

/// GNU's linker and LLVM's do. One of these others is used only by those who ask for it.
fn reads_scripts() -> bool {
    let asked = ["CARGO_ENCODED_RUSTFLAGS", "RUSTC_LINKER"].map(|name| env::var(name).unwrap_or_default());
    !["mold", "gold", "wild"].iter().any(|linker| asked.iter().any(|text| text.contains(linker)))
}
