//! The formats of `token`, read by the programs that they are for.
#![cfg(unix)]

mod support;

use std::io::Write as _;
use std::process::{Command, Stdio};

use keyfob_sandbox::{Endpoint, Fault};
use serde_json::Value;
use support::home::{CLIENT_CREDENTIALS, Home};
use support::{ends_well, err, fails, out, succeeds};

/// Each character that a token may hold (RFC 6750 2.1 and more: visible ASCII), in orders that try to end a quotation.
const TOKENS: [&str; 6] = [
    "plain-token_0.9~+/==",
    "'\"\\$`!*?[]{}()<>|&;#~^%,@:'",
    "';id;'",
    "$(id)`id`${HOME}\\",
    "a\\nb\\\"c\\",
    "\"--next",
];

/// Makes the server issue this token, as JSON writes it.
fn issues(home: &Home, token: &str) {
    let answer = format!(r#"{{"access_token":{},"expires_in":900}}"#, Value::from(token));
    home.acme.fault(Endpoint::Token, Fault::raw(200, "application/json", answer));
}

/// What a program prints that reads this text.
fn piped_to(program: &mut Command, text: &[u8]) -> Vec<u8> {
    program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = program.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program:?}");
    output.stdout
}

#[test]
fn token_in_env_format_is_one_word_of_a_shell_whatever_it_holds() {
    let home = Home::with(CLIENT_CREDENTIALS);
    for (n, token) in TOKENS.into_iter().enumerate() {
        issues(&home, token);
        let output = home.run(&format!("acme token --format env --profile p{n}"));
        assert!(succeeds(&output).starts_with("export ACME_ACCESS_TOKEN='"));
        assert_eq!(out(&output).lines().count(), 1, "{}", out(&output));
        let script = [&output.stdout[..], b"exec env"].concat();
        let environment = piped_to(Command::new("sh").env_clear(), &script);
        let line = format!("ACME_ACCESS_TOKEN={token}");
        assert!(String::from_utf8(environment).unwrap().lines().any(|own| own == line), "{token}");
    }
}

#[test]
fn token_in_curl_format_is_one_header_of_curl_whatever_it_holds() {
    let home = Home::with(CLIENT_CREDENTIALS);
    for (n, token) in TOKENS.into_iter().enumerate() {
        issues(&home, token);
        let output = home.run(&format!("acme token --format curl --profile p{n}"));
        assert!(succeeds(&output).starts_with("header = \"Authorization: Bearer "));
        assert_eq!(out(&output).lines().count(), 1, "{}", out(&output));
        // curl prints the request that it sends. The API answers 401.
        let url = format!("{}/things", home.acme.api_url());
        let mut curl = Command::new("curl");
        curl.args(["-q", "-s", "-K", "-", "--noproxy", "*", "--trace-ascii", "-", "-o", "/dev/null", &url]);
        let trace = String::from_utf8(piped_to(&mut curl, &output.stdout)).unwrap();
        let line = format!("Authorization: Bearer {token}");
        let sent = trace.lines().filter(|sent| sent.contains("Authorization"));
        assert_eq!(sent.map(|sent| sent.split_once(": ").unwrap().1).collect::<Vec<_>>(), [line], "{trace}");
    }
    ends_well(&home.run("acme logout"));
    let output = home.run("acme token --format curl");
    let url = format!("{}/things", home.acme.api_url());
    let answer = piped_to(Command::new("curl").args(["-q", "-s", "-K", "-", &url]), &output.stdout);
    assert!(String::from_utf8(answer).unwrap().contains("anvil"));
}

/// Only visible ASCII can be in a header, so no format has to deal with other characters.
#[test]
fn token_with_a_line_end_is_in_no_format() {
    let home = Home::with(CLIENT_CREDENTIALS);
    for token in ["a\nb", "a\r\nHost: b", "a\0b", "a b", "\n", "a\u{85}b", "ä"] {
        for format in ["text", "json", "header", "env", "curl", "exec-credential"] {
            issues(&home, token);
            let output = home.run(&format!("acme token --format {format}"));
            fails(&output, 4, "its access_token cannot be put into a header");
        }
    }
}

#[test]
fn exec_credential_has_the_version_that_kubectl_asks_for() {
    const GROUP: &str = "client.authentication.k8s.io";
    let home = Home::with(CLIENT_CREDENTIALS);
    let run = |info: Option<&str>| {
        let mut command = home.keyfob("acme token --format exec-credential");
        command.envs(info.map(|info| ("KUBERNETES_EXEC_INFO", info))).output().unwrap()
    };
    let token = succeeds(&home.run("acme token")).trim_end().to_owned();
    let stored: Value = serde_json::from_str(succeeds(&home.run("acme token --format json"))).unwrap();
    let info = |version: &str| {
        format!(
            r#"{{"kind":"ExecCredential","apiVersion":"{version}","spec":{{"interactive":false,"cluster":{{"server":"https://[::1]"}}}}}}"#
        )
    };
    for (given, version) in [
        (None, "v1"),
        (Some(String::new()), "v1"),
        (Some(info(&format!("{GROUP}/v1"))), "v1"),
        (Some(info(&format!("{GROUP}\\/v1"))), "v1"),
        (Some(info(&format!("{GROUP}/v1beta1"))), "v1beta1"),
    ] {
        let output = run(given.as_deref());
        assert!(succeeds(&output).ends_with('\n'));
        let printed: Value = serde_json::from_str(out(&output)).unwrap();
        let expiry = printed["status"]["expirationTimestamp"].as_str().unwrap();
        let expected = serde_json::json!({
            "apiVersion": format!("{GROUP}/{version}"),
            "kind": "ExecCredential",
            "status": { "token": token, "expirationTimestamp": expiry },
        });
        assert_eq!(printed, expected);
        // As `date` reads it.
        let seconds = Command::new("date").args(["-u", "-d", expiry, "+%s"]).output().unwrap();
        assert_eq!(succeeds(&seconds).trim(), stored["expires_at"].to_string());
    }
    for given in [
        info(&format!("{GROUP}/v1alpha1")),
        info(&format!("{GROUP}/v2")),
        info(&format!("{GROUP}/v1 ")),
        info("v1"),
        info(""),
    ] {
        fails(&run(Some(&given)), 2, "KUBERNETES_EXEC_INFO names no apiVersion that keyfob has");
    }
    let whole = info(&format!("{GROUP}/v1"));
    for given in [
        r#"{"kind":"ExecCredential"}"#.to_owned(),
        r#"{"kind":"ExecCredential","apiVersion":1}"#.to_owned(),
        whole.replace("ExecCredential", "Pod"),
        whole.replace("\"kind\":\"ExecCredential\",", ""),
        whole.replace("}}", ""),
        "nonsense".to_owned(),
    ] {
        fails(&run(Some(&given)), 2, "KUBERNETES_EXEC_INFO is not the JSON of an ExecCredential");
    }
    // A token of unknown lifetime has no expiry. Quotes stay within the JSON string.
    for (n, token) in TOKENS.into_iter().enumerate() {
        let answer = format!(r#"{{"access_token":{}}}"#, Value::from(token));
        home.acme.fault(Endpoint::Token, Fault::raw(200, "application/json", answer));
        let output = home.run(&format!("acme token --format exec-credential --profile p{n}"));
        let printed: Value = serde_json::from_str(succeeds(&output)).unwrap();
        assert_eq!(printed["status"], serde_json::json!({ "token": token }));
    }
    // Another format does not read the variable.
    let mut command = home.keyfob("acme token");
    succeeds(&command.env("KUBERNETES_EXEC_INFO", "nonsense").output().unwrap());
}

#[test]
fn service_with_http_basic_has_header_and_curl_and_no_token() {
    let home = Home::with(CLIENT_CREDENTIALS);
    home.section(&format!(
        "api_url = \"{}\"\nclient_id = \"me\"\ngrant = \"basic\"\nclient_secret_file = \"secret\"",
        home.acme.api_url()
    ));
    home.file("secret", "open: \"sesame\\");
    let basic = "Authorization: Basic bWU6b3BlbjogInNlc2FtZVw=";
    assert_eq!(succeeds(&home.run("acme token --format header")), format!("{basic}\n"));
    assert_eq!(succeeds(&home.run("acme token --format curl")), format!("header = \"{basic}\"\n"));
    for format in ["text", "json", "env", "exec-credential"] {
        let output = home.run(&format!("acme token --format {format}"));
        fails(&output, 2, "the service `acme` has no token: its requests use HTTP Basic");
    }
    assert_eq!(home.acme.total(), 0);
}

#[test]
fn format_without_effect_is_refused() {
    let home = Home::with(CLIENT_CREDENTIALS);
    for format in ["header", "env", "curl", "exec-credential"] {
        for words in ["acme status", "services"] {
            fails(&home.run(&format!("{words} --format {format}")), 2, "have text and json");
        }
    }
    for words in ["acme get /", "acme login", "acme exec -- true", "completions bash"] {
        let output = home.run(&format!("--format json {words}"));
        assert_eq!(output.status.code(), Some(2), "{words}: {}", err(&output));
    }
    assert_eq!(home.acme.total(), 0);
}
