//! The examples, built and run as a user would: with settings from the environment and the sandbox as the
//! service.

mod support;

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use keyfob_sandbox::{AcmeSandbox, Endpoint, Fault, Sandbox, SpacebringSandbox};
use support::{Flavor, Program, library, succeeds};

const SPATIAFI: [&str; 2] = ["spatiafi", "/api/info?item_id=ce-wildfire-risk-static-us-and-canada-v3.0"];
const ACME: [&str; 2] = ["acme", "/things"];

/// Describes a server that keyfob does not know in the configuration file of this home folder.
fn configure(home: &Path, acme: &AcmeSandbox) {
    let folder = home.join(".config/keyfob");
    fs::create_dir_all(&folder).expect("a folder");
    let write = |name: &str, text: &str| {
        let file = fs::File::options().write(true).create_new(true).mode(0o600).open(folder.join(name));
        std::io::Write::write_all(&mut file.expect("a new file"), text.as_bytes()).expect("it is written");
    };
    write("secret", acme.client_secret());
    let (issuer, api_url, id) = (acme.issuer(), acme.api_url(), acme.client_id());
    write(
        "config.toml",
        &format!(
            "[service.acme]\nissuer = \"{issuer}\"\napi_url = \"{api_url}\"\nclient_id = \"{id}\"\n\
             client_secret_file = \"secret\"\ngrant = \"client_credentials\"\nheaders = {{ x-api-key = \"k-123\" }}\n"
        ),
    );
}

/// Returns how often the API received a request with the header of the configuration file.
fn with_key(acme: &AcmeSandbox) -> usize {
    acme.requests().iter().filter(|request| request.header("x-api-key").is_some()).count()
}

#[track_caller]
fn fails(output: &Output, text: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.starts_with(text), "{}: {said}", output.status);
}

#[test]
fn get_example_prints_the_api_answer() {
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
fn program_of_the_readme_prints_the_api_answer() {
    let acme = AcmeSandbox::start();
    let text = include_str!("../README.md");
    let (_, rest) = text.split_once("```c\n").expect("a program");
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("readme.c");
    fs::write(&source, rest.split_once("```").expect("its end").0).expect("it is written");
    let program = Program::source(&source);
    configure(program.home(), &acme);
    assert!(program.passes(program.command()).contains("anvil"));
    let output = program.command().env("KEYFOB_CONFIG", folder.path().join("none")).output();
    fails(&output.expect("it runs"), "there is no service `acme`");
}

#[test]
fn daemon_example_renews_its_token() {
    let (spatiafi, acme) = (Sandbox::start(), AcmeSandbox::start());
    spatiafi.set_token_lifetime(Duration::from_secs(3));
    acme.set_token_lifetime(Duration::from_secs(3));
    let program = Program::example("daemon", Flavor::Shared, &[]);
    configure(program.home(), &acme);
    let runs = |service| {
        let said = program.passes(program.command().envs(spatiafi.env()).args(service).arg("4"));
        assert_eq!(said.matches(" bytes\n").count(), 16, "{said}");
        let tokens =
            if service == ACME { acme.count(Endpoint::Token) } else { spatiafi.count(Endpoint::Token) };
        assert_eq!(said.matches("a new token, valid for").count() as u64, tokens, "{said}");
        assert!((2..=5).contains(&tokens), "{said}");
        assert!(said.lines().any(|line| line.starts_with("debug: ")), "{said}");
    };
    std::thread::scope(|scope| {
        for service in [SPATIAFI, ACME] {
            scope.spawn(move || runs(service));
        }
    });
    fails(&program.command().args(SPATIAFI).arg("1").output().expect("it runs"), "KEYFOB_NO_CREDENTIALS: ");
}

#[test]
fn device_login_example_needs_a_person_once() {
    let acme = AcmeSandbox::start();
    acme.set_poll_interval(Duration::from_secs(1));
    acme.set_device_code_lifetime(Duration::from_secs(20));
    let program = Program::example("device_login", Flavor::Static, &[]);
    let command = |path: &str| {
        let mut command = program.command();
        command.arg(acme.issuer()).arg(acme.public_client_id()).arg(acme.api_url());
        command.arg(program.home().join("tokens")).arg(path);
        command
    };
    let mut lines = Vec::new();
    program.talks_on_standard_error(&mut command("/things"), |line, _| {
        if let Some(code) = line.strip_prefix("and enter ") {
            acme.approve_device(code);
        }
        lines.push(line.to_owned());
    });
    assert_eq!(lines[0], format!("open {}", acme.verification_uri()));
    assert!(lines.len() == 3 && lines[2].contains("anvil"), "{lines:?}");
    let said = program.passes(command("/things"));
    assert!(said.contains("anvil") && !said.contains("open "), "{said}");
    // An access token that has expired needs no person either.
    acme.end_access_tokens();
    assert!(program.passes(command("/things")).contains("anvil"));
    assert_eq!((acme.logins(), acme.refreshes()), (1, 1));
    fails(&command("/no/such/thing").output().expect("it runs"), "KEYFOB_API_STATUS: ");
    fails(&command("no path").output().expect("it runs"), "KEYFOB_INVALID_INPUT: ");
}

#[test]
fn login_example_logs_in_lists_and_revokes() {
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
    // The next run needs no person and revokes the login. The run after it asks a person on another machine
    // to log in.
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
fn libcurl_example_prints_the_api_answer() {
    let (spatiafi, acme) = (Sandbox::start(), AcmeSandbox::start());
    let program = Program::example("with_libcurl", Flavor::Shared, &["-lcurl"]);
    configure(program.home(), &acme);
    let command = |arguments: [&str; 2]| {
        let mut command = program.command();
        command.envs(spatiafi.env()).args(arguments);
        command
    };
    assert!(program.passes(command(SPATIAFI)).contains("ce-wildfire-risk"));
    assert!(program.passes(command(ACME)).contains("anvil"));
    assert_eq!(with_key(&acme), 1);
    // A refused token is replaced once.
    acme.end_access_tokens();
    assert!(program.passes(command(ACME)).contains("anvil"));
    assert_eq!((with_key(&acme), acme.count(Endpoint::Token)), (3, 2));
    acme.fault(Endpoint::Things, Fault::status(401).times(2));
    fails(&command(ACME).output().expect("it runs"), "HTTP response code said error (HTTP status 401)");
    assert_eq!(with_key(&acme), 5);
    let output = command(["acne", "/things"]).output().expect("it runs");
    fails(&output, "KEYFOB_INVALID_INPUT: there is no service `acne`");
}

#[test]
#[ignore = "needs a C++ compiler"]
fn cpp_example_prints_the_api_answer() {
    let (spatiafi, acme) = (Sandbox::start(), AcmeSandbox::start());
    let program = Program::example("token", Flavor::Cpp, &[]);
    configure(program.home(), &acme);
    assert!(
        program.passes(program.command().envs(spatiafi.env()).args(SPATIAFI)).contains("ce-wildfire-risk")
    );
    assert!(program.passes(program.command().args(ACME)).contains("anvil"));
    assert_eq!(with_key(&acme), 1);
    let output = program.command().args(["acme", "/no/such/thing"]).output().expect("it runs");
    fails(&output, "KEYFOB_API_STATUS: ");
}

/// Runs a program that was not built by `Program`, with the configuration file of this home folder.
fn bare(mut command: Command, home: &Path) -> Command {
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", home);
    command
}

#[test]
#[ignore = "needs Go"]
fn go_example_prints_the_api_answer() {
    let (spatiafi, acme, home) =
        (Sandbox::start(), AcmeSandbox::start(), tempfile::tempdir().expect("a folder"));
    configure(home.path(), &acme);
    let program = home.path().join("token");
    let folder = library().shared.parent().expect("a folder").display();
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(&program).arg("token.go");
    build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples"));
    build.env("CGO_CFLAGS", concat!("-I", env!("CARGO_MANIFEST_DIR"), "/include"));
    build.env("CGO_LDFLAGS", format!("-L{folder} -l:libkeyfob.so.0 -Wl,-rpath,{folder}"));
    succeeds(build.env("GOFLAGS", "").env("GO111MODULE", "off").env("CGO_ENABLED", "1"));
    let command = |arguments: [&str; 2]| {
        let mut command = bare(Command::new(&program), home.path());
        command.envs(spatiafi.env()).args(arguments);
        command
    };
    assert!(succeeds(&mut command(SPATIAFI)).contains("ce-wildfire-risk"));
    assert!(succeeds(&mut command(ACME)).contains("anvil"));
    let output = command(["acne", "/things"]).output().expect("it runs");
    fails(&output, "KEYFOB_INVALID_INPUT: there is no service `acne`");
}

#[test]
#[ignore = "needs Python"]
fn python_example_prints_the_api_answer() {
    let (spatiafi, acme, home) =
        (Sandbox::start(), AcmeSandbox::start(), tempfile::tempdir().expect("a folder"));
    configure(home.path(), &acme);
    let command = |arguments: [&str; 2]| {
        let mut command = bare(Command::new("python3"), home.path());
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/token.py")).arg(&library().shared);
        command.envs(spatiafi.env()).args(arguments);
        command
    };
    assert!(succeeds(&mut command(SPATIAFI)).contains("ce-wildfire-risk"));
    assert!(succeeds(&mut command(ACME)).contains("anvil"));
    assert_eq!(with_key(&acme), 1);
    let output = command(SPATIAFI).env("SPATIAFI_CLIENT_SECRET", "").output().expect("it runs");
    fails(&output, "token.py: KEYFOB_INVALID_INPUT: SPATIAFI_CLIENT_ID is set, but");
}
