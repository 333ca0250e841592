//! Adds what must run before Rust's start-up code to the binary.

fn main() {
    let source = "src/closed.c";
    println!("cargo::rerun-if-changed={source}");
    if std::env::var_os("CARGO_CFG_UNIX").is_none() {
        return;
    }
    // As an object, since the linker would leave out what nothing refers to from an archive.
    for object in cc::Build::new().file(source).warnings_into_errors(true).compile_intermediates() {
        println!("cargo::rustc-link-arg-bins={}", object.display());
    }
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        // A panic aborts, so nobody looks for the tables.
        println!("cargo::rustc-link-arg-bins=-Wl,-O2,--no-eh-frame-hdr");
    }
}
