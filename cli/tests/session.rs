//! `docs/session.md` shows the output of the command, and the sandbox as a program serves the command.
#![cfg(unix)]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Builds the sandbox, and returns its program.
fn sandbox() -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "-p", "keyfob-sandbox"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(built.unwrap().success());
    Path::new(env!("CARGO_BIN_EXE_keyfob")).with_file_name("keyfob-sandbox")
}

#[test]
#[ignore = "builds the sandbox"]
fn configuration_that_the_sandbox_writes_works_at_once() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("keyfob-sandbox");
    // The umask of many systems lets a group write to new files, which the command refuses.
    let start = format!("umask 002; exec \"$0\" --until-stdin-closes --config '{}'", folder.display());
    let mut program = Command::new("sh")
        .args(["-c", &start])
        .arg(sandbox())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // The last line is there once all servers answer.
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("# Acme demo account")));
    let output = Command::new(env!("CARGO_BIN_EXE_keyfob"))
        .args(["acme", "get", "/things"])
        .env_clear()
        .env("HOME", home.path())
        .env("KEYFOB_CONFIG", folder.join("config.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout, br#"{"things":["anvil","rocket skates","giant magnet"]}"#);
    drop(program.stdin.take());
    assert!(program.wait().unwrap().success());
}

#[test]
#[ignore = "needs bash and curl"]
fn documented_session_is_up_to_date() {
    let keyfob = Path::new(env!("CARGO_BIN_EXE_keyfob"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new(root.join("docs/session"))
        .arg("--check")
        .env("KEYFOB", keyfob)
        .env("KEYFOB_SANDBOX", sandbox())
        .output()
        .unwrap();
    assert!(output.status.success(), "run docs/session: {}", String::from_utf8_lossy(&output.stdout));
}
