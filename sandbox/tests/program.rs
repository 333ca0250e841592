//! The program, as a shell and as a harness use it.

#![cfg(unix)]

mod support;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;
use support::*;

/// A running program, ended with the test.
struct Program {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Program {
    fn start(options: &[&str], stdin: Stdio) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_keyfob-sandbox"))
            .args(options)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    fn settings(&mut self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -s {name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Waits for the end; returns success and what was said on standard error.
    fn end(&mut self) -> (bool, String) {
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().success(), said)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn denied(settings: &Value) -> bool {
    let url = format!("{}/api/info", settings["SPATIAFI_API_URL"].as_str().unwrap());
    call(&agent(), "GET", &url, &[], "").status == 401
}

#[test]
fn a_shell_reads_the_export_lines() {
    let mut program = Program::start(&[], Stdio::null());
    let mut script = String::new();
    while !script.contains("# Spacebring demo account") {
        script += &program.line();
    }
    script += "printf '%s|' \"$SPATIAFI_AUTH_URL\" \"$SPATIAFI_USERNAME\" \"$SPATIAFI_PASSWORD\" \
               \"$SPACEBRING_API_URL\" \"$SPACEBRING_CLIENT_ID\" \"$SPACEBRING_CLIENT_SECRET\"";
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let [auth_url, username, password, api_url, client_id, client_secret, ""] =
        output.split('|').collect::<Vec<_>>()[..]
    else {
        panic!("{output}");
    };
    for (url, username, password) in [
        (format!("{auth_url}/api/v1/auth/jwt/token/basic"), username, password),
        (format!("{api_url}/locations/v1"), client_id, client_secret),
    ] {
        let reply = call(&agent(), "GET", &url, &[("authorization", &basic(username, password))], "");
        assert_eq!(reply.status, 200, "{}", reply.text);
    }
}

#[test]
fn no_input_is_no_reason_to_stop_unless_asked() {
    let mut program = Program::start(&["--json"], Stdio::null());
    let settings = program.settings();
    assert!(denied(&settings));
    assert!(program.child.try_wait().unwrap().is_none());

    let mut asked = Program::start(&["--json", "--until-stdin-closes"], Stdio::piped());
    assert!(denied(&asked.settings()));
    drop(asked.child.stdin.take());
    assert!(asked.end().0);
}

#[test]
fn the_time_limit_stops_it() {
    let (success, said) = Program::start(&["--seconds", "1"], Stdio::null()).end();
    assert!(success);
    assert_eq!(said, "keyfob-sandbox: stopped after 1 s\n");
}

#[test]
fn a_signal_stops_it_and_the_certificate_goes() {
    for signal in ["INT", "TERM"] {
        let mut program = Program::start(&["--json", "--tls"], Stdio::null());
        let settings = program.settings();
        for url in ["SPATIAFI_AUTH_URL", "SPACEBRING_API_URL"] {
            assert!(settings[url].as_str().unwrap().starts_with("https://127.0.0.1:"), "{url}");
        }
        let ca_file = settings["KEYFOB_CA_FILE"].as_str().unwrap();
        assert!(std::fs::read_to_string(ca_file).unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
        program.signal(signal);
        assert!(program.end().0, "{signal}");
        assert!(!std::fs::exists(ca_file).unwrap(), "{signal}");
    }
}

#[test]
fn options_take_effect() {
    let options = ["--json", "-v", "--lifetime", "7", "--delay", "120", "--until-stdin-closes"];
    let mut program = Program::start(&options, Stdio::piped());
    let settings = program.settings();
    let setting = |name: &str| settings[name].as_str().unwrap();

    let url = format!("{}/api/v1/auth/jwt/token/basic", setting("SPATIAFI_AUTH_URL"));
    let authorization = basic(setting("SPATIAFI_USERNAME"), setting("SPATIAFI_PASSWORD"));
    #[allow(clippy::disallowed_methods, reason = "the delay is measured by the machine's clock")]
    let (start, unix) = (std::time::Instant::now(), std::time::SystemTime::now());
    let reply = call(&agent(), "GET", &url, &[("authorization", &authorization)], "");
    assert!(start.elapsed().as_millis() >= 120);
    let unix = i64::try_from(unix.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let lives = reply.json()["expires_at"].as_i64().unwrap() - unix;
    assert!((7..=9).contains(&lives), "{lives}");

    call(&agent(), "GET", &format!("{}/locations/v1", setting("SPACEBRING_API_URL")), &[], "");

    drop(program.child.stdin.take());
    let (success, said) = program.end();
    assert!(success);
    assert_eq!(said, "auth GET /api/v1/auth/jwt/token/basic -> 200\nspacebring GET /locations/v1 -> 401\n");
}

#[test]
fn wrong_options_are_refused() {
    let (success, said) = Program::start(&["--seconds", "soon"], Stdio::null()).end();
    assert!(!success);
    assert!(said.contains("--seconds"), "{said}");
}
