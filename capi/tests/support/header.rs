//! The header, from the code.

use std::path::{Path, PathBuf};

const MANUAL: &str = include_str!("../../include/keyfob.h.in");

pub fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("include/keyfob.h")
}

pub fn generate() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml");
    let sources = ["src/failure.rs", "src/ffi.rs"].map(|file| root.join(file));
    let builder = sources.iter().fold(cbindgen::Builder::new(), cbindgen::Builder::with_src);
    let [major, minor, patch] =
        [env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR"), env!("CARGO_PKG_VERSION_PATCH")];
    let version = format!(
        "// The version of this header, and as a number: 0x010203 is 1.2.3.\n#define KEYFOB_VERSION \"{major}.{minor}.{patch}\"\n#define KEYFOB_VERSION_NUMBER \
         0x{:02x}{:02x}{:02x}\n",
        number(major),
        number(minor),
        number(patch),
    );
    let bindings = builder
        .with_config(config)
        .with_header(MANUAL)
        .with_after_include(version)
        .generate()
        .expect("a header can be made");
    let mut header = Vec::new();
    bindings.write(&mut header);
    String::from_utf8(header).expect("a header is text")
}

fn number(text: &str) -> u8 {
    text.parse().expect("a number")
}
