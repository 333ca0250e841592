//! Every command of the table, against both sandboxes.
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
fn a_token_is_printed_and_kept_for_the_next_run() {
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

/// Early renewal, at a fifth of these lifetimes, comes too late to decide.
#[test]
fn a_stored_token_lives_for_a_minute_unless_told() {
    let services = Services::start();
    for (lifetime, more, kept) in [(55, "", false), (55, "--min-valid 10", true), (90, "", true)] {
        services.spatiafi.set_token_lifetime(Duration::from_secs(lifetime));
        let words = format!("spatiafi token --profile {lifetime}{kept} {more}");
        let [first, second] = [(); 2].map(|()| succeeds(&services.run(&words)).to_owned());
        assert_eq!(first == second, kept, "{lifetime} s {more}");
    }
}

#[test]
fn options_go_before_the_environment() {
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
fn tls_by_option_and_by_environment() {
    let services = Services::start_tls();
    ends_well(&services.run("spatiafi token"));
    let ca = services.file("ca.pem", services.spatiafi.ca_pem().unwrap());
    let mut command = services.without(&["KEYFOB_CA_FILE"], "spatiafi token --profile other");
    fails(&command.output().unwrap(), 5, "certificate");
    ends_well(&command.arg("--ca-file").arg(ca).output().unwrap());
}

#[test]
fn requests_are_signed_and_their_bodies_printed() {
    let services = Services::start();
    let output = services.keyfob(["spatiafi", "get", INFO]).output().unwrap();
    assert!(json(succeeds(&output))["bands"].is_array());
    let url = format!("{}{INFO}", services.spatiafi.api_url());
    assert_eq!(out(&services.keyfob(["spatiafi", "get", &url]).output().unwrap()), out(&output));

    // Customers of Spacebring by default, partners if told.
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
fn the_body_of_a_refusal_is_printed_too() {
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
fn a_refused_token_is_replaced_and_the_request_repeated() {
    let services = Services::start();
    ends_well(&services.run("spatiafi token"));
    services.spatiafi.revoke_tokens();
    ends_well(&services.keyfob(["spatiafi", "get", INFO]).output().unwrap());
    assert_eq!(services.spatiafi.tokens_issued(), 2);
}

#[test]
fn spatiafi_login_makes_and_saves_app_credentials() {
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
fn a_login_by_the_pasted_callback_then_renewed_and_revoked() {
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
fn a_login_by_the_listener() {
    let services = Services::start();
    let mut command = services.without(&[], "spacebring login --no-browser --scope locations");
    command.env("SPACEBRING_REDIRECT_URI", "http://127.0.0.1:0/callback");
    let mut child = piped(&mut command);
    // Nothing will be pasted.
    drop(child.stdin.take());
    let callback = services.spacebring.approve(&url_of(&mut child));
    let browser = keyfob::ureq::get(&callback).call().unwrap();
    assert_eq!(browser.status(), 200);
    let output = child.wait_with_output().unwrap();
    ends_well(&output);
    succeeds(&services.run("spacebring token"));
}

#[test]
fn a_login_that_is_denied_or_never_ends() {
    let services = Services::start();
    let mut command = services.without(&[], "spacebring login --no-browser --scope locations");
    let mut child = piped(&mut command);
    let callback = services.spacebring.deny(&url_of(&mut child));
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), callback.as_bytes()).unwrap();
    fails(&child.wait_with_output().unwrap(), 4, "access_denied");
    command.arg("--timeout").arg("0.3").env("SPACEBRING_REDIRECT_URI", "http://127.0.0.1:0/callback");
    fails(&command.stdin(std::process::Stdio::null()).output().unwrap(), 5, "no callback");
}

#[test]
fn a_login_asks_to_read_everything_by_default() {
    let services = Services::start();
    let mut child = piped(&mut services.without(&[], "spacebring login --no-browser"));
    let url = url_of(&mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(url.contains("benefits.readonly%20") && !url.contains("locations%20"), "{url}");
}

#[test]
fn switches_for_a_server_that_takes_only_what_is_documented() {
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
fn a_command_runs_with_the_token_and_without_the_secrets() {
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
fn the_token_of_a_command_is_named_after_its_service() {
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

/// Nobody is where they would be by default, below the base URL.
#[test]
fn each_full_url_is_used_for_what_it_is_for() {
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
fn logout_removes_tokens_and_credentials_only_when_told() {
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
    // Without anything set there is something to say, too.
    let empty = bare(services.home.path()).args(["spacebring", "status"]).output().unwrap();
    assert!(succeeds(&empty).contains("not set"));
}

#[test]
fn the_clock_offset_is_shown() {
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
fn completions_for_every_shell() {
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
fn narration_goes_to_standard_error() {
    let services = Services::start();
    let output = services.run("spatiafi token -v");
    ends_well(&output);
    assert_eq!(out(&output).lines().count(), 1);
    let told = err(&output);
    assert!(told.contains("SPATIAFI_CLIENT_SECRET comes from") && told.contains("ureq"), "{told}");
    assert!(!told.contains(out(&output).trim()) && !told.contains('\u{1b}'), "{told}");
}

#[test]
fn the_sandboxes_do_not_share_a_port() {
    // The pasted callback is taken although another login has the port of the redirect URI.
    let services = Services::start();
    let _taken = std::net::TcpListener::bind("127.0.0.1:8765");
    ends_well(&services.log_in("--scope locations"));
    let _: &SpacebringSandbox = &services.spacebring;
}

/// The one file of the store whose name ends so.
fn in_store(services: &Services, end: &str) -> Option<std::path::PathBuf> {
    let entries = fs::read_dir(services.path(".local/state/keyfob")).unwrap();
    entries.map(|entry| entry.unwrap().path()).find(|path| path.to_str().unwrap().ends_with(end))
}

#[test]
fn a_record_that_was_put_aside_is_told_of_and_removed() {
    let services = Services::start();
    ends_well(&services.log_in("--scope locations"));
    let record = in_store(&services, ".json").unwrap();
    let whole = fs::read_to_string(&record).unwrap();
    fs::write(&record, &whole[..whole.len() - 5]).unwrap();
    let aside = format!("{}.unreadable", record.display());
    for words in ["spacebring token", "spacebring revoke"] {
        fails(&services.run(words), 3, &format!("put aside as {aside}: run `keyfob spacebring login`"));
    }
    let status = services.run("spacebring status --format json");
    assert_eq!(status.status.code(), Some(7), "{}", err(&status));
    let problem = json(out(&status))["problems"][0].as_str().unwrap().to_owned();
    assert!(problem.contains(&aside) && err(&status).contains(&problem), "{problem}");
    // With a new login it is no trouble any more, but still there.
    ends_well(&services.log_in("--scope locations"));
    let status = services.run("spacebring status");
    assert!(succeeds(&status).contains(&aside), "{}", out(&status));
    ends_well(&services.run("spacebring logout"));
    assert_eq!((in_store(&services, ".json"), in_store(&services, ".unreadable")), (None, None));

    // Alone, too.
    fs::write(&record, "{").unwrap();
    assert_eq!(services.run("spacebring token").status.code(), Some(3));
    assert!(in_store(&services, ".unreadable").is_some());
    let logout = services.run("spacebring logout");
    assert!(err(&logout).contains("are removed"), "{}", err(&logout));
    assert_eq!(in_store(&services, ".unreadable"), None);

    // Of a process that was killed while it saved.
    let temporary = record.with_extension("json.tmp");
    fs::write(&temporary, "{").unwrap();
    let logout = services.run("spacebring logout");
    assert!(err(&logout).contains("are removed") && !temporary.exists(), "{}", err(&logout));
}

#[test]
fn revoke_removes_what_was_put_aside() {
    let services = Services::start();
    ends_well(&services.log_in("--scope locations"));
    let record = in_store(&services, ".json").unwrap();
    fs::copy(&record, format!("{}.unreadable", record.display())).unwrap();
    ends_well(&services.run("spacebring revoke"));
    assert_eq!(in_store(&services, ".unreadable"), None);
}

#[test]
fn logout_says_when_it_cannot_look() {
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
fn status_names_half_of_credentials() {
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
fn help_says_what_a_command_is() {
    let home = tempfile::tempdir().unwrap();
    for (words, says) in [
        ("spatiafi", "SpatiaFi: geospatial climate data\n"),
        ("spacebring", "Spacebring: coworking spaces\n"),
        ("spatiafi exec", " exec [OPTIONS] -- <CMD>..."),
        ("spatiafi batch", "count as done"),
        ("spatiafi batch", "The other lines are sent"),
        ("spatiafi token", "one that was just got is taken as it is"),
        ("", "OAuth 2.0 access tokens and signed requests for SpatiaFi and Spacebring"),
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
    // Of a process that was killed.
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
    // Once more, when nothing else is left.
    for _ in 0..2 {
        let logout = services.without(&FROM_FILE, "spatiafi logout --credentials").output().unwrap();
        ends_well(&logout);
        let said: Vec<_> = err(&logout).lines().filter(|line| line.contains(" is still there: ")).collect();
        assert_eq!(said.len(), copies.len(), "{}", err(&logout));
        assert!(copies.iter().all(|path| said.iter().any(|line| line.contains(path))), "{said:?}");
    }
    assert!(!file.exists() && copies.iter().all(|path| fs::exists(path).unwrap()));
}

#[test]
fn with_the_credentials_go_their_own_tokens() {
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
        ("SPATIAFI_CLIENT_SECRET_FILE", "nowhere", 7, "(nowhere): no such file"),
        ("SPATIAFI_CLIENT_SECRET_FILE", ".", 7, "(.): is a directory"),
        ("SPATIAFI_CLIENT_SECRET_FD", "77", 2, "77"),
        ("SPATIAFI_CLIENT_SECRET_FD", "three", 2, "no descriptor's number"),
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
    // What can be read is left unread: an open descriptor, and a pipe that nobody writes to.
    let status = format!("SPATIAFI_CLIENT_SECRET_FD=3 keyfob spatiafi status 3<{}", secret.display());
    let by_fd = services.shell(&format!("unset SPATIAFI_CLIENT_SECRET; {status}"));
    assert!(succeeds(&by_fd).contains("SPATIAFI_CLIENT_SECRET_FD"), "{}", out(&by_fd));
    let status = "mkfifo pipe; SPATIAFI_CLIENT_SECRET_FILE=pipe keyfob spatiafi status";
    succeeds(&services.shell(&format!("unset SPATIAFI_CLIENT_SECRET; {status}")));
}

#[test]
fn the_clock_is_unknown_until_a_server_has_answered() {
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
fn the_api_takes_what_help_shows() {
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
            // Paths that the API has, but the sandbox has not.
            let unknown = ["/support/tickets/", "/visitors/visits/"].iter().any(|path| line.contains(path));
            assert_eq!(output.status.code(), Some(if unknown { 8 } else { 0 }), "{line}: {}", out(&output));
            assert!(!unknown || err(&output).contains("HTTP 404"), "{line}: {}", err(&output));
        }
    }
}

#[test]
fn a_token_that_outlives_all_dates_has_a_status() {
    let services = Services::start();
    services.spatiafi.set_token_lifetime(Duration::from_secs(300_000_000_000));
    ends_well(&services.run("spatiafi token"));
    let status = services.run("spatiafi status");
    assert!(succeeds(&status).contains("until Fri, 31 Dec 9999 23:59:59 GMT"), "{}", out(&status));
}

#[test]
fn status_shows_no_secret_that_was_put_into_the_wrong_variable() {
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
fn a_reader_that_has_gone_hides_no_failure() {
    let services = Services::start();
    for (path, status) in [("/networks/v1", 0), ("/nowhere", 8)] {
        let mut command = services.keyfob(["spacebring", "get", path]);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command.stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{path}: {}", err(&output));
    }
}
