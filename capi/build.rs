//! Sets the soname, the name that programs are linked to, and packs the relocations of the shared library.

use std::env;

fn main() {
    let relocations = "../cli/relocations.c";
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={relocations}");
    // cargo-c sets the soname by itself.
    let linux = env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    if linux && packs_relocations(relocations) {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,pack-relative-relocs");
    }
    if linux && env::var_os("CARGO_CFG_CARGO_C").is_none() {
        let major = env::var("CARGO_PKG_VERSION_MAJOR").expect("cargo sets it");
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libkeyfob.so.{major}");
    }
}

/// Whether the loader of the system's C library reads packed relocations: glibc's does from 2.36 on.
fn packs_relocations(source: &str) -> bool {
    let text = cc::Build::new().file(source).cargo_warnings(false).try_expand().unwrap_or_default();
    text.windows(9).any(|word| word == b"be packed")
}
