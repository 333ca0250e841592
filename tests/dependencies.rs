//! The dependencies of the library.

use std::process::Command;

fn tree(arguments: &[&str]) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--locked",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--package",
            "keyfob",
        ])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut names: Vec<String> =
        text.lines().skip(1).filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn direct_dependencies_are_exactly_those_listed() {
    let allowed = [
        "base64",
        "getrandom",
        "hmac",
        "httpdate",
        "log",
        "percent-encoding",
        "serde",
        "serde_json",
        "sha2",
        "ureq",
        "zeroize",
    ];
    assert_eq!(tree(&["--depth", "1"]), allowed);
}

#[test]
fn dependencies_include_no_async_runtime_and_no_second_http_stack() {
    let all = tree(&[]);
    for name in [
        "tokio",
        "hyper",
        "futures-util",
        "async-std",
        "smol",
        "reqwest",
        "flate2",
        "cookie_store",
        "openssl",
    ] {
        assert!(!all.iter().any(|dependency| dependency == name), "{name} in {all:?}");
    }
    assert!(tree(&["--no-default-features"]).iter().all(|name| name != "rustls" && name != "ring"));
}
