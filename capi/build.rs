//! The name that programs are linked to, and a warning for profiles that would let a panic end the program.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |variable: &str, value: &str| env::var(variable).is_ok_and(|v| v == value);
    // cargo-c sets the name by itself.
    if is("CARGO_CFG_TARGET_OS", "linux") && env::var_os("CARGO_CFG_CARGO_C").is_none() {
        let major = env::var("CARGO_PKG_VERSION_MAJOR").expect("cargo sets it");
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libkeyfob.so.{major}");
    }
    if is("CARGO_CFG_PANIC", "abort") {
        println!("cargo::warning=with this profile a panic ends the program: build with --profile capi");
    }
}
