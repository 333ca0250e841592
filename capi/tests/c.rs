//! The tests in C, built as users would build them: with a C compiler, the header, and the library of the
//! profile `capi`.
//!
//! Each program runs against a sandbox of its own, linked to the static library and to the shared one. The
//! ignored tests repeat this as C++, under sanitizers and under valgrind: `make -C capi check ALL=1`.

mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use keyfob_sandbox::{AcmeSandbox, Endpoint, Fault, Sandbox, SpacebringSandbox};
use support::servers::{Recorder, Tunnel};
use support::{Flavor, Program, header, library, other_library, panicking, succeeds};

/// A program of `tests/c`, and the function that runs it.
type Topic = (&'static str, fn(&Program));

const TOPICS: [Topic; 12] = [
    ("abi", alone),
    ("input", alone),
    ("random", at_random),
    ("spatiafi", at_spatiafi),
    ("spacebring", at_spacebring),
    ("fork", slowly),
    ("sigpipe", at_a_server_that_hangs_up),
    ("threads", in_threads),
    ("settings", as_set),
    ("service", at_acme),
    ("stack", over_tls),
    ("registers", over_tls),
];

fn topic(name: &str) {
    for flavor in [Flavor::Static, Flavor::Shared] {
        run_topic(name, flavor);
    }
}

#[track_caller]
fn run_topic(name: &str, flavor: Flavor) {
    let (_, run) = TOPICS.into_iter().find(|(topic, _)| *topic == name).expect("a topic");
    run(&Program::test(name, flavor));
}

fn all(flavor: Flavor) {
    for (name, _) in TOPICS {
        run_topic(name, flavor);
    }
}

fn alone(program: &Program) {
    program.passes(program.command());
}

/// `KEYFOB_RUNS` sets the number of rounds.
fn at_random(program: &Program) {
    let rounds = std::env::var("KEYFOB_RUNS").unwrap_or_else(|_| "3000".to_owned());
    let output = program.passes(program.command().env("ROUNDS", rounds).env("SEED", "1"));
    println!("{output}");
}

fn at_spatiafi(program: &Program) {
    let sandbox = Sandbox::start();
    program.passes(program.command().envs(sandbox.env()));
    assert_eq!(
        sandbox.count(Endpoint::Clients),
        3,
        "each successful login, and the one that could not be saved"
    );
}

fn at_spacebring(program: &Program) {
    let (spatiafi, spacebring) = (Sandbox::start(), SpacebringSandbox::start());
    // The program makes more calls at once than Spacebring's rate limit allows.
    spacebring.set_rate_limit(None);
    let mut command = program.command();
    command
        .envs(spatiafi.env())
        .envs(spacebring.env())
        .env("SPACEBRING_REDIRECT_URI", "http://127.0.0.1:0/callback");
    program.talks(&mut command, |line, input| match line.split_once(' ') {
        Some(("wait", url)) => {
            let callback = spacebring.approve(url);
            let page =
                keyfob::ureq::get(callback).call().expect("the listener answers").body_mut().read_to_string();
            assert!(page.expect("a page").contains("<html"));
        }
        Some(("paste", url)) => writeln!(input, "{}", spacebring.approve(url)).expect("it reads"),
        _ => panic!("{line}"),
    });
}

fn slowly(program: &Program) {
    let sandbox = Sandbox::start();
    sandbox.set_delay(Endpoint::Token, Duration::from_millis(300));
    program.passes(program.command().envs(sandbox.env()));
}

/// A server that answers, shuts down its writing side, and resets the connection. A later write to it fails
/// with `EPIPE`.
fn at_a_server_that_hangs_up(program: &Program) {
    let sandbox = Sandbox::start();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            // The rest of the request stays unread, so that closing causes a reset.
            let _ = stream.read(&mut [0; 16]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
            let _ = stream.shutdown(Shutdown::Write);
        }
    });
    let mut command = program.command();
    command.envs(sandbox.env()).env("SPATIAFI_API_URL", format!("http://{address}"));
    program.passes(command.env("API_PORT", address.port().to_string()));
}

fn in_threads(program: &Program) {
    let sandbox = Sandbox::start();
    sandbox.set_token_lifetime(Duration::from_secs(2));
    let mut command = program.command();
    command.envs(sandbox.env()).envs([("THREADS", "8"), ("CALLS", "2000"), ("SECONDS", "3")]);
    program.passes(&mut command);
    let tokens = sandbox.count(Endpoint::Token);
    // The tokens are valid between one and two seconds, because the sandbox sends whole seconds.
    assert!((2..=8).contains(&tokens), "{tokens}");
}

fn as_set(program: &Program) {
    let (sandbox, tunnel, recorder) = (Sandbox::start_tls(), Tunnel::start(), Recorder::start("{}"));
    let spacebring = SpacebringSandbox::beside(&sandbox);
    // The system accepts connections to this port, but no program answers them.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let mut command = program.command();
    command.envs(sandbox.env()).envs(spacebring.env());
    command.env("SILENT", silent.local_addr().expect("it has an address").to_string());
    command.env("TUNNEL", tunnel.url()).env("RECORDER", recorder.url());
    let [auth, api] = [sandbox.auth_url(), sandbox.api_url()].map(|url| url.replace("127.0.0.1", "0.0.0.0"));
    command.env("PROXIED_AUTH_URL", &auth).env("PROXIED_API_URL", &api);
    program.passes(&mut command);
    // The second client connects to the first of the two again, with the system's authorities.
    let asked =
        [&auth, &api, &auth, &auth, &api].map(|url| url.replace("https://", "CONNECT ") + " HTTP/1.1");
    assert_eq!(tunnel.asked(), asked);
    let named: Vec<_> =
        sandbox.requests().into_iter().filter(|r| r.header("user-agent") == Some("settings/1")).collect();
    assert_eq!(named.iter().map(|r| r.origin).collect::<Vec<_>>(), ["auth", "api"]);
    let requests = recorder.requests();
    let lines: Vec<_> = requests.iter().map(|r| r.lines().next().unwrap_or_default()).collect();
    let body = |method: &str| format!("{method} /body HTTP/1.1");
    let mut expected: Vec<_> = ["POST", "PUT", "PATCH", "DELETE", "REPORT", "POST"].map(body).into();
    expected.extend(["refresh", "access"].map(|token| format!("POST /end?token={token} HTTP/1.1")));
    assert_eq!(lines, expected);
    for (request, length, kind) in [
        (&requests[0], Some("7"), Some("application/json")),
        (&requests[1], Some("4"), Some("application/octet-stream")),
        (&requests[2], Some("0"), None),
        (&requests[3], None, None),
        (&requests[4], Some("4"), Some("text/xml")),
        (&requests[5], Some("100000"), None),
    ] {
        let fields = request.lines().filter_map(|line| line.split_once(": "));
        let field = |name: &str| {
            fields.clone().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        };
        assert_eq!((field("content-length"), field("content-type")), (length, kind), "{request}");
    }
    assert!(requests[0].ends_with("\r\n\r\n{\"a\":1}"), "{}", requests[0]);
}

fn at_acme(program: &Program) {
    let acme = AcmeSandbox::start();
    acme.set_poll_interval(Duration::from_secs(1));
    let answer = r#"{"access_token":"recorded-access-token","token_type":"Bearer","anvil":1,
        "active":true,"client_id":"exchanger","sub":"of recorded-access-token","aud":["recorded-access-token"]}"#;
    let (recorder, other) = (Recorder::start(answer), Recorder::start("{}"));
    let assertion = program.home().join("assertion");
    fs::write(&assertion, acme.assertion()).expect("it can be written");
    let mut command = program.command();
    command.envs(acme.env()).env("RECORDER", recorder.url()).env("OTHER_RECORDER", other.url());
    command.env("ASSERTION", &assertion);
    program.talks(&mut command, |line, input| {
        let answer = match line.split_once(' ').expect("two words") {
            ("approve", user_code) => {
                acme.approve_device(user_code);
                String::new()
            }
            ("deny", user_code) => {
                acme.deny_device(user_code);
                String::new()
            }
            ("browser", url) => {
                keyfob::ureq::get(acme.approve(url)).call().expect("the listener answers");
                String::new()
            }
            ("paste", url) => acme.approve(url),
            ("end", _) => {
                acme.end_access_tokens();
                String::new()
            }
            _ => panic!("{line}"),
        };
        writeln!(input, "{answer}").expect("it reads");
    });
    let requests = acme.requests();
    let authenticated: Vec<_> = requests
        .iter()
        .filter(|request| request.endpoint == Endpoint::Token)
        .take(5)
        .map(|request| {
            let names = request.form.iter().map(|(name, _)| name.as_str());
            let of_client: Vec<_> = names.filter(|name| name.starts_with("client_")).collect();
            (request.header("authorization"), of_client)
        })
        .collect();
    let signed = ["client_assertion_type", "client_assertion"];
    assert_eq!(
        authenticated,
        [
            (Some("Basic ***"), vec![]),
            (None, vec!["client_id", "client_secret"]),
            (None, signed.to_vec()),
            (Some("Basic ***"), vec![]),
            // Only the JWT itself says whose it is, so the client is named beside it.
            (None, [&["client_id"], &signed[..]].concat()),
        ]
    );
    assert_eq!(other.requests(), [""; 0], "another origin");
    let requests = recorder.requests();
    let with_a_key = requests.iter().filter(|request| request.contains("x-api-key: key-of-the-api-4711\r\n"));
    let lines: Vec<_> = with_a_key.filter_map(|request| request.lines().next()).collect();
    assert_eq!(lines, ["GET /with-a-header HTTP/1.1"]);
    let exchanged = requests.iter().find(|request| request.contains("grant_type=")).expect("the exchange");
    for parameter in
        ["audience=https%3A%2F%2Fthings.example", "subject_token=key-of-the-api-4711", "client_id=exchanger"]
    {
        assert!(exchanged.contains(parameter), "{parameter} in {exchanged}");
    }
}

fn over_tls(program: &Program) {
    let sandbox = Sandbox::start_tls();
    program.passes(program.command().envs(sandbox.env()));
}

#[test]
fn binary_interface_has_its_fixed_layout() {
    topic("abi");
}

#[test]
fn bad_input_is_refused() {
    topic("input");
}

#[test]
fn random_input_causes_no_crash() {
    topic("random");
}

#[test]
fn spatiafi_functions_work_with_the_sandbox() {
    topic("spatiafi");
}

#[test]
fn spacebring_functions_work_with_the_sandbox() {
    topic("spacebring");
}

#[test]
fn handles_are_refused_in_a_forked_child() {
    topic("fork");
}

#[test]
fn closed_connection_raises_no_sigpipe() {
    topic("sigpipe");
}

#[test]
fn threads_can_share_a_client() {
    topic("threads");
}

#[test]
fn no_panic_crosses_the_boundary() {
    let sandbox = Sandbox::start();
    let program = Program::test("panic", Flavor::Panics);
    let output = program.passes(program.command().envs(sandbox.env()));
    assert!(output.contains("on purpose"), "it did panic: {output}");
}

#[test]
fn errors_carry_code_status_and_wait_of_the_server() {
    let sandbox = Sandbox::start();
    sandbox.fault(
        Endpoint::Token,
        Fault::json(
            401,
            &serde_json::json!({"error": "invalid_client", "error_description": "no such client"}),
        ),
    );
    sandbox.fault(Endpoint::Token, Fault::status(429).with_retry_after("90").times(3));
    sandbox.fault(Endpoint::BasicToken, Fault::json(400, &serde_json::json!({"error": "invalid_grant"})));
    let program = Program::test("errors", Flavor::Shared);
    program.passes(program.command().envs(sandbox.env()));
}

#[test]
fn every_setting_has_its_effect() {
    topic("settings");
}

#[test]
fn service_that_is_not_built_in_works_with_the_sandbox() {
    topic("service");
}

#[test]
fn functions_work_on_a_small_stack() {
    topic("stack");
}

#[test]
fn free_clears_the_vector_registers_and_the_stack() {
    topic("registers");
}

#[test]
fn spatiafi_functions_work_over_tls() {
    for flavor in [Flavor::Static, Flavor::Shared] {
        over_tls(&Program::test("spatiafi", flavor));
    }
}

fn beside_other_rust(flavor: Flavor) {
    let (sandbox, other) = (Sandbox::start_tls(), other_library());
    for comes_first in [true, false] {
        let program = Program::beside("beside", flavor, &other, comes_first);
        let output = program.passes(program.command().envs(sandbox.env()));
        assert!(output.contains("on purpose"), "it did panic: {output}");
    }
    fs::remove_file(other).expect("it is there");
}

#[test]
#[cfg(target_os = "linux")]
fn another_static_library_of_rust_can_be_linked() {
    beside_other_rust(Flavor::Static);
    beside_other_rust(Flavor::Shared);
}

#[test]
#[cfg(target_os = "linux")]
fn library_without_its_allocator_can_be_linked_beside_another_of_rust() {
    beside_other_rust(Flavor::Panics);
    // keyfob does not call these. A system that lacks one of them could not link a program otherwise.
    let needed = succeeds(Command::new("nm").arg("-u").arg(&panicking().archive));
    for name in ["daemon", "mkfifo", "signalfd"] {
        assert!(!needed.lines().any(|line| line.trim() == format!("U {name}")), "{name}");
    }
    assert!(needed.contains("U connect"), "{needed}");
}

#[test]
#[ignore = "needs a C++ compiler"]
fn another_static_library_of_rust_can_be_linked_in_cpp() {
    beside_other_rust(Flavor::Cpp);
}

#[test]
fn header_equals_the_one_generated_from_the_code() {
    let committed = fs::read_to_string(header::path()).expect("include/keyfob.h");
    assert!(committed == header::generate(), "run: cargo run -p keyfob-capi --example header");
}

#[test]
fn header_has_the_version_of_the_package() {
    let header = fs::read_to_string(header::path()).expect("include/keyfob.h");
    assert!(header.contains(concat!("#define KEYFOB_VERSION \"", env!("CARGO_PKG_VERSION"), "\"")));
}

/// Compares the exported symbols with the functions of the header, in both directions.
#[test]
#[cfg(target_os = "linux")]
fn exported_symbols_are_those_of_the_header() {
    let header = fs::read_to_string(header::path()).expect("include/keyfob.h");
    let mut declared: Vec<_> = header
        .lines()
        .filter(|line| !line.starts_with("//") && !line.starts_with("typedef"))
        .filter_map(|line| line.split_once('(')?.0.split([' ', '*']).next_back())
        .filter(|name| name.starts_with("keyfob_"))
        .map(str::to_owned)
        .collect();
    declared.sort();
    assert_eq!(support::exports(&library().shared), declared);
    assert!(declared.len() > 30, "{declared:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn shared_library_has_its_soname() {
    let bytes = fs::read(&library().shared).expect("the library");
    let name = b"\0libkeyfob.so.0\0";
    assert!(bytes.windows(name.len()).any(|window| window == name));
}

#[test]
#[ignore = "needs a C++ compiler"]
fn programs_work_as_cpp() {
    all(Flavor::Cpp);
}

#[test]
#[ignore = "needs a compiler with sanitizers"]
fn programs_run_clean_with_sanitizers() {
    all(Flavor::Sanitized);
}

#[test]
#[ignore = "needs valgrind"]
fn programs_run_clean_under_valgrind() {
    all(Flavor::Valgrind);
}

#[test]
#[ignore = "needs a compiler with sanitizers"]
fn threads_have_no_data_race() {
    run_topic("threads", Flavor::Threads);
}

#[test]
#[ignore = "needs make and pkg-config"]
fn make_installs_and_uninstalls_the_library() {
    let folder = tempfile::tempdir().expect("a folder");
    let make = |target: &str| {
        let mut command = Command::new("make");
        command.args(["-C", env!("CARGO_MANIFEST_DIR"), target, "PREFIX=/opt/keyfob"]);
        command
            .arg(format!("DESTDIR={}", folder.path().display()))
            .env("CARGO_TARGET_DIR", support::target());
        succeeds(&mut command);
    };
    make("install");
    let root = folder.path().join("opt/keyfob");
    let pkg_config = |arguments: &[&str]| {
        let mut command = Command::new("pkg-config");
        command.args(arguments).arg("keyfob").env("PKG_CONFIG_PATH", root.join("lib/pkgconfig"));
        command.env("PKG_CONFIG_SYSROOT_DIR", folder.path());
        succeeds(&mut command).trim().to_owned()
    };
    assert_eq!(pkg_config(&["--modversion"]), env!("CARGO_PKG_VERSION"));
    assert_eq!(
        pkg_config(&["--libs", "--static"]).split_once("-lkeyfob ").expect("it").1,
        library().native.join(" ")
    );
    let sandbox = Sandbox::start();
    let program = folder.path().join("get");
    let flags = pkg_config(&["--cflags", "--libs"]);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/get.c");
    succeeds(Command::new("cc").arg(source).arg("-o").arg(&program).args(flags.split(' ')));
    let mut command = Command::new(&program);
    command.env_clear().envs(sandbox.env()).env("LD_LIBRARY_PATH", root.join("lib"));
    let output = succeeds(command.env("KEYFOB_STORE", folder.path().join("store")));
    assert!(output.contains("ce-wildfire-risk"), "{output}");
    // The installed archive works beside another static library of Rust code.
    let (beside, other) = (folder.path().join("beside"), other_library());
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/beside.c");
    let mut cc = Command::new("cc");
    cc.arg(source).arg("-o").arg(&beside).args(pkg_config(&["--cflags"]).split(' '));
    cc.arg(root.join("lib/libkeyfob.a")).arg(&other).args(&library().native);
    succeeds(&mut cc);
    let mut command = Command::new(&beside);
    command.env_clear().envs(sandbox.env()).env("OTHER_STORE", folder.path().join("store"));
    succeeds(command.env("HOME", folder.path()));
    fs::remove_file(other).expect("it is there");
    make("uninstall");
    let left = fs::read_dir(root.join("lib")).expect("the folder").count();
    assert_eq!(
        (left, root.join("include/keyfob.h").exists()),
        (2, false),
        "the folders pkgconfig and cmake stay"
    );
}
