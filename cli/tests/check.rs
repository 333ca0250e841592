//! `keyfob <service> check`: a line for each thing that must be right, and the exit status of the first that failed.
#![cfg(unix)]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use keyfob_sandbox::{Endpoint, Fault};
use serde_json::Value;
use support::home::{CLIENT_CREDENTIALS, Home};
use support::{Services, err, out};

const CHECKS: [&str; 11] = [
    "configuration",
    "secrets",
    "file modes",
    "store",
    "proxy",
    "DNS",
    "TCP",
    "TLS",
    "server clock",
    "metadata",
    "token",
];

/// The status of each check, and its detail. Of several lines of one check, the first counts.
fn lines(output: &Output) -> Vec<(String, String)> {
    let mut rest: Vec<_> = out(output).lines().collect();
    let mut of = |check: &str| {
        let after = rest.iter().position(|line| !line.starts_with(check)).unwrap_or(rest.len());
        assert!(after > 0, "{check}: {}{}", out(output), err(output));
        let line = rest.drain(..after).next().unwrap();
        let (status, detail) = line.strip_prefix(check).unwrap().trim_start().split_once(' ').unwrap();
        (status.to_owned(), detail.trim_start().to_owned())
    };
    let lines = CHECKS.map(&mut of).to_vec();
    assert!(rest.is_empty(), "{}", out(output));
    lines
}

/// Checks the exit status, and which check failed with which text. All others are `ok` or `skipped`.
#[track_caller]
fn finds(output: &Output, status: i32, check: &str, says: &str) {
    assert_eq!(output.status.code(), Some(status), "{}{}", out(output), err(output));
    let lines = lines(output);
    let at = CHECKS.iter().position(|own| *own == check).unwrap();
    assert_eq!(lines[at].0, "failed", "{}", out(output));
    assert!(lines[at].1.contains(says), "{says:?}: {}", out(output));
    assert!(lines[..at].iter().all(|line| line.0 != "failed"), "{}", out(output));
}

#[test]
fn check_of_a_working_service_says_ok_for_each_thing_and_shows_no_secret() {
    let home = Home::with(CLIENT_CREDENTIALS);
    let output = home.run("acme check");
    assert_eq!((output.status.code(), err(&output)), (Some(0), ""), "{}", out(&output));
    let found = lines(&output);
    assert!(found.iter().all(|line| line.0 == "ok"), "{}", out(&output));
    let config = home.path(".config/keyfob/config.toml");
    assert_eq!(found[0].1, format!("{}:1", config.display()));
    assert_eq!(found[1].1, format!("client_secret_file in {}:6", config.display()));
    assert_eq!(found[3].1, home.path(".local/state/keyfob").display().to_string());
    assert_eq!(found[4].1, "none is used");
    assert!(found[5].1.contains(&home.acme.api_url()), "{}", out(&output));
    assert_eq!(found[8].1, "agrees with that of this machine");
    assert_eq!(found[9].1, home.acme.issuer());
    assert!(found[10].1.starts_with("valid for "), "{}", out(&output));
    assert_eq!(home.count(Endpoint::Token), 1);
    // The same as JSON, with the stored token.
    let json = home.run("acme check --format json");
    let listed: Vec<Value> = serde_json::from_str(out(&json)).unwrap();
    assert_eq!(listed.iter().map(|line| line["check"].as_str().unwrap()).collect::<Vec<_>>(), CHECKS);
    assert!(listed.iter().all(|line| line["status"] == "ok" && line.get("kind").is_none()));
    assert_eq!(home.count(Endpoint::Token), 1);
    let token = home.run("acme token");
    for output in [&output, &json] {
        let said = format!("{}{}", out(output), err(output));
        assert!(!said.contains(out(&token).trim()) && !said.contains(&home.secret()), "{said}");
    }
    for request in home.acme.requests().iter().filter(|request| request.endpoint != Endpoint::Token) {
        assert!(request.headers.iter().all(|(name, _)| name != "authorization"), "{request:?}");
    }
}

#[test]
fn check_offline_sends_nothing() {
    let home = Home::with(CLIENT_CREDENTIALS);
    let skipped = ["DNS", "TCP", "TLS", "server clock", "metadata"];
    let check = |token: &str| {
        let before = home.acme.total();
        let output = home.run("acme check --offline");
        assert_eq!(output.status.code(), Some(0), "{}", out(&output));
        for ((status, detail), check) in lines(&output).into_iter().zip(CHECKS) {
            let expected = if skipped.contains(&check) { "skipped" } else { "ok" };
            assert_eq!(status, expected, "{}", out(&output));
            assert!(status == "ok" || detail == "because of --offline");
            assert!(check != "token" || detail.starts_with(token), "{detail}");
        }
        assert_eq!(home.acme.total(), before);
    };
    check("none is stored: the first request obtains one");
    support::ends_well(&home.run("acme token"));
    check("valid for ");
    home.write("grant = \"authorization_code\"\nclient_secret_file = \"secret\"");
    let before = home.acme.total();
    let output = home.run("acme check --offline --profile person");
    finds(
        &output,
        3,
        "token",
        "nobody has logged in to acme with this client and profile: run `keyfob acme login`",
    );
    assert_eq!(home.acme.total(), before);
}

#[test]
fn check_ends_with_the_status_of_the_first_thing_that_failed() {
    let home = Home::with(CLIENT_CREDENTIALS);
    let secret = home.path(".config/keyfob/secret");
    let set = |command: &mut Command, name: &str, value: &str| command.env(name, value).output().unwrap();
    let with = |name: &str, value: &str| set(&mut home.keyfob("acme check"), name, value);
    // A mistake in the section, and nothing after it can be known.
    let output = with("ACME_API_URL", "http://api.example.com");
    finds(&output, 2, "configuration", "ACME_API_URL: the API URL is plain http");
    assert!(lines(&output)[4..].iter().all(|line| line.0 == "skipped"), "{}", out(&output));
    // The secret.
    home.write(CLIENT_CREDENTIALS);
    finds(&home.run("acme check"), 3, "secrets", "ACME_CLIENT_SECRET is not set");
    let line = format!("{CLIENT_CREDENTIALS}\nclient_secret_file = \"secret\"");
    home.write(&format!("{line}\nclient_auth = \"client_secret_jwt\""));
    let output = with("ACME_CLIENT_SECRET", "short");
    finds(&output, 2, "secrets", "HS256 needs at least 32");
    home.write(&line);
    fs::remove_file(&secret).unwrap();
    finds(&home.run("acme check"), 7, "secrets", "could not read ");
    home.write(&line);
    // A file that others can read: the checks after it go on.
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o640)).unwrap();
    let output = home.run("acme check");
    let says = format!("{} can be read by others than its owner: run chmod 600 on it", secret.display());
    finds(&output, 7, "file modes", &says);
    assert_eq!(lines(&output)[10].0, "ok", "{}", out(&output));
    // The first failure decides, not the last.
    let output = with("ACME_API_URL", "http://127.0.0.1:1");
    finds(&output, 7, "file modes", &says);
    assert_eq!(lines(&output)[6].0, "failed", "{}", out(&output));
    home.write(&line);
    // The store.
    fs::write(home.path("file"), "").unwrap();
    let output = with("KEYFOB_STORE", home.path("file").to_str().unwrap());
    finds(&output, 7, "store", "file");
    finds(&with("KEYFOB_STORE", "redis://x"), 2, "store", "KEYFOB_STORE is a URL");
    // The transport.
    finds(&with("KEYFOB_PROXY", "socks5://127.0.0.1:1"), 2, "proxy", "proxy");
    let output = with("ACME_API_URL", "https://nowhere.invalid");
    finds(&output, 5, "DNS", "https://nowhere.invalid");
    assert_eq!(lines(&output)[10].0, "ok", "the authorization server is there: {}", out(&output));
    let output = with("ACME_API_URL", "http://127.0.0.1:1");
    finds(&output, 5, "TCP", "http://127.0.0.1:1: the connection was refused; check");
    // The issuer has no metadata.
    finds(&with("ACME_ISSUER", &home.acme.api_url()), 4, "metadata", "has no metadata");
    // The token.
    let answer = Fault::raw(401, "application/json", r#"{"error":"invalid_client"}"#);
    home.acme.fault(Endpoint::Token, answer);
    let output = home.run("acme check --profile other");
    finds(&output, 4, "token", "invalid_client");
    home.acme.fault(Endpoint::Token, Fault::raw(401, "application/json", r#"{"error":"invalid_client"}"#));
    let output = home.run("acme check --profile other --format json");
    assert_eq!(output.status.code(), Some(4), "{}", out(&output));
    let listed: Vec<Value> = serde_json::from_str(out(&output)).unwrap();
    assert_eq!((&listed[10]["status"], &listed[10]["kind"]), (&"failed".into(), &"refused".into()));
}

/// Whatever makes a service unusable, there is a report, and its first line says why.
#[test]
fn check_reports_each_mistake_that_leaves_no_service_to_check() {
    let home = Home::with("");
    let config = home.path(".config/keyfob/config.toml");
    let shown = config.display();
    let refuses = |command: &mut dyn FnMut(&str) -> Command, service: &str, says: &str| {
        let output = command(&format!("{service} check")).output().unwrap();
        finds(&output, 2, "configuration", says);
        assert_eq!(err(&output), "");
        let skipped = &lines(&output)[1..];
        assert!(skipped.iter().all(|line| line.0 == "skipped" && line.1 == "because of an earlier failure"));
        for words in ["check --format json", "--format json check --offline"] {
            let output = command(&format!("{service} {words}")).output().unwrap();
            assert_eq!((output.status.code(), err(&output)), (Some(2), ""));
            let listed: Vec<Value> = serde_json::from_str(out(&output)).unwrap();
            let checks: Vec<_> = listed.iter().map(|line| line["check"].as_str().unwrap()).collect();
            assert_eq!(checks, CHECKS);
            let first = &listed[0];
            assert_eq!((&first["status"], &first["kind"]), (&"failed".into(), &"invalid_input".into()));
            assert!(first["detail"].as_str().unwrap().contains(says), "{says}: {first}");
            assert!(listed[1..].iter().all(|line| line["status"] == "skipped"));
        }
    };
    for (content, says) in [
        (&b"[service.acme\n"[..], format!("{shown}:1: the header is not TOML; write [service.acme]")),
        (b"[service.acme]\nisuer = 1\n", format!("{shown}:2: isuer: is not a key of a service")),
        (b"[service.acme]\n\xff\n", format!("{shown}:2: the line is not UTF-8")),
        (b"[service.token]\n", format!("{shown}:1: service.token: is the name of a command")),
        (b"[service.acme]\n", format!("{shown}:1: grant: is missing")),
    ] {
        fs::write(&config, content).unwrap();
        refuses(&mut |words| home.keyfob(words), "acme", &says);
        // A mistake of the file is one of all services, and one in a section is not.
        if !says.contains("is missing") {
            refuses(&mut |words| home.keyfob(words), "spatiafi", &says);
        }
    }
    fs::write(&config, "[service.acme]\n").unwrap();
    refuses(
        &mut |words| home.keyfob(words),
        "acne",
        &format!("{shown} has no [service.acne]; a similar name is acme"),
    );
    let output = home.keyfob("").args(["a\u{1b}[31m", "check"]).output().unwrap();
    finds(&output, 2, "configuration", "there is no service a [31m");
    fs::set_permissions(&config, fs::Permissions::from_mode(0o666)).unwrap();
    for service in ["acme", "spatiafi"] {
        let says = format!("the configuration {shown} can be changed by other users");
        refuses(&mut |words| home.keyfob(words), service, &says);
    }
    fs::remove_file(&config).unwrap();
    let says = format!("there is no configuration {shown}, which could have [service.acme]");
    refuses(&mut |words| home.keyfob(words), "acme", &says);
    symlink(&config, &config).unwrap();
    refuses(&mut |words| home.keyfob(words), "acme", "its symbolic links form a loop");
    fs::remove_file(&config).unwrap();
    fs::create_dir(&config).unwrap();
    refuses(&mut |words| home.keyfob(words), "acme", &format!("the configuration {shown} is a folder"));
    fs::remove_dir(&config).unwrap();
    // No place for a file at all.
    let mut without_home = |words: &str| {
        let mut command = home.keyfob(words);
        command.env("HOME", "").env("KEYFOB_CONFIG", "");
        command
    };
    refuses(&mut without_home, "acme", "acme");
    // Options and variables of all commands.
    for (name, value, says) in
        [("KEYFOB_CA_FILE", "/nope", "KEYFOB_CA_FILE"), ("KEYFOB_CONFIG", "~/x", "`~` is not expanded")]
    {
        let mut command = |words: &str| {
            let mut command = home.keyfob(words);
            command.env(name, value);
            command
        };
        refuses(&mut command, "spatiafi", says);
    }
    refuses(
        &mut |words| home.keyfob(words),
        "--proxy me@h spatiafi",
        "--proxy holds a user name or password",
    );
    // Other commands of such a service show the plain error.
    support::fails(&home.run("acme token"), 2, "unrecognized subcommand 'acme'");
}

/// Each server that fails has a line of its own.
#[test]
fn check_shows_each_server_that_fails_at_a_stage() {
    let home = Home::with("");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let plain = home.acme.api_url().replace("http://", "https://");
    let (dns, tcp, tls) = (
        ["https://nosuch-1.invalid", "https://nosuch-2.invalid"],
        [format!("http://{closed}"), format!("https://{closed}")],
        [plain.clone(), plain.replace("127.0.0.1", "localhost")],
    );
    let all: Vec<_> = dns.iter().map(|one| (*one).to_owned()).chain(tcp.clone()).chain(tls.clone()).collect();
    let urls = all.iter().map(|url| format!("\"{url}\"")).collect::<Vec<_>>().join(", ");
    let config = format!(
        "api_url = [{urls}]\nissuer = \"{}\"\nclient_id = \"{}\"\n{CLIENT_CREDENTIALS}\nclient_secret_file = \"secret\"",
        home.acme.issuer(),
        home.acme.client_id()
    );
    home.section(&config);
    let output = home.run("acme check");
    assert_eq!(output.status.code(), Some(5), "{}{}", out(&output), err(&output));
    let json = home.run("acme check --format json");
    assert_eq!(json.status.code(), Some(5));
    let listed: Vec<Value> = serde_json::from_str(out(&json)).unwrap();
    assert_eq!(listed.len(), CHECKS.len() + 3, "{}", out(&json));
    for (stage, origins) in [("DNS", &dns.map(str::to_owned)), ("TCP", &tcp), ("TLS", &tls)] {
        let of_text: Vec<_> = out(&output).lines().filter(|line| line.starts_with(stage)).collect();
        let of_json: Vec<_> = listed.iter().filter(|line| line["check"] == stage).collect();
        assert_eq!((of_text.len(), of_json.len()), (2, 2), "{}", out(&output));
        for ((origin, line), entry) in origins.iter().zip(of_text).zip(of_json) {
            assert!(line.contains(&format!("failed  {origin}: ")), "{line}");
            assert!(entry["detail"].as_str().unwrap().starts_with(&format!("{origin}: ")), "{entry}");
            assert_eq!((&entry["status"], &entry["kind"]), (&"failed".into(), &"network".into()));
        }
    }
    // What comes after them goes on.
    assert!(out(&output).contains("metadata      ok "), "{}", out(&output));
    assert!(out(&output).contains("token         ok "), "{}", out(&output));
}

#[test]
fn check_tells_a_wrong_certificate_from_a_proxy_that_refuses() {
    let services = Services::start_tls();
    let output = services.without(&["KEYFOB_CA_FILE"], "spatiafi check").output().unwrap();
    finds(&output, 5, "TLS", "the server's certificate is not from a trusted authority");
    let found = lines(&output);
    assert_eq!((found[5].0.as_str(), found[6].0.as_str(), found[8].0.as_str()), ("ok", "ok", "skipped"));
    // A proxy that wants a password.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut lines = BufReader::new(client.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let _ = client.write_all(b"HTTP/1.1 407 No\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let mut command = services.without(&[], "spatiafi check");
    // An address of this machine that is none of loopback, which never has a proxy.
    command.env("SPATIAFI_AUTH_URL", services.spatiafi.auth_url().replace("127.0.0.1", "0.0.0.0"));
    let output = command.env("KEYFOB_PROXY", &proxy).output().unwrap();
    finds(&output, 5, "proxy", "the proxy requires a user name and a password (HTTP 407)");
    assert!(!out(&output).contains(services.spatiafi.client_secret()));
    // A proxy that is not there.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (place, what) in [
        (closed.to_string(), "the connection was refused"),
        ("nosuch.invalid:3128".to_owned(), "the host name was not found"),
    ] {
        let url = format!("http://me:hunter2@{place}");
        let output = command.env("KEYFOB_PROXY", &url).output().unwrap();
        finds(&output, 5, "proxy", &format!(": the proxy {place}: {what}; check the proxy"));
        assert!(!out(&output).contains("hunter2"), "{}", out(&output));
    }
    // A CA file that is no CA file.
    let bad = services.file("bad.pem", "nonsense");
    let output = services.without(&[], "spatiafi check").env("KEYFOB_CA_FILE", &bad).output().unwrap();
    finds(&output, 2, "TLS", "CA file");
}

/// Each line names the origins that passed its stage, and no other.
#[test]
fn check_puts_a_failure_under_the_stage_that_each_origin_reached() {
    let home = Home::with(CLIENT_CREDENTIALS);
    let api = home.acme.api_url();
    let with = |name: &str, value: &str| home.keyfob("acme check").env(name, value).output().unwrap();
    let statuses = |output: &Output| {
        lines(output)[4..10].iter().map(|line| line.0.clone()).collect::<Vec<_>>().join(" ")
    };
    let output = with("ACME_ISSUER", "https://nosuch.invalid/acme");
    finds(&output, 5, "DNS", "https://nosuch.invalid: the host name was not found");
    assert_eq!(statuses(&output), "ok failed ok skipped ok skipped", "{}", out(&output));
    assert_eq!(lines(&output)[6].1, api);
    assert_eq!(lines(&output)[9].1, "because of an earlier failure");
    let tls = api.replace("http://", "https://");
    let output = with("ACME_API_URL", &tls);
    finds(&output, 5, "TLS", &format!("{tls}: "));
    assert!(lines(&output)[6].1.contains(&tls), "{}", out(&output));
    // A server that is silent, and one that closes each connection, which may say anything in its name.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let closing = TcpListener::bind("127.0.0.1:0").unwrap();
    let ports = [&silent, &closing].map(|listener| listener.local_addr().unwrap().port());
    thread::spawn(move || closing.incoming().for_each(|client| drop(client.map(|it| it.peek(&mut [0])))));
    for (scheme, port, status, check, says) in [
        ("https", ports[0], 5, "TLS", "TLS was not set up in time"),
        ("https", ports[1], 5, "TLS", "the connection was cut off while TLS was set up"),
        ("http", ports[0], 5, "server clock", "no complete answer in time"),
        ("http", ports[1], 5, "server clock", "the connection was cut off"),
    ] {
        let url = format!("{scheme}://localhost:{port}");
        let mut command = home.keyfob("acme check --timeout 0.5");
        let output = command.env("ACME_API_URL", &url).output().unwrap();
        finds(&output, status, check, &format!("{url}: {says}; "));
    }
    for (name, value) in [("ALL_PROXY", "socks5h://me:hunter2@h:1"), ("HTTPS_PROXY", "hunter2 junk")] {
        let mut command = home.keyfob("acme check");
        let output = command.env("ACME_API_URL", "https://nosuch.invalid").env(name, value).output().unwrap();
        finds(&output, 2, "proxy", &format!("the proxy in {name} cannot be used"));
        assert!(!out(&output).contains("hunter2"), "{}", out(&output));
        assert_eq!(statuses(&output), "failed skipped skipped skipped skipped skipped");
    }
    // Files of the transport.
    let services = Services::start_tls();
    let mut command = services.without(&["KEYFOB_CA_FILE"], "spatiafi check");
    finds(&command.env("SSL_CERT_FILE", "/nope").output().unwrap(), 2, "TLS", "SSL_CERT_FILE");
    let files = "client_cert_file = \"nope.pem\"\nclient_key_file = \"nope.key\"";
    home.write(&format!("{CLIENT_CREDENTIALS}\nclient_secret_file = \"secret\"\n{files}"));
    for words in ["acme check", "acme check --offline"] {
        let output = home.run(words);
        finds(&output, 2, "TLS", "nope.pem");
        assert_eq!(lines(&output)[4].0, "ok", "{}", out(&output));
    }
}

#[test]
fn check_compares_the_clocks() {
    let services = Services::start();
    services.spatiafi.clock().advance(Duration::from_secs(7200));
    let output = services.run("spatiafi check");
    let (_, detail) = &lines(&output)[8];
    finds(&output, 5, "server clock", &format!(" s behind that of {}", services.spatiafi.api_url()));
    assert!(detail.starts_with("the clock of this machine is 7"), "{detail}");
    // The clock of the authorization server alone, which judges assertions.
    let home = Home::with(CLIENT_CREDENTIALS);
    services.spatiafi.clock().advance(Duration::from_secs(1));
    home.acme.clock().advance(Duration::from_secs(90_000));
    let output = home.keyfob("acme check").env("ACME_API_URL", services.spatiafi.api_url()).output().unwrap();
    let (_, detail) = &lines(&output)[8];
    let server = home.acme.issuer().split('/').take(3).collect::<Vec<_>>().join("/");
    finds(&output, 5, "server clock", &format!(" s behind that of {server}: set it"));
    assert!(detail.starts_with("the clock of this machine is 9") || detail.contains(" 89999 s"), "{detail}");
}

#[test]
fn check_shows_the_proxy_of_each_server_without_its_password() {
    let home = Home::with(CLIENT_CREDENTIALS);
    let both = [("ACME_API_URL", "https://api.example.com"), ("ACME_ISSUER", "https://login.example.com")];
    let proxy = "http://me:hunter2@proxy.example.com:3128";
    let shown = "http://proxy.example.com:3128";
    for (variables, expected) in [
        (&[("HTTPS_PROXY", proxy)][..], shown.to_owned()),
        (&[("KEYFOB_PROXY", "me:hunter2@proxy.example.com")], "http://proxy.example.com:80".to_owned()),
        (&[("ALL_PROXY", proxy), ("KEYFOB_PROXY", "none")], "none is used".to_owned()),
        (&[("ALL_PROXY", proxy), ("NO_PROXY", "example.com")], "none is used".to_owned()),
        (&[], "none is used".to_owned()),
        (
            &[("ALL_PROXY", proxy), ("NO_PROXY", "login.example.com")],
            format!("{shown} for {}, none is used for {}", both[0].1, both[1].1),
        ),
    ] {
        let mut command = home.keyfob("acme check --offline");
        let output = command.envs(both).envs(variables.iter().copied()).output().unwrap();
        assert_eq!(lines(&output)[4], ("ok".to_owned(), expected), "{variables:?}");
    }
    // Both servers are on this machine.
    let output = home.keyfob("acme check").env("ALL_PROXY", proxy).output().unwrap();
    assert_eq!(lines(&output)[4].1, "none is used");
}

/// Files that each request reads again are read by the check too.
#[test]
fn check_finds_a_file_of_the_requests_that_is_missing() {
    let home = Home::with(CLIENT_CREDENTIALS);
    let config = home.path(".config/keyfob/config.toml");
    for (lines_of_file, key, at) in [
        ("client_auth = \"assertion\"\nassertion_file = \"hunter2\"", "assertion_file", 7),
        (
            "client_secret_file = \"secret\"\nparameter_files = { subject = \"hunter2\" }",
            "parameter_files.subject",
            7,
        ),
    ] {
        home.write(&format!("{CLIENT_CREDENTIALS}\n{lines_of_file}"));
        let output = home.run("acme check --offline");
        let place = format!("{key} in {}:{at}", config.display());
        finds(&output, 7, "secrets", &format!("could not read the file that {place} names: no such file"));
        // Somebody may have written the secret itself.
        assert!(!out(&output).contains("hunter2"), "{}", out(&output));
        home.file("hunter2", "a.b.c");
        let output = home.run("acme check --offline");
        assert_eq!(output.status.code(), Some(0), "{}", out(&output));
        assert!(lines(&output)[1].1.contains(&place), "{}", out(&output));
        fs::remove_file(home.path(".config/keyfob/hunter2")).unwrap();
    }
}

/// `--offline` is the reason only for what it leaves out.
#[test]
fn check_offline_names_an_earlier_failure_as_the_reason_where_it_is() {
    let home = Home::with("");
    home.write("grant = \"authorization_code\"\nclient_auth = \"none\"\nredirect_uri = \"hunter2\"");
    let output = home.run("acme check --offline");
    finds(&output, 2, "configuration", "redirect");
    let skipped = lines(&output).into_iter().filter(|line| line.0 == "skipped");
    assert!(
        skipped.clone().count() > 6 && skipped.clone().all(|line| line.1 == "because of an earlier failure")
    );
    home.write(CLIENT_CREDENTIALS);
    let output = home.run("acme check --offline");
    finds(&output, 3, "secrets", "ACME_CLIENT_SECRET is not set");
    assert_eq!(lines(&output)[5].1, "because of --offline");
    // A mistake in another setting is no reason for a missing secret.
    let output = home.keyfob("acme check --offline").env("KEYFOB_PROXY", "socks5://h:1").output().unwrap();
    finds(&output, 3, "secrets", "ACME_CLIENT_SECRET is not set");
    assert_eq!(lines(&output)[4].0, "failed", "{}", out(&output));
    let output = home.run("acme check --offline");
    assert_eq!(lines(&output)[10].1, "because of an earlier failure");
}

#[test]
fn check_of_a_service_with_http_basic_needs_no_token() {
    let services = Services::start();
    let output = services.run("spacebring check");
    let found = lines(&output);
    assert_eq!(output.status.code(), Some(0), "{}", out(&output));
    assert_eq!(found[3].1, "none is needed: requests use HTTP Basic");
    assert_eq!(found[7].1, "none is needed: plain http on this machine");
    assert_eq!(found[9].1, "none is needed: the URLs are given");
    assert_eq!(found[10].1, found[3].1);
    let offline = services.run("spacebring check --offline");
    assert_eq!(lines(&offline)[9].1, found[9].1);
    let mut command = services.without(&[], "spacebring check");
    finds(&command.env("SPACEBRING_AUTH", "oauth2").output().unwrap(), 3, "token", "keyfob spacebring login");
    let mut command = services.without(&[], "spacebring check");
    finds(&command.env("SPACEBRING_AUTH", "bearer").output().unwrap(), 2, "configuration", "basic or oauth2");
}
