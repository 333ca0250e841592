//! The name that programs are linked to.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // cargo-c sets the name by itself.
    let linux = env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    if linux && env::var_os("CARGO_CFG_CARGO_C").is_none() {
        let major = env::var("CARGO_PKG_VERSION_MAJOR").expect("cargo sets it");
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libkeyfob.so.{major}");
    }
}
