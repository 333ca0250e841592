//! The examples, built and run as a user would: settings in the environment, the sandbox as the service.

mod support;

use std::process::Command;
use std::time::Duration;

use keyfob_sandbox::{Endpoint, Sandbox, SpacebringSandbox};
use support::{Flavor, Program, library, succeeds};

#[test]
fn get() {
    let sandbox = Sandbox::start();
    for flavor in [Flavor::Static, Flavor::Shared] {
        let program = Program::example("get", flavor, &[]);
        let said = program.passes(program.command().envs(sandbox.env()));
        assert!(said.contains("ce-wildfire-risk"), "{said}");
        let said = program.passes(program.command().envs(sandbox.env()).arg("/api/echo"));
        assert!(!said.is_empty());
        let refused = program.command().envs(sandbox.env()).arg("/no/such/thing").output().expect("it runs");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(1) && said.starts_with("KEYFOB_API_STATUS: "), "{said}");
    }
    let program = Program::example("get", Flavor::Shared, &[]);
    let without = program.command().output().expect("it runs");
    let said = String::from_utf8_lossy(&without.stderr);
    assert!(said.starts_with("KEYFOB_NO_CREDENTIALS: there are no SpatiaFi credentials"), "{said}");
}

#[test]
fn daemon() {
    let sandbox = Sandbox::start();
    sandbox.set_token_lifetime(Duration::from_secs(3));
    let program = Program::example("daemon", Flavor::Shared, &[]);
    let said = program.passes(program.command().envs(sandbox.env()).arg("4"));
    assert_eq!(said.matches(" bytes\n").count(), 16, "{said}");
    let tokens = sandbox.count(Endpoint::Token);
    assert_eq!(said.matches("a new token").count() as u64, tokens, "{said}");
    assert!((2..=5).contains(&tokens), "{said}");
}

#[test]
fn login() {
    let spacebring = SpacebringSandbox::start();
    let program = Program::example("login", Flavor::Static, &[]);
    let command = |option: &str| {
        let mut command = program.command();
        command
            .envs(spacebring.env())
            .env("SPACEBRING_REDIRECT_URI", "http://127.0.0.1:0/callback")
            .arg(option);
        command
    };
    let open = |line: &str| line.strip_prefix("open ").map(|url| spacebring.approve(url));
    let mut listed = 0;
    program.talks_on_standard_error(&mut command(""), |line, _| {
        if let Some(callback) = open(line) {
            keyfob::ureq::get(callback).call().expect("the listener answers");
        }
        listed += usize::from(line.contains("\"locations\""));
    });
    assert_eq!((spacebring.logins(), listed), (1, 1));
    // The next run needs nobody; then it ends for good, and a person on another machine has to log in.
    assert!(program.passes(command("--revoke")).contains("\"locations\""));
    program.talks_on_standard_error(&mut command("--paste"), |line, input| {
        if let Some(callback) = open(line) {
            std::io::Write::write_all(input, format!("{callback}\n").as_bytes()).expect("it reads");
        }
    });
    assert_eq!(spacebring.logins(), 2);
}

#[test]
#[ignore = "needs libcurl"]
fn with_libcurl() {
    let sandbox = Sandbox::start();
    let program = Program::example("with_libcurl", Flavor::Shared, &["-lcurl"]);
    let said = program.passes(program.command().envs(sandbox.env()));
    assert!(said.contains("ce-wildfire-risk"), "{said}");
}

#[test]
#[ignore = "needs Python"]
fn python() {
    let sandbox = Sandbox::start();
    let home = tempfile::tempdir().expect("a folder");
    let mut command = Command::new("python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/token.py")).arg(&library().shared);
    command.envs(sandbox.env()).env("KEYFOB_STORE", home.path());
    assert!(succeeds(&mut command).contains("ce-wildfire-risk"));
    let refused = command.env("SPATIAFI_CLIENT_SECRET", "").output().expect("it runs");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && said.starts_with("token.py: SPATIAFI_CLIENT_ID is set, but"),
        "{said}"
    );
}
