//! The program, as a shell and as a harness use it.

#![cfg(unix)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, ChildStdout, Command, Stdio};

use keyfob_sandbox::{AcmeSandbox, ITEMS, Sandbox, SpacebringSandbox};
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

    /// Waits for the end. Returns whether the program succeeded, and its standard error.
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
fn shell_can_read_the_export_lines() {
    let mut program = Program::start(&[], Stdio::null());
    let mut script = String::new();
    while !script.contains("# Acme demo account") {
        script += &program.line();
    }
    script += "printf '%s|' \"$SPATIAFI_AUTH_URL\" \"$SPATIAFI_USERNAME\" \"$SPATIAFI_PASSWORD\" \
               \"$SPACEBRING_API_URL\" \"$SPACEBRING_CLIENT_ID\" \"$SPACEBRING_CLIENT_SECRET\" \
               \"$ACME_ISSUER\" \"$ACME_API_URL\" \"$ACME_CLIENT_ID\" \"$ACME_CLIENT_SECRET\"";
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let values: Vec<_> = output.split('|').collect();
    let ([auth_url, username, password, api_url, client_id, client_secret], [issuer, things, id, secret, ""]) =
        (&values[..6], &values[6..])
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
    let headers = [("content-type", FORM), ("authorization", &*acme::encoded_basic(id, secret))];
    let reply = call(&agent(), "POST", &format!("{issuer}/token"), &headers, "grant_type=client_credentials");
    let token = bearer(&oauth::text(&reply.json(), "access_token"));
    let reply = call(&agent(), "GET", &format!("{things}/things"), &[("authorization", &token)], "");
    assert_eq!(reply.status, 200, "{}", reply.text);
}

#[test]
fn program_stops_at_the_end_of_its_input_only_if_asked_to() {
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
fn program_stops_after_its_time_limit() {
    let (success, said) = Program::start(&["--seconds", "1"], Stdio::null()).end();
    assert!(success);
    assert_eq!(said, "keyfob-sandbox: stopped after 1 s\n");
}

#[test]
fn signal_stops_the_program_and_removes_its_ca_file() {
    for signal in ["INT", "TERM"] {
        let mut program = Program::start(&["--json", "--tls"], Stdio::null());
        let settings = program.settings();
        for url in ["SPATIAFI_AUTH_URL", "SPACEBRING_API_URL", "ACME_ISSUER", "ACME_API_URL"] {
            assert!(settings[url].as_str().unwrap().starts_with("https://127.0.0.1:"), "{url}");
        }
        let ca_file = settings["KEYFOB_CA_FILE"].as_str().unwrap();
        assert!(fs::read_to_string(ca_file).unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
        program.signal(signal);
        assert!(program.end().0, "{signal}");
        assert!(!fs::exists(ca_file).unwrap(), "{signal}");
    }
}

#[test]
fn options_set_log_lifetime_and_delay() {
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
    let lifetime = reply.json()["expires_at"].as_i64().unwrap() - unix;
    assert!((7..=9).contains(&lifetime), "{lifetime}");

    call(&agent(), "GET", &format!("{}/locations/v1", setting("SPACEBRING_API_URL")), &[], "");

    drop(program.child.stdin.take());
    let (success, said) = program.end();
    assert!(success);
    assert_eq!(said, "auth GET /api/v1/auth/jwt/token/basic -> 200\nspacebring GET /locations/v1 -> 401\n");
}

#[test]
fn invalid_option_is_refused() {
    let (success, said) = Program::start(&["--seconds", "soon"], Stdio::null()).end();
    assert!(!success);
    assert!(said.contains("--seconds"), "{said}");
}

/// A port that is free, as are the four after it. It is below the ports that the system hands out, which other tests use.
fn free_ports() -> u16 {
    let process = u16::try_from(std::process::id() % 1000).unwrap();
    let first = |n: u16| 20_000 + (process * 5 + n * 50) % 10_000;
    let is_free =
        |port: &u16| (*port..=*port + 4).all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
    (0..100).map(first).find(is_free).unwrap()
}

const CLIENT: &str = "my \"client\":a secret of 32 characters: +%&=/";

#[test]
fn ports_and_client_are_the_same_at_each_start() {
    let port = free_ports();
    let options = ["--json", "--until-stdin-closes", "--client", CLIENT, "--port", &port.to_string()];
    for options in [&options[..], &options, &[&options[..], &["--tls"]].concat()] {
        let mut program = Program::start(options, Stdio::piped());
        let settings = program.settings();
        let scheme = if options.contains(&"--tls") { "https" } else { "http" };
        for (name, offset, path) in [
            ("SPATIAFI_AUTH_URL", 0, ""),
            ("SPATIAFI_API_URL", 1, ""),
            ("SPACEBRING_API_URL", 2, ""),
            ("ACME_ISSUER", 3, "/acme"),
            ("ACME_API_URL", 4, ""),
        ] {
            assert_eq!(settings[name], format!("{scheme}://127.0.0.1:{}{path}", port + offset), "{name}");
        }
        for service in ["SPATIAFI", "SPACEBRING", "ACME"] {
            assert_eq!(settings[format!("{service}_CLIENT_ID")], "my \"client\"");
            assert_eq!(settings[format!("{service}_CLIENT_SECRET")], "a secret of 32 characters: +%&=/");
        }
        if scheme == "http" {
            let url = format!("http://127.0.0.1:{}/locations/v1", port + 2);
            let (id, secret) = CLIENT.split_once(':').unwrap();
            let reply = call(&agent(), "GET", &url, &[("authorization", &basic(id, secret))], "");
            assert_eq!(reply.status, 200, "{}", reply.text);
        }
        drop(program.child.stdin.take());
        assert!(program.end().0);
    }
}

#[test]
fn mistake_in_ports_or_client_is_an_error_before_anything_starts() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().port();
    let in_use = format!("port {taken} of 127.0.0.1 cannot be used: Address already in use");
    let (taken, before) = (taken.to_string(), (taken - 4).to_string());
    let (long_id, long_secret) =
        (format!("{}:{}", "i".repeat(129), "s".repeat(32)), format!("id:{}", "s".repeat(1025)));
    for (option, value, expected) in [
        ("--port", &*taken, &*in_use),
        ("--port", &before, "cannot be used: "),
        ("--port", "0", "0 is not in 1..=65531"),
        ("--port", "65532", "65532 is not in 1..=65531"),
        ("--port", "65536", "65536 is not in 1..=65531"),
        ("--port", "-1", "-1"),
        ("--port", "", "--port"),
        ("--client", "", "write the id, a colon and the secret"),
        ("--client", "only-an-id", "write the id, a colon and the secret"),
        ("--client", ":0123456789abcdef0123456789abcdef", "the id is empty"),
        ("--client", "id:", "the secret is empty"),
        ("--client", "id:0123456789abcdef0123456789abcde", "the secret has 31 characters; from 32 to 1024"),
        ("--client", &long_secret, "the secret has 1025 characters; from 32 to 1024"),
        ("--client", &long_id, "the id has 129 characters; at most 128"),
        ("--client", "i\td:0123456789abcdef0123456789abcdef", r"the id holds '\t'"),
        ("--client", "ïd:0123456789abcdef0123456789abcdef", "the id holds 'ï'"),
        ("--client", "id:0123456789abcdef0123456789abcdef\n", r"the secret holds '\n'"),
        (
            "--client",
            "demo-public:0123456789abcdef0123456789abcdef",
            "demo-public is the client without a secret",
        ),
    ] {
        let mut program = Program::start(&["--json", option, value], Stdio::null());
        assert_eq!(program.line(), "", "{option} {value}");
        let (success, said) = program.end();
        assert!(!success && said.contains(expected), "{option} {value}: {said}");
        assert!(!said.contains("0123456789abcdef"), "{said}");
    }
}

#[test]
fn configuration_has_its_secret_in_a_file_beside_it_and_replaces_only_its_own_files() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("keyfob");
    let options =
        ["--json", "--until-stdin-closes", "--client", CLIENT, "--config", folder.to_str().unwrap()];
    let (config, secret) = (folder.join("config.toml"), folder.join("acme-secret"));
    for _ in 0..2 {
        let mut program = Program::start(&options, Stdio::piped());
        let settings = program.settings();
        assert_eq!(settings["KEYFOB_CONFIG"], config.to_str().unwrap());
        let text = fs::read_to_string(&config).unwrap();
        for (key, value) in [("issuer", &settings["ACME_ISSUER"]), ("api_url", &settings["ACME_API_URL"])] {
            assert_eq!(text.matches(&format!("{key} = {value}\n")).count(), 2, "{text}");
        }
        assert!(text.contains("client_id = \"my \\\"client\\\"\"\n"), "{text}");
        assert!(
            text.contains("client_secret_file = \"acme-secret\"\n") && !text.contains("32 characters"),
            "{text}"
        );
        assert_eq!(fs::read_to_string(&secret).unwrap(), settings["ACME_CLIENT_SECRET"].as_str().unwrap());
        for (path, mode) in [(&folder, 0o700), (&config, 0o600), (&secret, 0o600)] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, mode, "{}", path.display());
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    }

    let refused = |expected: &str| {
        let mut program = Program::start(&options, Stdio::null());
        assert_eq!(program.line(), "");
        let (success, said) = program.end();
        assert!(!success && said.contains(expected), "{said}");
    };
    fs::write(&config, "# of a person\n").unwrap();
    refused("config.toml exists, and this program did not write it");
    assert_eq!(fs::read_to_string(&config).unwrap(), "# of a person\n");
    fs::remove_file(&config).unwrap();
    refused("acme-secret exists, and this program did not write it");
    fs::remove_file(&secret).unwrap();
    fs::remove_dir(&folder).unwrap();
    fs::write(&folder, "a file").unwrap();
    refused("--config: ");
}

#[test]
fn readme_lists_accounts_items_and_ports() {
    let readme = include_str!("../README.md");
    let (spatiafi, acme) = (Sandbox::start(), AcmeSandbox::start());
    let accounts = [spatiafi.username(), spatiafi.password(), acme.username(), acme.password()];
    for shown in ITEMS.into_iter().chain(accounts).chain([acme.public_client_id()]) {
        assert!(readme.contains(&format!("`{shown}`")), "{shown}");
    }
    let headers = [("authorization", bearer(&token_of(&acme)))];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let things = call(&agent(), "GET", &format!("{}/things", acme.api_url()), &headers, "").json();
    for thing in things["things"].as_array().unwrap() {
        assert!(readme.contains(&format!("`{}`", thing.as_str().unwrap())), "{thing}");
    }
    let spacebring = SpacebringSandbox::start();
    let authorization = basic(spacebring.client_id(), spacebring.client_secret());
    for list in ["networks", "locations"] {
        let url = format!("{}/{list}/v1", spacebring.api_url());
        let headers =
            [("authorization", &*authorization), ("spacebring-network-id", spacebring.network_id())];
        let answer =
            call(&agent(), "GET", &url, &headers[..if list == "networks" { 1 } else { 2 }], "").json();
        let items = answer[list].as_array().unwrap_or_else(|| panic!("{answer}"));
        assert!(!items.is_empty());
        for item in items {
            for field in ["id", "title"] {
                assert!(readme.contains(&format!("`{}`", item[field].as_str().unwrap())), "{item}");
            }
        }
    }
}

fn token_of(acme: &AcmeSandbox) -> String {
    let authorization = acme::encoded_basic(acme.client_id(), acme.client_secret());
    let headers = [("content-type", FORM), ("authorization", &*authorization)];
    let reply = call(&agent(), "POST", &acme.token_url(), &headers, "grant_type=client_credentials");
    oauth::text(&reply.json(), "access_token")
}
