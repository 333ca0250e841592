//! Every command, against both sandboxes.
#![allow(clippy::disallowed_methods, reason = "tests of a real process run on the machine's clock")]

mod support;

use std::fs;
use std::time::{Duration, SystemTime};

use keyfob_sandbox::{Endpoint, Fault, SpacebringSandbox};
use serde_json::Value;
use support::{INFO, Services, bare, ends_well, err, fails, out, piped, succeeds, url_of};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn token_is_printed_and_stored_for_the_next_run() {
    let services = Services::start();
    let output = services.run("spatiafi token");
    let token = succeeds(&output).trim_end();
    assert_eq!((token.lines().count(), services.spatiafi.count(Endpoint::Token)), (1, 1));

    let header = services.run("spatiafi token --format header");
    assert_eq!(succeeds(&header), format!("Authorization: Bearer {token}\n"));

    let printed = json(succeeds(&services.run("--format json spatiafi token")));
    assert_eq!((&printed["access_token"], &printed["token_type"]), (&token.into(), &"Bearer".into()));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let (left, at) = (printed["expires_in"].as_u64().unwrap(), printed["expires_at"].as_u64().unwrap());
    assert!((880..=900).contains(&left) && (now + 880..=now + 900).contains(&at), "{printed}");
    assert_eq!(services.spatiafi.total(), 1, "no other request");

    let other = services.run("spatiafi token --profile other");
    assert_ne!(succeeds(&other).trim_end(), token, "a profile has its own");
    assert_ne!(succeeds(&services.run("spatiafi token --min-valid 901")).trim_end(), token);
    assert_eq!(services.spatiafi.tokens_issued(), 3);
}

/// Early renewal is due in the last fifth of these lifetimes, so it has no effect here.
#[test]
fn printed_token_is_valid_for_a_minute_unless_set_otherwise() {
    let services = Services::start();
    for (lifetime, more, kept) in [(55, "", false), (55, "--min-valid 10", true), (90, "", true)] {
        services.spatiafi.set_token_lifetime(Duration::from_secs(lifetime));
        let words = format!("spatiafi token --profile {lifetime}{kept} {more}");
        let [first, second] = [(); 2].map(|()| succeeds(&services.run(&words)).to_owned());
        assert_eq!(first == second, kept, "{lifetime} s {more}");
    }
}

#[test]
fn options_take_precedence_over_the_environment() {
    let services = Services::start();
    let (by_env, by_option) = (services.path("env"), services.path("option"));
    let mut command = services.without(&[], "spatiafi token");
    command.env("KEYFOB_STORE", &by_env).env("KEYFOB_PROFILE", "one");
    ends_well(&command.output().unwrap());
    assert!(by_env.exists());
    ends_well(&command.arg("--store").arg(&by_option).output().unwrap());
    assert_eq!((by_option.exists(), services.spatiafi.tokens_issued()), (true, 2));
    // An empty variable counts as unset.
    ends_well(
        &command
            .env("KEYFOB_PROFILE", "")
            .env("KEYFOB_CA_FILE", "")
            .env("KEYFOB_PROXY", "")
            .output()
            .unwrap(),
    );
    assert_eq!(services.spatiafi.tokens_issued(), 3);
}

#[test]
fn ca_file_can_be_set_by_option_and_by_environment() {
    let services = Services::start_tls();
    ends_well(&services.run("spatiafi token"));
    let ca = services.file("ca.pem", services.spatiafi.ca_pem().unwrap());
    let mut command = services.without(&["KEYFOB_CA_FILE"], "spatiafi token --profile other");
    fails(
        &command.output().unwrap(),
        5,
        "is not from a trusted authority; name the CA file of its authority in KEYFOB_CA_FILE",
    );
    ends_well(&command.arg("--ca-file").arg(ca).output().unwrap());
}

#[test]
fn systems_authorities_are_trusted_unless_others_are_named() {
    type Case<'a> = (&'a [&'a str], Option<&'a str>, &'a str, Option<&'a str>);
    let services = Services::start_tls();
    let ca = services.file("ca.pem", services.spatiafi.ca_pem().unwrap());
    let ca = ca.to_str().unwrap();
    let other = services.file("other.pem", keyfob_sandbox::Sandbox::start_tls().ca_pem().unwrap());
    let other = other.to_str().unwrap();
    let unknown = Some("is not from a trusted authority");
    // The authorities of all sandboxes have one name.
    let other_key = Some("was not signed by the authority that it names");
    let missing = services.path("missing");
    let missing = missing.to_str().unwrap();
    let cases: [Case<'_>; 14] = [
        (&[], None, ca, None),
        (&[], Some(""), ca, None),
        (&[], Some("auto"), ca, None),
        (&[], Some("system"), ca, None),
        (&[], Some("builtin"), ca, unknown),
        (&[], Some(ca), missing, None),
        (&[], Some(other), ca, other_key),
        (&[], Some("system"), other, other_key),
        (&[], None, other, other_key),
        (&[], None, missing, Some("could not read the CA file that SSL_CERT_FILE names")),
        (&["--ca-file", "auto"], Some("builtin"), ca, None),
        (&["--ca-file", "system"], Some(other), ca, None),
        (&["--ca-file", "builtin"], Some(ca), ca, unknown),
        (&["--ca-file", ca], Some(other), other, None),
    ];
    for (number, (options, variable, bundle, says)) in cases.into_iter().enumerate() {
        let mut command =
            services.without(&["KEYFOB_CA_FILE"], &format!("spatiafi token --profile {number}"));
        command
            .args(options)
            .env("SSL_CERT_FILE", bundle)
            .envs(variable.map(|value| ("KEYFOB_CA_FILE", value)));
        let output = command.output().unwrap();
        match says {
            None => ends_well(&output),
            Some(says) => fails(&output, if bundle == missing { 2 } else { 5 }, says),
        }
    }
}

#[test]
fn requests_are_signed_and_their_bodies_printed() {
    let services = Services::start();
    let output = services.keyfob(["spatiafi", "get", INFO]).output().unwrap();
    assert!(json(succeeds(&output))["bands"].is_array());
    let url = format!("{}{INFO}", services.spatiafi.api_url());
    assert_eq!(out(&services.keyfob(["spatiafi", "get", &url]).output().unwrap()), out(&output));

    // Requests to Spacebring are those of a customer by default, and of a partner on request.
    let locations = services.run("spacebring get /locations/v1");
    assert!(json(succeeds(&locations))["locations"].is_array());
    let mut as_partner = services.without(&[], "spacebring get /locations/v1");
    as_partner.env("SPACEBRING_AUTH", "oauth2");
    fails(&as_partner.output().unwrap(), 3, "keyfob spacebring login");
    ends_well(&services.log_in("--scope locations --scope resources --scope visitors --scope plans"));
    assert_eq!(succeeds(&as_partner.output().unwrap()), out(&locations));
}

#[test]
fn bodies_are_sent_as_they_are_given() {
    let services = Services::start();
    let all = json(succeeds(&services.run("spacebring get /locations/v1")));
    let at = all["locations"][0]["id"].as_str().unwrap();
    let list = json(succeeds(&services.run(&format!("spacebring get /resources/v1?locationRef={at}"))));
    let id = list["resources"][0]["id"].as_str().unwrap();
    let path = format!("/resources/v1/{id}");
    let patched = services
        .keyfob(["spacebring", "patch", &path, "--json", r#"{"resource":{"title":"A new desk"}}"#])
        .output()
        .unwrap();
    ends_well(&patched);
    assert!(out(&services.keyfob(["spacebring", "get", &path]).output().unwrap()).contains("A new desk"));

    let file = services.file("change.json", r#"{"resource":{"title":"By file"}}"#);
    let by_file = format!("@{}", file.display());
    ends_well(&services.keyfob(["spacebring", "patch", &path, "--json", &by_file]).output().unwrap());
    let as_data = ["spacebring", "patch", &path, "--data", &by_file, "-H", "Content-Type: application/json"];
    ends_well(&services.keyfob(as_data).output().unwrap());
    let mut by_pipe = services.keyfob(["spacebring", "patch", &path, "--json", "@-"]);
    let mut child = piped(&mut by_pipe);
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), br#"{"resource":{"title":"By pipe"}}"#)
        .unwrap();
    ends_well(&child.wait_with_output().unwrap());
    assert!(out(&services.keyfob(["spacebring", "get", &path]).output().unwrap()).contains("By pipe"));

    let log = services.spacebring.requests();
    let form =
        services.keyfob(["spacebring", "post", "/visitors/contacts/v1", "--data", "a=b"]).output().unwrap();
    assert_eq!(form.status.code(), Some(8), "a form is not what this one takes: {}", out(&form));
    assert_eq!(services.spacebring.requests().len(), log.len() + 1);

    let plans = json(succeeds(&services.run("spacebring get /plans/v1")));
    let plan = plans["plans"][0]["id"].as_str().unwrap();
    ends_well(&services.run(&format!("spacebring delete /plans/v1/{plan}")));
    let gone = services.run(&format!("spacebring get /plans/v1/{plan}"));
    assert_eq!(gone.status.code(), Some(8));
}

#[test]
fn body_of_a_refusal_is_printed() {
    let services = Services::start();
    let output = services.run("spatiafi get /nowhere");
    assert_eq!((output.status.code(), out(&output)), (Some(8), r#"{"detail":"Not Found"}"#));
    assert_eq!(err(&output), "keyfob: error: the API answered HTTP 404; check the path and the request\n");
    services.spatiafi.fault(Endpoint::Info, Fault::raw(500, "text/plain", "oh no"));
    let output = services.keyfob(["spatiafi", "get", INFO]).output().unwrap();
    assert_eq!((output.status.code(), out(&output)), (Some(8), "oh no"));
    services
        .spatiafi
        .fault(Endpoint::Info, Fault::status(302).with_header("Location", "http://127.0.0.1:1/"));
    fails(&services.keyfob(["spatiafi", "get", INFO]).output().unwrap(), 4, "redirects are not followed");
    services.spatiafi.fault(Endpoint::Info, Fault::status(429).with_retry_after("600").always());
    fails(&services.keyfob(["spatiafi", "get", INFO, "--timeout", "2"]).output().unwrap(), 6, "HTTP 429");
}

#[test]
fn unsendable_request_is_refused_before_a_token_is_requested() {
    let services = Services::start();
    let path = |len: usize| format!("/{}", "p".repeat(len - 1));
    let header = |len: usize| format!("x-own: {}", "v".repeat(len));
    for (arguments, text) in [
        (
            vec!["get", &path(16_370)],
            "the path and query of the URL are 16370 bytes long; at most 16369 can be sent",
        ),
        (
            vec!["post", &path(16_369)],
            "the path and query of the URL are 16369 bytes long; at most 16368 can be sent",
        ),
        (vec!["get", &path(65_535)], "the URL is 65557 bytes long; none can be longer than 65534"),
        (
            vec!["get", INFO, "--header", &header(16_376)],
            "the header x-own is 16376 bytes long; at most 16375 can be sent",
        ),
    ] {
        let output = services.keyfob(["spatiafi"]).args(arguments).output().unwrap();
        fails(&output, 2, text);
        assert!(!err(&output).contains('`'), "{}", err(&output));
    }
    assert_eq!(services.spatiafi.total(), 0);
    services.file("in", format!("{}\n{}\n", path(16_370), path(70_000)));
    let output = services.run("spatiafi batch in");
    let lines: Vec<Value> = out(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(output.status.code(), Some(2));
    assert!(lines.iter().all(|line| line["kind"] == "invalid_input"), "{lines:?}");
    assert!(lines[0]["error"].as_str().unwrap().contains("at most 16369 can be sent"), "{lines:?}");
    let sent =
        services.keyfob(["spatiafi", "get", &path(16_369), "--header", &header(16_375)]).output().unwrap();
    assert_eq!(sent.status.code(), Some(8), "{}", err(&sent));
}

#[test]
fn wait_beyond_the_deadline_exits_with_6_and_names_the_wait() {
    let services = Services::start();
    for (status, wait, seconds) in [(429, "600", 600), (503, "90.0", 90), (502, "3600", 3600)] {
        for endpoint in [Endpoint::Info, Endpoint::Token] {
            services.spatiafi.clear_faults();
            ends_well(&services.run("spatiafi token --format json"));
            services.spatiafi.fault(endpoint, Fault::status(status).with_retry_after(wait).always());
            services.spatiafi.revoke_tokens();
            let text = format!("try again in {seconds} s");
            fails(&services.keyfob(["spatiafi", "get", INFO]).output().unwrap(), 6, &text);
            services.file("in", format!("{INFO}\n"));
            let output = services.run("spatiafi batch in");
            let line: Value = serde_json::from_str(out(&output).trim()).unwrap();
            assert_eq!((output.status.code(), &line["kind"]), (Some(6), &"rate_limited".into()), "{line}");
            assert!(line["error"].as_str().unwrap().ends_with(&text), "{line}");
        }
        fails(&services.run("spatiafi token --min-valid 86400000"), 6, &format!("try again in {seconds} s"));
    }
}

#[test]
fn refused_token_is_replaced_and_the_request_is_repeated() {
    let services = Services::start();
    ends_well(&services.run("spatiafi token"));
    services.spatiafi.revoke_tokens();
    ends_well(&services.keyfob(["spatiafi", "get", INFO]).output().unwrap());
    assert_eq!(services.spatiafi.tokens_issued(), 2);
}

#[test]
fn spatiafi_login_creates_and_saves_app_credentials() {
    let services = Services::start();
    let none = ["SPATIAFI_CLIENT_ID", "SPATIAFI_CLIENT_SECRET"];
    fails(&services.without(&none, "spatiafi token").output().unwrap(), 3, "keyfob spatiafi login");
    let login = services.without(&none, "spatiafi login").output().unwrap();
    ends_well(&login);
    let path = services.path(".config/spatiafi/app_credentials.json");
    let saved = json(&fs::read_to_string(&path).unwrap());
    assert!(err(&login).contains(saved["client_id"].as_str().unwrap()));
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&path.metadata().unwrap()) & 0o777, 0o600);
    succeeds(&services.without(&none, "spatiafi token").output().unwrap());

    let before = services.requests();
    fails(&services.without(&none, "spatiafi login").output().unwrap(), 7, "--force");
    assert_eq!(services.requests(), before, "nothing was asked");
    ends_well(&services.without(&none, "spatiafi login --force").output().unwrap());
    assert_ne!(json(&fs::read_to_string(&path).unwrap()), saved);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 2, "and a backup");
}

#[test]
fn login_by_pasted_callback_can_be_renewed_and_revoked() {
    let services = Services::start();
    let login = services.log_in("--scope locations.readonly --scope plans.readonly");
    ends_well(&login);
    assert!(err(&login).contains("logged in for locations.readonly plans.readonly"), "{}", err(&login));
    assert_eq!((out(&login), services.spacebring.logins()), ("", 1));

    let token = services.run("spacebring token");
    let first = succeeds(&token).to_owned();
    assert_eq!(services.spacebring.refreshes(), 0);
    assert_ne!(succeeds(&services.run("spacebring token --min-valid 3601")), first);
    assert_eq!(services.spacebring.refreshes(), 1);
    let printed = json(succeeds(&services.run("spacebring token --format json")));
    assert_eq!(printed["scope"], "locations.readonly plans.readonly");
    assert!(printed.get("refresh_token").is_none());

    let revoked = services.run("spacebring revoke");
    ends_well(&revoked);
    fails(&services.run("spacebring token"), 3, "keyfob spacebring login");
    fails(&services.run("spacebring revoke"), 3, "keyfob spacebring login");
}

#[test]
fn login_by_listener_works() {
    let services = Services::start();
    let mut command = services.without(&[], "spacebring login --no-browser --scope locations");
    command.env("SPACEBRING_REDIRECT_URI", "http://127.0.0.1:0/callback");
    // No address will be pasted.
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let callback = services.spacebring.approve(&url_of(&mut child));
    let browser = keyfob::ureq::get(&callback).call().unwrap();
    assert_eq!(browser.status(), 200);
    let output = child.wait_with_output().unwrap();
    ends_well(&output);
    succeeds(&services.run("spacebring token"));
}

#[test]
fn denied_login_and_unfinished_login_are_errors() {
    let services = Services::start();
    let mut command = services.without(&[], "spacebring login --no-browser --scope locations");
    let mut child = piped(&mut command);
    let callback = services.spacebring.deny(&url_of(&mut child));
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), callback.as_bytes()).unwrap();
    fails(&child.wait_with_output().unwrap(), 3, "access_denied");
    command.arg("--timeout").arg("0.3").env("SPACEBRING_REDIRECT_URI", "http://127.0.0.1:0/callback");
    fails(&command.stdin(std::process::Stdio::null()).output().unwrap(), 5, "no callback");
}

#[test]
fn login_requests_all_read_scopes_by_default() {
    let services = Services::start();
    let mut child = piped(&mut services.without(&[], "spacebring login --no-browser"));
    let url = url_of(&mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(url.contains("benefits.readonly%20") && !url.contains("locations%20"), "{url}");
}

#[test]
fn without_switches_work_with_a_server_that_accepts_only_documented_parameters() {
    let services = Services::start();
    services.spacebring.set_documented_only(true);
    let mut child = piped(&mut services.without(&[], "spacebring login --no-browser --scope locations"));
    let url = url_of(&mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(services.spacebring.approve(&url).contains("error=invalid_request"));
    ends_well(&services.log_in("--scope locations --without-state --without-pkce --without-redirect-uri"));
}

#[test]
fn answer_that_names_a_missing_header_leads_to_its_variable() {
    let services = Services::start();
    ends_well(&services.log_in("--scope locations --scope resources"));
    let advice = "; the answer names a header that SPACEBRING_NETWORK_ID sets: set it\n";
    for words in ["get /locations/v1", "put /resources/v1/x", "post /contacts/v1", "delete /resources/v1/x"] {
        let mut command = services.without(&[], &format!("spacebring {words}"));
        if !words.starts_with("get") && !words.starts_with("delete") {
            command.args(["--data", "{}"]);
        }
        command.env("SPACEBRING_AUTH", "oauth2");
        let output = command.env_remove("SPACEBRING_NETWORK_ID").output().unwrap();
        assert_eq!(output.status.code(), Some(8), "{}", err(&output));
        let names = out(&output).contains("spacebring-network-id");
        assert_eq!(err(&output).ends_with(advice), names, "{words}: {}{}", out(&output), err(&output));
        assert!(names || !words.starts_with("get"), "{}", out(&output));
        // With a network the advice would be wrong, whatever the answer says.
        command.env("SPACEBRING_NETWORK_ID", "5bace000-0001-4000-8000-00000000000f");
        assert!(!err(&command.output().unwrap()).contains("SPACEBRING_NETWORK_ID"));
    }
}

#[test]
fn exec_passes_the_token_and_no_secret_to_the_command() {
    let services = Services::start();
    let output = services
        .keyfob(["spatiafi", "exec", "--", "sh", "-c", "echo \"$SPATIAFI_ACCESS_TOKEN\"; env; exit 42"])
        .output()
        .unwrap();
    assert_eq!((output.status.code(), err(&output)), (Some(42), ""));
    let token = out(&services.run("spatiafi token")).to_owned();
    assert!(out(&output).starts_with(&token), "{}", out(&output));
    for secret in
        [services.spatiafi.client_secret(), services.spatiafi.password(), services.spacebring.client_secret()]
    {
        assert!(!out(&output).contains(secret), "{}", out(&output));
    }
    let killed = services.keyfob(["spatiafi", "exec", "sh", "-c", "kill -TERM $$"]).output().unwrap();
    #[cfg(unix)]
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&killed.status), Some(15));
    fails(&services.run("spatiafi exec -- no-such-command"), 127, "could not run no-such-command");
    fails(&services.run("spatiafi exec -- /"), 126, "could not run /");
}

#[test]
fn exec_names_the_token_variable_after_the_service() {
    let services = Services::start();
    ends_well(&services.log_in("--scope locations"));
    for (service, name) in [("spatiafi", "SPATIAFI_ACCESS_TOKEN"), ("spacebring", "SPACEBRING_ACCESS_TOKEN")]
    {
        let token = services.run(&format!("{service} token"));
        let environment = services.run(&format!("{service} exec -- env"));
        let tokens: Vec<_> =
            succeeds(&environment).lines().filter(|line| line.contains("ACCESS_TOKEN")).collect();
        assert_eq!(tokens, [format!("{name}={}", succeeds(&token).trim_end())]);
    }
}

/// No server listens at the default places below the base URL.
#[test]
fn each_full_url_is_used_for_its_purpose() {
    let services = Services::start();
    let keyfob = |words: &str, [base, nowhere]: [&str; 2], urls: &[(&str, String)]| {
        let mut command = services.without(&[], words);
        command.env(base, nowhere).envs(urls.iter().map(|(name, url)| (name, url)));
        command
    };
    let base = ["SPATIAFI_AUTH_URL", "http://127.0.0.1:1"];
    let token_url = [("SPATIAFI_TOKEN_URL", services.spatiafi.token_url())];
    succeeds(&keyfob("spatiafi token", base, &token_url).output().unwrap());
    let status = keyfob("spatiafi status --format json", base, &token_url).output().unwrap();
    assert_eq!(json(succeeds(&status))["token_url"], token_url[0].1);

    let base = ["SPACEBRING_API_URL", "http://127.0.0.1:1"];
    let urls = [
        ("SPACEBRING_AUTHORIZE_URL", services.spacebring.authorize_url()),
        ("SPACEBRING_TOKEN_URL", services.spacebring.token_url()),
        ("SPACEBRING_REVOKE_URL", services.spacebring.revoke_url()),
    ];
    let login = "spacebring login --no-browser --scope locations";
    ends_well(&services.log_in_with(&mut keyfob(login, base, &urls)));
    succeeds(&keyfob("spacebring token --min-valid 3601", base, &urls).output().unwrap());
    assert_eq!((services.spacebring.logins(), services.spacebring.refreshes()), (1, 1));
    let status = keyfob("spacebring status --format json", base, &urls).output().unwrap();
    assert_eq!(json(succeeds(&status))["token_url"], urls[1].1);
    ends_well(&keyfob("spacebring revoke", base, &urls).output().unwrap());
    assert_ne!(services.spacebring.count(Endpoint::Revoke), 0);
}

#[test]
fn logout_removes_tokens_and_credentials_only_on_request() {
    let services = Services::start();
    let none = ["SPATIAFI_CLIENT_ID", "SPATIAFI_CLIENT_SECRET"];
    ends_well(&services.without(&none, "spatiafi login").output().unwrap());
    ends_well(&services.without(&none, "spatiafi token").output().unwrap());
    let file = services.path(".config/spatiafi/app_credentials.json");
    let logout = services.without(&none, "spatiafi logout").output().unwrap();
    ends_well(&logout);
    assert!(err(&logout).contains("are removed") && file.exists());
    let before = services.spatiafi.tokens_issued();
    ends_well(&services.without(&none, "spatiafi token").output().unwrap());
    assert_eq!(services.spatiafi.tokens_issued(), before + 1, "the stored one was gone");
    ends_well(&services.without(&none, "spatiafi logout --credentials").output().unwrap());
    assert!(!file.exists());
    ends_well(&services.without(&none, "spatiafi logout --credentials").output().unwrap());

    ends_well(&services.log_in("--scope locations"));
    ends_well(&services.run("spacebring logout"));
    fails(&services.run("spacebring token"), 3, "keyfob spacebring login");
    assert_eq!(services.spacebring.count(Endpoint::Revoke), 0, "nothing was revoked");
}

#[test]
fn status_shows_everything_but_secrets_and_sends_nothing() {
    let services = Services::start();
    let secret = services.file("secret", services.spatiafi.client_secret());
    let mut status = services.without(&["SPATIAFI_CLIENT_SECRET"], "spatiafi status --format json");
    status.env("SPATIAFI_CLIENT_SECRET_FILE", &secret);
    let before = json(succeeds(&status.output().unwrap()));
    assert_eq!((&before["token"], services.requests()), (&Value::Null, 0));
    ends_well(&services.run("spatiafi token"));
    let output = status.output().unwrap();
    let after = json(succeeds(&output));
    assert_eq!(after["client_id"], services.spatiafi.client_id());
    assert_eq!(after["secrets"][0]["from"], "SPATIAFI_CLIENT_SECRET_FILE");
    assert_eq!(after["secrets"][0]["file"]["path"], secret.to_str().unwrap());
    assert_eq!((&after["token"]["valid"], &after["clock_offset"]), (&true.into(), &0.into()));
    assert!((880..=900).contains(&after["token"]["expires_in"].as_u64().unwrap()));
    #[cfg(unix)]
    for (place, mode) in [("store", "0700"), ("record", "0600")] {
        assert_eq!(after[place]["mode"], mode);
    }
    let text = services.run("spatiafi status");
    assert!(succeeds(&text).contains("from SPATIAFI_CLIENT_SECRET\n"), "{}", out(&text));
    assert!(out(&text).contains("valid for "), "{}", out(&text));
    for output in [&output, &text] {
        assert!(!out(output).contains(services.spatiafi.client_secret()));
    }

    ends_well(&services.log_in("--scope locations"));
    let partner = json(succeeds(&services.run("spacebring status --format json")));
    assert_eq!(partner["token"]["refresh_token"], true);
    assert_eq!(partner["requests_signed_with"], "basic");
    // Without any variable, `status` prints something too.
    let empty = bare(services.home.path()).args(["spacebring", "status"]).output().unwrap();
    assert!(succeeds(&empty).contains("not set"));
}

#[test]
fn status_shows_the_clock_offset() {
    let services = Services::start();
    services.spatiafi.clock().advance(Duration::from_secs(7200));
    ends_well(&services.run("spatiafi token"));
    let status = json(succeeds(&services.run("spatiafi status --format json")));
    let offset = status["clock_offset"].as_i64().unwrap();
    assert!((7190..=7210).contains(&offset), "{status}");
    let printed = json(succeeds(&services.run("spatiafi token --format json")));
    assert!((880..=900).contains(&printed["expires_in"].as_u64().unwrap()), "{printed}");
}

#[test]
fn completions_exist_for_every_shell() {
    let home = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = bare(home.path()).args(["completions", shell]).output().unwrap();
        assert!(succeeds(&output).contains("spacebring"), "{shell}");
    }
    fails(&bare(home.path()).args(["completions", "bsh"]).output().unwrap(), 2, "bash");
}

#[test]
fn every_command_has_help_with_examples() {
    let home = tempfile::tempdir().unwrap();
    let actions = "token get post put patch delete batch exec logout status login";
    let spatiafi = actions.split(' ').map(|action| format!("spatiafi {action}"));
    let spacebring = actions.split(' ').map(|action| format!("spacebring {action}"));
    let others = ["spacebring revoke", "completions", ""].map(str::to_owned);
    for command in spatiafi.chain(spacebring).chain(others) {
        let output = bare(home.path()).args(command.split_whitespace()).arg("--help").output().unwrap();
        let help = succeeds(&output);
        assert!(help.contains("Examples:\n  ") || help.contains("Examples:\n"), "{command}: {help}");
        assert!(help.contains("keyfob ") && !help.contains('\u{1b}'), "{command}: {help}");
        assert_eq!(help.matches("/api/info").count(), help.matches("/api/info?item_id=").count(), "{help}");
    }
}

#[test]
fn messages_go_to_standard_error() {
    let services = Services::start();
    for (number, words) in ["-v", "-vv"].iter().enumerate() {
        let output = services.run(&format!("spatiafi token --profile {number} {words}"));
        ends_well(&output);
        assert_eq!(out(&output).lines().count(), 1);
        let report = err(&output);
        assert!(report.contains("SPATIAFI_CLIENT_SECRET comes from"), "{report}");
        assert_eq!(report.contains("Z ureq: "), number == 1, "{report}");
        assert!(!report.contains(out(&output).trim()) && !report.contains('\u{1b}'), "{report}");
    }
    // A server repeats secrets in a field that ureq shows.
    let token = services.run("spatiafi token");
    for secret in [out(&token).trim(), services.spatiafi.client_secret()] {
        let repeated = Fault::raw(200, &format!("text/{secret}"), "x").times(1);
        services.spatiafi.fault(Endpoint::Info, repeated);
        let output = services.run(&format!("spatiafi get {INFO} -vv"));
        assert_eq!(out(&output), "x");
        assert!(!err(&output).contains(&secret[..12]), "{}", err(&output));
        assert!(err(&output).contains("ureq: a record is withheld, because it repeats a secret"));
    }
}

/// Returns the lines of `-v` that begin with a method, without the program's name. Times and durations are `#`.
fn attempts(report: &str) -> Vec<String> {
    let lines = report.lines().filter_map(|line| line.strip_prefix("keyfob: ")?.split_once(' '));
    let attempts = lines.filter(|(_, line)| line.starts_with("GET ") || line.starts_with("POST "));
    let without_times = |(time, line): (&str, &str)| {
        assert!(time.len() == 13 && time.ends_with('Z') && time.matches(':').count() == 2, "{time}");
        let words: Vec<_> = line.split(' ').collect();
        let is_number = |at: usize| {
            at > 0 && ["in", "after"].contains(&words[at - 1]) && words[at].parse::<u64>().is_ok()
        };
        (0..words.len()).map(|at| if is_number(at) { "#" } else { words[at] }).collect::<Vec<_>>().join(" ")
    };
    attempts.map(without_times).collect()
}

#[test]
fn each_attempt_has_a_line() {
    let services = Services::start();
    let busy = || Fault::status(503).times(1);
    services.spatiafi.fault(Endpoint::Token, busy());
    services.spatiafi.fault(Endpoint::Info, busy());
    let (auth, api) = (services.spatiafi.auth_url(), services.spatiafi.api_url());
    let output = services.keyfob(["spatiafi", "get", INFO, "-v"]).output().unwrap();
    ends_well(&output);
    assert_eq!(
        attempts(err(&output)),
        [
            format!("POST {auth}/api/v1/auth/jwt/token: HTTP 503 in # ms"),
            format!("POST {auth}/api/v1/auth/jwt/token: HTTP 200 in # ms, try 2 of 3 after HTTP 503"),
            format!("GET {api}/api/info: HTTP 503 in # ms, token from a new exchange"),
            format!("GET {api}/api/info: HTTP 200 in # ms, token from memory, try 2 of 3 after HTTP 503"),
        ],
        "{}",
        err(&output)
    );
    let lines = services.file("lines", format!("{INFO}\n{INFO}\n"));
    let output = services.keyfob(["spatiafi", "batch", "-v", "--jobs", "1"]).arg(lines).output().unwrap();
    let line = |place: &str| format!("GET {api}/api/info: HTTP 200 in # ms, token from {place}");
    assert_eq!(attempts(err(&output)), [line("memory"), line("memory")], "{}", err(&output));
    let output = services.keyfob(["spatiafi", "get", INFO, "-vv"]).output().unwrap();
    assert_eq!(attempts(err(&output)), [line("the store")], "{}", err(&output));
    // No attempt shows the query, an unreachable server is named, and so is the reason.
    let mut command = services.without(&[], "spatiafi get /x?token=hidden -vv");
    let output = command.env("SPATIAFI_API_URL", "http://127.0.0.1:1").output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert!(!err(&output).contains("hidden"), "{}", err(&output));
    let refused = "GET http://127.0.0.1:1/x: failed after # ms: the connection was refused";
    let again = ", try 3 of 3 after the connection was refused";
    let attempts = attempts(err(&output));
    assert_eq!(attempts[0], format!("{refused}, token from the store"));
    assert_eq!(attempts[2..], [format!("{refused}, token from memory{again}")]);
}

#[test]
fn sandboxes_do_not_share_a_port() {
    // The pasted callback is taken although another login has the port of the redirect URI.
    let services = Services::start();
    let _taken = std::net::TcpListener::bind("127.0.0.1:8765");
    ends_well(&services.log_in("--scope locations"));
    let _: &SpacebringSandbox = &services.spacebring;
}

/// Returns the one file of the store whose name ends in this way.
fn in_store(services: &Services, end: &str) -> Option<std::path::PathBuf> {
    let entries = fs::read_dir(services.path(".local/state/keyfob")).unwrap();
    entries.map(|entry| entry.unwrap().path()).find(|path| path.to_str().unwrap().ends_with(end))
}

#[test]
fn quarantined_record_is_reported_and_removed() {
    let services = Services::start();
    ends_well(&services.log_in("--scope locations"));
    let record = in_store(&services, ".json").unwrap();
    let whole = fs::read_to_string(&record).unwrap();
    fs::write(&record, &whole[..whole.len() - 5]).unwrap();
    let aside = format!("{}.unreadable", record.display());
    for words in ["spacebring token", "spacebring revoke"] {
        fails(&services.run(words), 3, &format!("quarantined as {aside}: run `keyfob spacebring login`"));
    }
    let status = services.run("spacebring status --format json");
    assert_eq!(status.status.code(), Some(7), "{}", err(&status));
    let problem = json(out(&status))["problems"][0].as_str().unwrap().to_owned();
    assert!(problem.contains(&aside) && err(&status).contains(&problem), "{problem}");
    // After a new login the file does no harm, but still exists.
    ends_well(&services.log_in("--scope locations"));
    let status = services.run("spacebring status");
    assert!(succeeds(&status).contains(&aside), "{}", out(&status));
    ends_well(&services.run("spacebring logout"));
    assert_eq!((in_store(&services, ".json"), in_store(&services, ".unreadable")), (None, None));

    // The file alone is removed too.
    fs::write(&record, "{").unwrap();
    assert_eq!(services.run("spacebring token").status.code(), Some(3));
    assert!(in_store(&services, ".unreadable").is_some());
    let logout = services.run("spacebring logout");
    assert!(err(&logout).contains("are removed"), "{}", err(&logout));
    assert_eq!(in_store(&services, ".unreadable"), None);

    // A process that was killed while it saved has left this.
    let temporary = record.with_extension("json.tmp");
    fs::write(&temporary, "{").unwrap();
    let logout = services.run("spacebring logout");
    assert!(err(&logout).contains("are removed") && !temporary.exists(), "{}", err(&logout));
}

#[test]
fn revoke_removes_quarantined_records() {
    let services = Services::start();
    ends_well(&services.log_in("--scope locations"));
    let record = in_store(&services, ".json").unwrap();
    fs::copy(&record, format!("{}.unreadable", record.display())).unwrap();
    ends_well(&services.run("spacebring revoke"));
    assert_eq!(in_store(&services, ".unreadable"), None);
}

#[test]
fn logout_reports_a_folder_that_it_cannot_read() {
    let services = Services::start();
    services.file("file", "");
    fails(&services.run("spatiafi logout --store file"), 7, "could not");
}

#[test]
fn broken_app_credentials_can_be_removed() {
    let services = Services::start();
    let none = ["SPATIAFI_CLIENT_ID", "SPATIAFI_CLIENT_SECRET"];
    fs::create_dir_all(services.path(".config/spatiafi")).unwrap();
    let file = services.file(".config/spatiafi/app_credentials.json", "{}");
    let logout = services.without(&none, "spatiafi logout --credentials").output().unwrap();
    fails(&logout, 7, "app_credentials.json is removed");
    assert!(err(&logout).contains("tokens") && !file.exists(), "{}", err(&logout));
    ends_well(&services.without(&none, "spatiafi logout --credentials").output().unwrap());
}

#[test]
fn status_names_incomplete_credentials() {
    let services = Services::start();
    for (service, unset, status, says) in [
        ("spatiafi", "SPATIAFI_CLIENT_SECRET", 2, "SPATIAFI_CLIENT_SECRET is not"),
        ("spatiafi", "SPATIAFI_CLIENT_ID", 2, "SPATIAFI_CLIENT_ID is not"),
        ("spacebring", "SPACEBRING_CLIENT_SECRET", 3, "SPACEBRING_CLIENT_SECRET is not set"),
        ("spacebring", "SPACEBRING_CLIENT_ID", 3, "SPACEBRING_CLIENT_ID is not set"),
    ] {
        let output = services.without(&[unset], &format!("{service} status --format json")).output().unwrap();
        let problem = json(out(&output))["problems"][0].as_str().unwrap_or_default().to_owned();
        assert!(problem.contains(says), "{unset}: {problem}");
        assert_eq!(output.status.code(), Some(status));
    }
}

#[test]
fn help_describes_every_command() {
    let home = tempfile::tempdir().unwrap();
    for (words, says) in [
        ("spatiafi", "SpatiaFi: geospatial climate data\n"),
        ("spacebring", "Spacebring: coworking spaces\n"),
        ("spatiafi exec", " exec [OPTIONS] -- <CMD>..."),
        ("spatiafi batch", "count as done"),
        ("spatiafi batch", "The other lines are sent"),
        ("spatiafi token", "A new token is accepted in any case"),
        (
            "",
            "OAuth 2.0 access tokens and authenticated requests for SpatiaFi, Spacebring and any other service",
        ),
    ] {
        for help in ["--help", "-h"] {
            let output = bare(home.path()).args(words.split_whitespace()).arg(help).output().unwrap();
            assert!(succeeds(&output).contains(says), "{words}: {}", out(&output));
        }
    }
}

const FROM_FILE: [&str; 2] = ["SPATIAFI_CLIENT_ID", "SPATIAFI_CLIENT_SECRET"];

#[test]
fn other_copies_of_app_credentials_are_named() {
    let services = Services::start();
    for words in ["spatiafi login", "spatiafi login --force", "spatiafi login --force"] {
        ends_well(&services.without(&FROM_FILE, words).output().unwrap());
    }
    let file = services.path(".config/spatiafi/app_credentials.json");
    services.file(".config/spatiafi/app_credentials.json.unsaved-1", "{}");
    // A killed process has left this.
    services.file(".config/spatiafi/.app_credentials.json.0123456789abcdef.tmp", "{}");
    services.file(".config/spatiafi/app_credentials.json.example", "{}");
    let entries = fs::read_dir(file.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    let mut copies: Vec<_> = entries.map(|path| path.to_str().unwrap().to_owned()).collect();
    copies.retain(|path| {
        path.contains(".json.backup-") || [".unsaved-1", ".tmp"].iter().any(|end| path.ends_with(end))
    });
    copies.sort();
    assert_eq!(copies.len(), 4);

    let status = services.without(&FROM_FILE, "spatiafi status --format json").output().unwrap();
    let status = json(succeeds(&status));
    let shown: Vec<_> = status["credentials_copies"].as_array().unwrap().iter().collect();
    assert!(shown.iter().map(|place| place["path"].as_str().unwrap()).eq(copies.iter()), "{status}");
    #[cfg(unix)]
    assert!(shown.iter().all(|place| place["mode"] == "0600"), "{status}");
    let text = services.without(&FROM_FILE, "spatiafi status").output().unwrap();
    assert!(copies.iter().all(|path| succeeds(&text).contains(&format!("credentials copy   {path}"))));

    let tokens_only = services.without(&FROM_FILE, "spatiafi logout").output().unwrap();
    assert!(!err(&tokens_only).contains("still there"), "{}", err(&tokens_only));
    // Answers that a login could not use are removed; credentials that it replaced are the person's own.
    let unsaved = copies.iter().position(|path| path.ends_with(".unsaved-1")).unwrap();
    let unsaved = copies.remove(unsaved);
    // Once more, when no other file is left.
    for turn in 0..2 {
        let logout = services.without(&FROM_FILE, "spatiafi logout --credentials").output().unwrap();
        ends_well(&logout);
        assert_eq!(err(&logout).contains(&format!("{unsaved} is removed")), turn == 0, "{}", err(&logout));
        let said: Vec<_> = err(&logout).lines().filter(|line| line.contains(" is still there: ")).collect();
        assert_eq!(said.len(), copies.len(), "{}", err(&logout));
        assert!(copies.iter().all(|path| said.iter().any(|line| line.contains(path))), "{said:?}");
    }
    assert!(!file.exists() && copies.iter().all(|path| fs::exists(path).unwrap()));
    assert!(!fs::exists(&unsaved).unwrap());
}

/// Answers that cannot be used, although the server does not give them again.
fn useless_answers() -> [(u16, Vec<u8>); 5] {
    [
        (200, b"<html>once-given</html>".to_vec()),
        (200, br#"{"client_id":"once-given","client_secret":"once"#.to_vec()),
        (201, b"\x1f\x8b\x08 once-given".to_vec()),
        (200, b"{\"client_id\":\"\xe9\",\"client_secret\":\"once-given\"}".to_vec()),
        (200, br#"{"access_token":"once-given","token_type":"mac"}"#.to_vec()),
    ]
}

/// The file that an error names.
#[track_caller]
fn kept_in(output: &std::process::Output) -> std::path::PathBuf {
    let (_, path) = err(output)
        .split_once("the received answer is kept in ")
        .unwrap_or_else(|| panic!("{}", err(output)));
    path.trim_end().into()
}

#[cfg(unix)]
#[track_caller]
fn is_private(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
}

#[test]
#[cfg(unix)]
fn app_credentials_that_cannot_be_read_are_kept_and_named() {
    let services = Services::start();
    let mut kept = Vec::new();
    for (status, body) in useless_answers() {
        services.spatiafi.fault(Endpoint::Clients, Fault::raw(status, "text/plain", body.clone()));
        let login = services.without(&FROM_FILE, "spatiafi login").output().unwrap();
        assert!(!err(&login).contains("once-given"), "{}", err(&login));
        fails(&login, 4, "could not make app credentials at ");
        let path = kept_in(&login);
        assert_eq!(fs::read(&path).unwrap(), body);
        is_private(&path);
        kept.push(path);
    }
    kept.sort();
    let status = services.without(&FROM_FILE, "spatiafi status --format json").output().unwrap();
    let listed = json(succeeds(&status))["credentials_copies"].clone();
    let listed: Vec<_> =
        listed.as_array().unwrap().iter().map(|place| place["path"].as_str().unwrap()).collect();
    assert_eq!(listed, kept.iter().map(|path| path.to_str().unwrap()).collect::<Vec<_>>());
    ends_well(&services.without(&FROM_FILE, "spatiafi logout --credentials").output().unwrap());
    assert!(kept.iter().all(|path| !path.exists()));
}

#[test]
#[cfg(unix)]
fn tokens_that_cannot_be_used_are_kept_and_named() {
    let services = Services::start();
    ends_well(&services.log_in("--scope locations"));
    let mut as_partner = services.without(&[], "spacebring token --min-valid 100000");
    as_partner.env("SPACEBRING_AUTH", "oauth2");
    let mut kept = Vec::new();
    for (turn, (status, body)) in useless_answers().into_iter().enumerate() {
        services.spacebring.fault(Endpoint::Token, Fault::raw(status, "text/plain", body.clone()));
        // The answer to a code, or to a refresh token.
        let (output, doing) = match turn % 2 {
            0 => (
                services.log_in("--scope locations"),
                "could not exchange the code of the login for a token at ",
            ),
            _ => (as_partner.output().unwrap(), "could not renew the access token at "),
        };
        assert!(!err(&output).contains("once-given"), "{}", err(&output));
        assert_eq!((output.status.code(), out(&output)), (Some(4), ""), "{}", err(&output));
        assert!(err(&output).contains(doing), "{}", err(&output));
        let path = kept_in(&output);
        assert_eq!(fs::read(&path).unwrap(), body);
        is_private(&path);
        kept.push(path);
    }
    kept.sort();
    let status = json(succeeds(&services.run("spacebring status --format json")));
    let listed: Vec<_> =
        status["unsaved"].as_array().unwrap().iter().map(|place| place["path"].as_str().unwrap()).collect();
    assert_eq!(listed, kept.iter().map(|path| path.to_str().unwrap()).collect::<Vec<_>>());
    let text = services.run("spacebring status");
    for path in &kept {
        let line = format!("kept, unsaved      {}, mode 0600\n", path.display());
        assert!(succeeds(&text).contains(&line), "{}", out(&text));
    }
    ends_well(&services.run("spacebring logout"));
    assert!(kept.iter().all(|path| !path.exists()));
    // Also where no other file exists.
    fs::write(&kept[0], "").unwrap();
    ends_well(&services.run("spacebring logout"));
    assert!(!kept[0].exists());
}

#[test]
fn logout_with_credentials_removes_their_tokens() {
    let services = Services::start();
    ends_well(&services.without(&FROM_FILE, "spatiafi login").output().unwrap());
    ends_well(&services.without(&FROM_FILE, "spatiafi token").output().unwrap());
    ends_well(&services.run("spatiafi logout"));
    assert!(in_store(&services, ".json").is_some(), "those of the client in the environment go alone");
    let file = services.path(".config/spatiafi/app_credentials.json");
    let id = json(&fs::read_to_string(&file).unwrap())["client_id"].as_str().unwrap().to_owned();
    let logout = services.run("spatiafi logout --credentials");
    ends_well(&logout);
    assert!(err(&logout).contains(&format!("the stored tokens of {id} are removed")), "{}", err(&logout));
    assert_eq!(in_store(&services, ".json"), None);
    assert!(!file.exists());
}

#[test]
#[cfg(unix)]
fn status_names_secrets_that_cannot_be_read() {
    let services = Services::start();
    let secret = services.file("secret", services.spatiafi.client_secret());
    for (variable, value, exit, says) in [
        ("SPATIAFI_CLIENT_SECRET_FILE", "nowhere", 7, "names: no such file"),
        ("SPATIAFI_CLIENT_SECRET_FILE", ".", 7, "(.): is a directory"),
        ("SPATIAFI_CLIENT_SECRET_FD", "77", 2, "77"),
        ("SPATIAFI_CLIENT_SECRET_FD", "three", 2, "FD"),
    ] {
        for words in ["spatiafi status --format json", "spatiafi token"] {
            let mut command = services.without(&["SPATIAFI_CLIENT_SECRET"], words);
            let output = command.env(variable, value).output().unwrap();
            assert_eq!(output.status.code(), Some(exit), "{words} {value}: {}", err(&output));
            assert!(err(&output).contains(variable) && err(&output).contains(says), "{}", err(&output));
            if words.contains("status") {
                let problem = json(out(&output))["problems"][0].as_str().unwrap_or_default().to_owned();
                assert!(problem.contains(says), "{value}: {problem}");
            }
        }
    }
    // `status` reads neither an open descriptor nor a pipe without a writer.
    let status = format!("SPATIAFI_CLIENT_SECRET_FD=3 keyfob spatiafi status 3<{}", secret.display());
    let by_fd = services.shell(&format!("unset SPATIAFI_CLIENT_SECRET; {status}"));
    assert!(succeeds(&by_fd).contains("SPATIAFI_CLIENT_SECRET_FD"), "{}", out(&by_fd));
    let status = "mkfifo pipe; SPATIAFI_CLIENT_SECRET_FILE=pipe keyfob spatiafi status";
    succeeds(&services.shell(&format!("unset SPATIAFI_CLIENT_SECRET; {status}")));
}

#[test]
fn status_shows_an_unknown_clock_until_a_server_has_answered() {
    let services = Services::start();
    let before = services.run("spatiafi status --format json");
    assert_eq!(json(succeeds(&before))["clock_offset"], Value::Null);
    assert!(succeeds(&services.run("spatiafi status")).contains("\nclock              unknown"));
    ends_well(&services.run("spatiafi token"));
    assert_eq!(json(succeeds(&services.run("spatiafi status --format json")))["clock_offset"], 0);
    assert!(succeeds(&services.run("spatiafi status")).contains("agrees with the server's"));
}

#[test]
#[cfg(unix)]
fn examples_in_help_work_at_the_api() {
    let services = Services::start();
    let first = |path: &str, list: &str| {
        let all = json(succeeds(&services.run(&format!("spacebring get {path}"))));
        all[list][0]["id"].as_str().unwrap().to_owned()
    };
    let location = first("/locations/v1", "locations");
    let resource = first(&format!("/resources/v1?locationRef={location}"), "resources");
    let plan = first("/plans/v1", "plans");
    let visitor = r#"{"name":"Me","email":"me@example.com"}"#;
    services
        .file("contact.json", format!(r#"{{"contact":{{"visitor":{visitor},"locationRef":"{location}"}}}}"#));
    services.file("plan.json", r#"{"plan":{"title":"Desk"}}"#);
    services.file("visit.json", r#"{"visit":{"date":"2030-01-01T10:00:00Z"}}"#);
    for action in ["get", "post", "put", "patch", "delete"] {
        let help = services.run(&format!("spacebring {action} --help"));
        let (_, examples) = succeeds(&help).split_once("Examples:\n").unwrap();
        for example in examples.replace("|\n", "|").lines() {
            let line = example.split(" | jq").next().unwrap();
            let line = line.replace(r#""locationRef":"ID""#, &format!(r#""locationRef":"{location}""#));
            let line = line.replace("/resources/v1/ID", &format!("/resources/v1/{resource}"));
            let output = services.shell(&line.replace("/plans/v1/ID", &format!("/plans/v1/{plan}")));
            // Paths of the API that the sandbox does not have.
            let unknown = ["/support/tickets/", "/visitors/visits/"].iter().any(|path| line.contains(path));
            assert_eq!(output.status.code(), Some(if unknown { 8 } else { 0 }), "{line}: {}", out(&output));
            assert!(!unknown || err(&output).contains("HTTP 404"), "{line}: {}", err(&output));
        }
    }
}

#[test]
fn status_shows_a_token_that_expires_beyond_all_dates() {
    let services = Services::start();
    services.spatiafi.set_token_lifetime(Duration::from_secs(300_000_000_000));
    ends_well(&services.run("spatiafi token"));
    let status = services.run("spatiafi status");
    assert!(succeeds(&status).contains("stored, of unknown lifetime"), "{}", out(&status));
}

#[test]
fn status_shows_no_secret_from_a_wrong_variable() {
    const SECRET: &str = "s3cr3t-in-the-wrong-place";
    let services = Services::start();
    for (name, value) in [
        ("SPATIAFI_TOKEN_URL", format!("https://me:{SECRET}@auth.example/token")),
        ("SPATIAFI_API_URL", format!("https://{SECRET}@api.example")),
        ("SPATIAFI_API_URL", format!("//{SECRET}@api.example?{SECRET}#{SECRET}")),
        ("SPATIAFI_API_URL", format!("me:{SECRET}@api.example")),
        ("SPATIAFI_API_URL", format!("me:{SECRET}@api.example//api")),
        ("SPATIAFI_API_URL", format!("https://me:{SECRET}?@api.example")),
        ("SPATIAFI_CLIENT_SECRET_FD", SECRET.to_owned()),
    ] {
        for words in ["spatiafi status", "spatiafi status --format json", "spatiafi token -v"] {
            let output =
                services.without(&["SPATIAFI_CLIENT_SECRET"], words).env(name, &value).output().unwrap();
            assert!(!out(&output).contains(SECRET), "{name} {words}: {}", out(&output));
            assert!(!err(&output).contains(SECRET), "{name} {words}: {}", err(&output));
            assert!(
                !words.ends_with("status") || out(&output).contains("service"),
                "{name}: {}",
                err(&output)
            );
        }
    }
}

#[test]
fn closed_output_does_not_change_the_exit_status() {
    let services = Services::start();
    for (path, status) in [("/networks/v1", 0), ("/nowhere", 8)] {
        let mut command = services.keyfob(["spacebring", "get", path]);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command.stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{path}: {}", err(&output));
    }
}

/// Another program that shares the pipe, such as Node or ssh, has made it non-blocking.
#[test]
#[cfg(unix)]
fn answer_is_written_whole_to_a_non_blocking_output() {
    use std::io::Read as _;

    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    let services = Services::start();
    services.spatiafi.fault(Endpoint::Info, Fault::raw(200, "text/plain", vec![b'x'; 1 << 20]));
    let (mut reader, writer) = std::io::pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let mut command = services.keyfob(["spatiafi", "get", INFO]);
    let mut child = command.stdout(writer).stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(command);
    std::thread::sleep(Duration::from_millis(300));
    let mut came = Vec::new();
    reader.read_to_end(&mut came).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(came.len(), 1 << 20);
}
