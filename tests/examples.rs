//! The examples, run as a user would: with settings from the environment and the sandbox as the service.

#![allow(clippy::disallowed_methods, reason = "processes live in real time")]

#[path = "support/example.rs"]
mod example;
#[path = "support/folder.rs"]
mod folder;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use keyfob::ureq;
use keyfob_sandbox::{AcmeSandbox, Endpoint, Sandbox, SpacebringSandbox};

use example::example;
use folder::Folder;

fn against(service: &Service, name: &str, unset: &[&str]) -> Command {
    let mut command = example(name);
    command.env("KEYFOB_STORE", &service.store.0).envs(service.sandbox.env());
    for variable in unset {
        command.env_remove(variable);
    }
    command
}

#[track_caller]
fn ends(output: &Output, status: i32, stdout: &str, stderr: &str) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(status), "{out}{err}");
    assert!(out.contains(stdout), "{out}");
    assert!(err.contains(stderr), "{err}");
}

/// A sandbox, and a store for its tokens.
struct Service {
    sandbox: Sandbox,
    store: Folder,
}

impl Service {
    fn start(sandbox: Sandbox) -> Self {
        let store = Folder::new();
        Self { sandbox, store }
    }
}

impl std::ops::Deref for Service {
    type Target = Sandbox;

    fn deref(&self) -> &Sandbox {
        &self.sandbox
    }
}

const IN_FILE: [&str; 2] = ["SPATIAFI_CLIENT_ID", "SPATIAFI_CLIENT_SECRET"];

#[test]
fn tour_example_runs_all_its_steps() {
    let output = example("tour").output().unwrap();
    ends(&output, 0, "4  access token", "");
    let out = String::from_utf8(output.stdout).unwrap();
    for part in [
        "HTTP 400",
        "check the user name and password",
        "replaced (true)",
        "a token after 2 tries",
        "1  a customer          → 3 locations",
        "2  a partner           → a login, a code, a token good for 60 minutes",
        "3  the token           → 36 plans",
        "(renewals: 1)",
        "-  a denied login      → could not log in at http://127.0.0.1:",
        "access_denied",
        "-  a revoked login     → nobody has logged in to the service `spacebring` with this client and profile: log in first",
        r#"1  the issuer          → its endpoints, a token, and {"things":["anvil","rocket skates","giant magnet"]}"#,
        "2  a device            → open http://127.0.0.1:",
        "3  the person allows   → a token good for 60 minutes",
        "-  a denied device     → could not",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
}

#[test]
fn any_server_example_calls_an_api_by_its_issuer_and_then_with_the_stored_token_alone() {
    let (acme, store) = (AcmeSandbox::start(), Folder::new());
    let run = |unset| {
        let mut command = example("any_server");
        command.env("KEYFOB_STORE", &store.0).envs(acme.env()).env_remove(unset).output().unwrap()
    };
    for _ in 0..2 {
        ends(&run(""), 0, "rocket skates", "");
    }
    let requests: Vec<_> = acme.requests().iter().map(|request| request.endpoint).collect();
    assert_eq!(requests, [Endpoint::Metadata, Endpoint::Token, Endpoint::Things, Endpoint::Things]);
    ends(&run("ACME_ISSUER"), 1, "", "ACME_ISSUER is not set: set it to what acme shows");
}

#[test]
fn device_login_example_waits_for_the_person_and_later_runs_need_none() {
    let (acme, store) = (AcmeSandbox::start(), Folder::new());
    acme.set_poll_interval(Duration::from_secs(1));
    let command = || {
        let mut command = example("device_login");
        command.env("KEYFOB_STORE", &store.0).envs(acme.env()).env("ACME_SCOPE", "things.read");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let start = || {
        let mut child = command().spawn().unwrap();
        let mut line = String::new();
        BufReader::with_capacity(1, child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
        let (url, code) = line.trim_end().split_once(" and enter ").unwrap_or_else(|| panic!("{line}"));
        assert_eq!(url, format!("open {}", acme.verification_uri()));
        (child, code.to_owned())
    };
    let (child, code) = start();
    acme.deny_device(&code);
    ends(
        &child.wait_with_output().unwrap(),
        1,
        "",
        "access_denied: the person denied the request; log in again and allow the access",
    );
    let (child, code) = start();
    acme.approve_device(&code);
    ends(&child.wait_with_output().unwrap(), 0, "rocket skates", "");
    ends(&command().output().unwrap(), 0, "rocket skates", "");
    assert_eq!((acme.logins(), acme.count(Endpoint::DeviceAuthorization)), (1, 2));
}

#[test]
fn cron_example_prefers_credentials_from_the_environment() {
    let sandbox = Service::start(Sandbox::start());
    let output = against(&sandbox, "spatiafi_cron", &[]).output().unwrap();
    ends(&output, 0, "ce-wildfire-risk", "");
    assert_eq!((sandbox.count(Endpoint::Token), sandbox.total()), (1, 2), "one token, one call");

    let output = against(&sandbox, "spatiafi_cron", &[]).output().unwrap();
    ends(&output, 0, "ce-wildfire-risk", "");
    assert_eq!((sandbox.count(Endpoint::Token), sandbox.total()), (1, 3), "the second run has it already");

    let (id, secret) = sandbox.add_client();
    let others = against(&sandbox, "spatiafi_cron", &[])
        .env("SPATIAFI_CLIENT_ID", id)
        .env("SPATIAFI_CLIENT_SECRET", secret)
        .output()
        .unwrap();
    ends(&others, 0, "ce-wildfire-risk", "");
    assert_eq!(sandbox.count(Endpoint::Token), 2, "other credentials do not see it");
}

/// Starts 50 jobs at once, again and again for this many seconds.
fn fifty_cron_jobs_at_once(seconds: u64) {
    const LIFETIME: u64 = 5;
    let service = Service::start(Sandbox::start());
    service.set_token_lifetime(Duration::from_secs(LIFETIME));
    let (started, mut runs) = (Instant::now(), 0);
    while runs == 0 || started.elapsed() < Duration::from_secs(seconds) {
        let jobs: Vec<_> = (0..50)
            .map(|_| {
                let mut job = against(&service, "spatiafi_cron", &[]);
                job.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        for job in jobs {
            ends(&job.wait_with_output().unwrap(), 0, "ce-wildfire-risk", "");
            runs += 1;
        }
    }
    let took = started.elapsed().as_secs_f64();
    let (tokens, calls) = (service.count(Endpoint::Token), service.total() - service.count(Endpoint::Token));
    println!("{runs} runs in {took:.1} s: {tokens} token requests, {calls} calls");
    // A token is renewed when a fifth of its lifetime is left.
    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    let most = (took / (0.8 * LIFETIME as f64)).ceil() + 1.0;
    assert!(f64::from(u32::try_from(tokens).unwrap()) <= most, "{tokens} token requests in {took:.1} s");
    // A token may expire on the way. The call is then repeated with another one.
    assert!(calls >= runs && calls <= runs + runs / 10, "{calls} calls by {runs} runs");
}

#[test]
fn fifty_simultaneous_cron_jobs_share_their_tokens() {
    fifty_cron_jobs_at_once(0);
}

#[test]
#[ignore = "takes half a minute"]
fn fifty_simultaneous_cron_jobs_share_their_tokens_for_half_a_minute() {
    fifty_cron_jobs_at_once(30);
}

#[test]
fn login_example_writes_the_file_that_the_cron_example_reads() {
    let sandbox = Service::start(Sandbox::start());
    let home = Folder::new();
    let run = |name: &str, arguments: &[&str]| {
        against(&sandbox, name, &IN_FILE).env("HOME", &home.0).args(arguments).output().unwrap()
    };
    let missing = format!(
        "there are no SpatiaFi credentials: the environment has none, and there is no file {}; set SPATIAFI_CLIENT_ID and \
         SPATIAFI_CLIENT_SECRET, or make app credentials with `Registration`",
        home.0.join(".config/spatiafi/app_credentials.json").display()
    );
    ends(&run("spatiafi_cron", &[]), 3, "", &missing);

    ends(&run("spatiafi_login", &[]), 0, ".config/spatiafi/app_credentials.json", "");
    ends(&run("spatiafi_cron", &[]), 0, "ce-wildfire-risk", "");
    ends(&run("spatiafi_login", &[]), 7, "", "already: use them, or say that they are to be replaced");
    ends(&run("spatiafi_login", &["--force"]), 0, "app credentials", "");
    let names: Vec<_> = fs::read_dir(home.0.join(".config/spatiafi")).unwrap().flatten().collect();
    assert_eq!(names.len(), 2, "the file and a backup: {names:?}");
    ends(&run("spatiafi_cron", &[]), 0, "ce-wildfire-risk", "");
}

#[cfg(unix)]
#[test]
fn credentials_file_readable_by_others_is_used_with_a_warning() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = Service::start(Sandbox::start());
    let config = Folder::new();
    let file = config.0.join("spatiafi/app_credentials.json");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let json = serde_json::json!({
        "client_id": sandbox.client_id(), "client_secret": sandbox.client_secret(), "name": "made by others"
    });
    fs::write(&file, json.to_string()).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let output =
        against(&sandbox, "spatiafi_cron", &IN_FILE).env("XDG_CONFIG_HOME", &config.0).output().unwrap();
    ends(&output, 0, "ce-wildfire-risk", "can be read by others than its owner: run chmod 600 on it");
}

#[test]
fn contradictory_settings_and_missing_settings_have_different_errors() {
    let sandbox = Service::start(Sandbox::start());
    let half = against(&sandbox, "spatiafi_cron", &["SPATIAFI_CLIENT_SECRET"]).output().unwrap();
    ends(&half, 2, "", "SPATIAFI_CLIENT_ID is set, but SPATIAFI_CLIENT_SECRET is not");
    let wrong = against(&sandbox, "spatiafi_cron", &[])
        .env("SPATIAFI_CLIENT_SECRET", "x".repeat(40))
        .output()
        .unwrap();
    ends(&wrong, 4, "", "invalid_client");
    let plain = against(&sandbox, "spatiafi_cron", &[])
        .env("SPATIAFI_API_URL", "http://example.com")
        .output()
        .unwrap();
    ends(&plain, 2, "", "plain http, which is allowed for 127.0.0.1, [::1] and localhost only");
    let nobody = against(&sandbox, "spatiafi_login", &["SPATIAFI_USERNAME"]).output().unwrap();
    ends(&nobody, 3, "", "SPATIAFI_USERNAME is not set");
    let wrong =
        against(&sandbox, "spatiafi_cron", &[]).env("KEYFOB_CA_FILE", "/no/such/file").output().unwrap();
    ends(
        &wrong,
        2,
        "",
        "KEYFOB_CA_FILE, or the setting in its place, names: there is no such file or folder",
    );
}

#[test]
fn bulk_example_prints_answers_in_the_order_of_its_input() {
    let sandbox = Service::start(Sandbox::start());
    let folder = Folder::new();
    let points = folder.0.join("points");
    let lines: Vec<String> = (0..500).map(|i| format!("{}.5,{}.25", i % 180, i % 90)).collect();
    fs::write(&points, lines.join("\n")).unwrap();
    let output = against(&sandbox, "spatiafi_bulk", &[]).arg(&points).arg("4").output().unwrap();
    ends(&output, 0, "", "");
    let answers: Vec<serde_json::Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    assert_eq!(answers.len(), lines.len());
    for (i, answer) in answers.iter().enumerate() {
        let text = answer.to_string();
        assert!(text.contains(&format!("{}.5", i % 180)), "{i}: {text}");
    }
    assert_eq!(sandbox.count(Endpoint::Token), 1, "one token for all threads");
}

#[test]
fn examples_work_over_tls_with_a_private_ca() {
    let sandbox = Service::start(Sandbox::start_tls());
    ends(&against(&sandbox, "spatiafi_cron", &[]).output().unwrap(), 0, "ce-wildfire-risk", "");
    let untrusted = against(&sandbox, "spatiafi_cron", &["KEYFOB_CA_FILE"]).output().unwrap();
    ends(
        &untrusted,
        5,
        "",
        "the server's certificate is not from a trusted authority; name the CA file of its authority",
    );
    assert!(Path::new(&sandbox.ca_file().unwrap()).exists());
}

/// Spacebring's sandbox, and a store for its tokens.
struct Spacebring {
    sandbox: SpacebringSandbox,
    store: Folder,
}

impl Spacebring {
    fn start(sandbox: SpacebringSandbox) -> Self {
        let store = Folder::new();
        Self { sandbox, store }
    }

    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = example(name);
        command
            .env("KEYFOB_STORE", &self.store.0)
            .env("SPACEBRING_REDIRECT_URI", "http://127.0.0.1:0/callback")
            .envs(self.sandbox.env())
            .args(arguments);
        command
    }

    fn partner(&self, arguments: &[&str]) -> Partner {
        Partner::start(&mut self.command("spacebring_partner", arguments))
    }

    /// A run that finds its tokens in the store.
    fn partner_again(&self, arguments: &[&str]) -> Output {
        self.command("spacebring_partner", arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// Logins, renewals and revocations so far.
    fn token_requests(&self) -> (u64, u64, u64) {
        (self.sandbox.logins(), self.sandbox.refreshes(), self.sandbox.count(Endpoint::Revoke))
    }
}

/// The running example, which waits for a login.
struct Partner {
    child: Child,
    url: String,
}

impl Partner {
    fn start(command: &mut Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::with_capacity(1, child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
        let url = line.strip_prefix("open ").unwrap_or_else(|| panic!("{line}")).trim().to_owned();
        Self { child, url }
    }

    fn output(self) -> Output {
        self.child.wait_with_output().unwrap()
    }
}

/// Delivers the callback as a browser does, and returns the page that it shows.
fn browse(callback: &str) -> String {
    ureq::get(callback).config().proxy(None).build().call().unwrap().body_mut().read_to_string().unwrap()
}

const LOCATIONS: usize = 3;

fn locations(output: &Output) -> usize {
    let out = String::from_utf8(output.stdout.clone()).unwrap();
    let lines = out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect(line));
    lines.filter(|location| location["title"].is_string()).count()
}

#[test]
fn customer_example_lists_locations() {
    let spacebring = Spacebring::start(SpacebringSandbox::start());
    let output = spacebring.command("spacebring_customer", &[]).output().unwrap();
    ends(&output, 0, "title", "");
    // The environment names a network, and the variable of the command has no effect here.
    assert_eq!(locations(&output), LOCATIONS);
    let output =
        spacebring.command("spacebring_customer", &[]).env("SPACEBRING_AUTH", "oauth2").output().unwrap();
    assert_eq!((output.status.code(), locations(&output)), (Some(0), LOCATIONS));

    for (variable, value, status, text) in [
        ("SPACEBRING_CLIENT_ID", "", 3, "SPACEBRING_CLIENT_ID is not set"),
        ("SPACEBRING_CLIENT_SECRET", "wrong", 8, "HTTP 401"),
        ("SPACEBRING_NETWORK_ID", "mine", 2, "the network id is no UUID"),
        ("SPACEBRING_API_URL", "http://127.0.0.1:1", 5, "the connection was refused"),
    ] {
        let output = spacebring.command("spacebring_customer", &[]).env(variable, value).output().unwrap();
        ends(&output, status, "", text);
    }
}

#[test]
fn partner_example_logs_in_lists_locations_renews_and_revokes() {
    let spacebring = Spacebring::start(SpacebringSandbox::start());
    let partner = spacebring.partner(&[]);
    let page = browse(&spacebring.sandbox.approve(&partner.url));
    assert!(page.contains("You are logged in"), "{page}");
    let output = partner.output();
    ends(&output, 0, "", "renewed the access token\nrevoked the login\n");
    assert_eq!(locations(&output), 2 * LOCATIONS);
    assert_eq!(spacebring.token_requests(), (1, 1, 2), "refresh and access token are revoked");
    let left = fs::read_dir(&spacebring.store.0).unwrap().flatten();
    assert!(left.into_iter().all(|file| file.path().extension().unwrap() == "lock"), "no tokens are left");
}

#[test]
fn second_run_of_the_partner_example_makes_no_token_request() {
    let spacebring = Spacebring::start(SpacebringSandbox::start());
    let partner = spacebring.partner(&["--keep"]);
    browse(&spacebring.sandbox.approve(&partner.url));
    let output = partner.output();
    assert_eq!((output.status.code(), locations(&output)), (Some(0), LOCATIONS));

    let output = spacebring.partner_again(&["--keep"]);
    ends(&output, 0, "title", "");
    assert_eq!(output.stderr, b"", "no request is sent");
    assert_eq!((locations(&output), spacebring.token_requests()), (LOCATIONS, (1, 0, 0)));

    let (id, secret) = spacebring.sandbox.add_client();
    let mut others = spacebring.command("spacebring_partner", &["--keep"]);
    let others =
        Partner::start(others.env("SPACEBRING_CLIENT_ID", id).env("SPACEBRING_CLIENT_SECRET", secret));
    browse(&spacebring.sandbox.deny(&others.url));
    let output = others.output();
    ends(&output, 3, "", "access_denied: The user denied the request; log in again and allow the access");

    ends(&spacebring.partner_again(&[]), 0, "title", "revoked the login");
    assert_eq!(spacebring.token_requests(), (1, 1, 2));
    let partner = spacebring.partner(&["--keep"]);
    browse(&spacebring.sandbox.approve(&partner.url));
    assert!(partner.output().status.success(), "revoked: a login is needed again");
}

#[test]
fn partner_example_asks_for_a_new_login_after_a_revocation() {
    let spacebring = Spacebring::start(SpacebringSandbox::start());
    let partner = spacebring.partner(&["--keep"]);
    browse(&spacebring.sandbox.approve(&partner.url));
    assert!(partner.output().status.success());

    spacebring.sandbox.revoke_tokens();
    let partner = spacebring.partner(&["--keep"]);
    browse(&spacebring.sandbox.approve(&partner.url));
    let output = partner.output();
    assert_eq!((output.status.code(), locations(&output)), (Some(0), LOCATIONS));
    assert_eq!(spacebring.token_requests(), (2, 0, 0));
}

#[test]
fn partner_example_accepts_a_pasted_callback() {
    let spacebring = Spacebring::start(SpacebringSandbox::start());
    let redirect_uri = "https://app.example/callback";
    spacebring.sandbox.add_redirect_uri(redirect_uri);
    let command = || {
        let mut command = spacebring.command("spacebring_partner", &["--keep", "--paste"]);
        command.env("SPACEBRING_REDIRECT_URI", redirect_uri);
        command
    };
    let mut partner = Partner::start(&mut command());
    let callback = spacebring.sandbox.approve(&partner.url);
    writeln!(partner.child.stdin.as_mut().unwrap(), "{callback}").unwrap();
    ends(&partner.output(), 0, "title", "then paste the address");

    spacebring.sandbox.revoke_tokens();
    ends(&command().stdin(Stdio::null()).output().unwrap(), 2, "", "the callback URL is empty");
    let mut waiting = spacebring.command("spacebring_partner", &[]);
    let output = waiting.env("SPACEBRING_REDIRECT_URI", redirect_uri).output().unwrap();
    ends(&output, 2, "", "change it, or paste the callback URL");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("open"), "nobody is sent there in vain");
}

#[test]
fn partner_example_logs_in_over_tls() {
    let spacebring = Spacebring::start(SpacebringSandbox::start_tls());
    let partner = spacebring.partner(&["--keep"]);
    browse(&spacebring.sandbox.approve(&partner.url));
    let output = partner.output();
    assert_eq!((output.status.code(), locations(&output)), (Some(0), LOCATIONS));
}
