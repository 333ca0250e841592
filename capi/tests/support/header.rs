//! Generates `include/keyfob.h` from the code.

use std::path::{Path, PathBuf};

const MANUAL: &str = include_str!("../../include/keyfob.h.in");

/// The sources, in the order of the header's functions.
const SOURCES: [&str; 8] = [
    "src/failure.rs",
    "src/ffi/error.rs",
    "src/ffi/token.rs",
    "src/ffi/version.rs",
    "src/ffi/options.rs",
    "src/ffi/client.rs",
    "src/ffi/login.rs",
    "src/ffi/log.rs",
];

/// The headings, each with the function that it stands before.
const HEADINGS: [(&str, &str); 7] = [
    ("Version and names", "keyfob_version"),
    ("Options", "keyfob_options_new"),
    ("Clients", "keyfob_client_new"),
    ("Tokens", "keyfob_authorization"),
    ("Requests and warnings", "keyfob_request"),
    ("Logins", "keyfob_login_start"),
    ("The log", "keyfob_set_log"),
];

pub fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("include/keyfob.h")
}

pub fn generate() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml");
    let sources = SOURCES.map(|file| root.join(file));
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
    with_headings(&String::from_utf8(header).expect("a header is text"))
}

/// Each comment and the declaration below it are one block.
fn with_headings(header: &str) -> String {
    let blocks = header.split("\n\n").map(|block| {
        let declares = |name| {
            block.lines().any(|line| {
                line.contains(&format!(" *{name}("))
                    || line.contains(&format!(" {name}(")) && !line.starts_with("//")
            })
        };
        match HEADINGS.iter().find(|(_, name)| declares(name)) {
            Some((heading, _)) => format!("// {heading}\n// {}\n\n{block}", "-".repeat(heading.len())),
            None => block.to_owned(),
        }
    });
    blocks.collect::<Vec<_>>().join("\n\n")
}

fn number(text: &str) -> u8 {
    text.parse().expect("a number")
}
