//! What the library pulls in.

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
fn direct_dependencies_are_the_ten_that_are_named() {
    let allowed = [
        "base64",
        "getrandom",
        "hmac",
        "httpdate",
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
fn no_async_runtime_and_no_second_http_stack_below() {
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
