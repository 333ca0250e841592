//! Adds the code that must run before Rust's start-up code to the binary, and leaves out tables that no code reads.

use std::env;

fn main() {
    let (source, script, relocations) = ("src/closed.c", "no_tables.ld", "relocations.c");
    println!("cargo::rerun-if-changed={source}");
    println!("cargo::rerun-if-changed={script}");
    println!("cargo::rerun-if-changed={relocations}");
    if env::var_os("CARGO_CFG_UNIX").is_none() {
        return;
    }
    // As an object: from an archive, the linker would leave it out, because nothing refers to it.
    for object in cc::Build::new().file(source).warnings_into_errors(true).compile_intermediates() {
        println!("cargo::rustc-link-arg-bins={}", object.display());
    }
    let is = |variable: &str, value: &str| env::var(variable).is_ok_and(|v| v == value);
    if is("CARGO_CFG_TARGET_OS", "linux") && is("PROFILE", "release") {
        // A panic aborts, so no code reads the tables.
        println!("cargo::rustc-link-arg-bins=-Wl,-O2,--no-eh-frame-hdr");
        if packs_relocations(relocations) {
            println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
        }
        if reads_scripts() {
            let folder = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
            println!("cargo::rustc-link-arg-bins=-T{folder}/{script}");
        }
    }
}

/// Whether the linker takes the script: GNU's and LLVM's do. The others are used only if someone asks for them.
fn reads_scripts() -> bool {
    let asked = ["CARGO_ENCODED_RUSTFLAGS", "RUSTC_LINKER"].map(|name| env::var(name).unwrap_or_default());
    !["mold", "gold", "wild"].iter().any(|linker| asked.iter().any(|text| text.contains(linker)))
}

/// Whether the loader of the C library that the binary is built for reads packed relocations: glibc's does from 2.36 on.
fn packs_relocations(source: &str) -> bool {
    let text = cc::Build::new().file(source).cargo_warnings(false).try_expand().unwrap_or_default();
    text.windows(9).any(|word| word == b"be packed")
}
