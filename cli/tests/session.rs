//! `docs/session.md` is what the command does.
#![cfg(unix)]

use std::path::Path;
use std::process::Command;

#[test]
#[ignore = "needs bash and curl"]
fn the_session_is_as_written() {
    let keyfob = Path::new(env!("CARGO_BIN_EXE_keyfob"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "-p", "keyfob-sandbox"])
        .current_dir(&root)
        .status();
    assert!(built.unwrap().success());
    let output = Command::new(root.join("docs/session"))
        .arg("--check")
        .env("KEYFOB", keyfob)
        .env("KEYFOB_SANDBOX", keyfob.with_file_name("keyfob-sandbox"))
        .output()
        .unwrap();
    assert!(output.status.success(), "run docs/session: {}", String::from_utf8_lossy(&output.stdout));
}
