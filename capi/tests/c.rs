//! The tests in C, as their users would build them: a C compiler, the header, and the library of the profile `capi`.
//!
//! Each program runs against a sandbox of its own, linked to the static library and to the shared one. The ignored tests
//! do the same as C++, under sanitizers and under valgrind: `make -C capi check ALL=1`.

mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use keyfob_sandbox::{Endpoint, Fault, Sandbox, SpacebringSandbox};
use support::servers::{Recorder, Tunnel};
use support::{Flavor, Program, header, library};

/// A program of `tests/c`, and how it is run.
type Topic = (&'static str, fn(&Program));

const TOPICS: [Topic; 10] = [
    ("abi", alone),
    ("input", alone),
    ("random", at_random),
    ("spatiafi", at_spatiafi),
    ("spacebring", at_spacebring),
    ("fork", slowly),
    ("sigpipe", at_a_server_that_hangs_up),
    ("threads", in_threads),
    ("settings", as_set),
    ("stack", over_tls),
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

/// `KEYFOB_RUNS` sets how often.
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
    // The program makes more calls at once than the service takes.
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

/// Answers, says that it will write no more, and resets: what is written to it from then on is an `EPIPE`.
fn at_a_server_that_hangs_up(program: &Program) {
    let sandbox = Sandbox::start();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            // The rest of the request is left unread, which makes the close a reset.
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
    // They live between one and two seconds, since the sandbox says when they end in whole seconds.
    assert!((2..=8).contains(&tokens), "{tokens}");
}

fn as_set(program: &Program) {
    let (sandbox, tunnel, recorder) = (Sandbox::start_tls(), Tunnel::start(), Recorder::start("{}"));
    let spacebring = SpacebringSandbox::beside(&sandbox);
    // Connections to it are made, but by the system alone.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let mut command = program.command();
    command.envs(sandbox.env()).envs(spacebring.env());
    command.env("SILENT", silent.local_addr().expect("it has an address").to_string());
    command.env("TUNNEL", tunnel.url()).env("RECORDER", recorder.url());
    program.passes(&mut command);
    assert_eq!(
        tunnel.asked(),
        [sandbox.auth_url(), sandbox.api_url()].map(|url| url.replace("https://", "CONNECT ") + " HTTP/1.1")
    );
    let named: Vec<_> =
        sandbox.requests().into_iter().filter(|r| r.header("user-agent") == Some("settings/1")).collect();
    assert_eq!(named.iter().map(|r| r.origin).collect::<Vec<_>>(), ["auth", "api"]);
    let lines: Vec<_> =
        recorder.requests().iter().map(|r| r.lines().next().unwrap_or_default().to_owned()).collect();
    assert_eq!(lines, ["POST /end?token=refresh HTTP/1.1", "POST /end?token=access HTTP/1.1"]);
}

fn over_tls(program: &Program) {
    let sandbox = Sandbox::start_tls();
    program.passes(program.command().envs(sandbox.env()));
}

#[test]
fn the_binary_interface() {
    topic("abi");
}

#[test]
fn bad_input() {
    topic("input");
}

#[test]
fn random_input() {
    topic("random");
}

#[test]
fn spatiafi() {
    topic("spatiafi");
}

#[test]
fn spacebring() {
    topic("spacebring");
}

#[test]
fn a_fork() {
    topic("fork");
}

#[test]
fn sigpipe() {
    topic("sigpipe");
}

#[test]
fn threads() {
    topic("threads");
}

#[test]
fn no_panic_crosses() {
    let sandbox = Sandbox::start();
    let program = Program::test("panic", Flavor::Panics);
    let output = program.passes(program.command().envs(sandbox.env()));
    assert!(output.contains("on purpose"), "it did panic: {output}");
}

#[test]
fn errors_carry_what_the_server_said() {
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
fn settings() {
    topic("settings");
}

#[test]
fn a_small_stack() {
    topic("stack");
}

#[test]
fn spatiafi_over_tls() {
    for flavor in [Flavor::Static, Flavor::Shared] {
        over_tls(&Program::test("spatiafi", flavor));
    }
}

#[test]
fn the_header_is_that_of_the_code() {
    let committed = fs::read_to_string(header::path()).expect("include/keyfob.h");
    assert!(committed == header::generate(), "run: cargo run -p keyfob-capi --example header");
}

#[test]
fn the_header_has_the_version_of_the_package() {
    let header = fs::read_to_string(header::path()).expect("include/keyfob.h");
    assert!(header.contains(concat!("#define KEYFOB_VERSION \"", env!("CARGO_PKG_VERSION"), "\"")));
}

/// All that is exported is in the header, and the other way round.
#[test]
#[cfg(target_os = "linux")]
fn only_keyfob_is_exported() {
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
fn the_shared_library_says_its_name() {
    let bytes = fs::read(&library().shared).expect("the library");
    let name = b"\0libkeyfob.so.0\0";
    assert!(bytes.windows(name.len()).any(|window| window == name));
}

#[test]
#[ignore = "needs a C++ compiler"]
fn as_cpp() {
    all(Flavor::Cpp);
}

#[test]
#[ignore = "needs a compiler with sanitizers"]
fn sanitized() {
    all(Flavor::Sanitized);
}

#[test]
#[ignore = "needs valgrind"]
fn valgrind() {
    all(Flavor::Valgrind);
}

#[test]
#[ignore = "needs a compiler with sanitizers"]
fn no_data_race() {
    run_topic("threads", Flavor::Threads);
}

#[test]
#[ignore = "needs make and pkg-config"]
fn installed_and_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let make = |target: &str| {
        let mut command = Command::new("make");
        command.args(["-C", env!("CARGO_MANIFEST_DIR"), target, "PREFIX=/opt/keyfob"]);
        command
            .arg(format!("DESTDIR={}", folder.path().display()))
            .env("CARGO_TARGET_DIR", support::target());
        support::succeeds(&mut command);
    };
    make("install");
    let root = folder.path().join("opt/keyfob");
    let pkg_config = |arguments: &[&str]| {
        let mut command = Command::new("pkg-config");
        command.args(arguments).arg("keyfob").env("PKG_CONFIG_PATH", root.join("lib/pkgconfig"));
        command.env("PKG_CONFIG_SYSROOT_DIR", folder.path());
        support::succeeds(&mut command).trim().to_owned()
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
    support::succeeds(Command::new("cc").arg(source).arg("-o").arg(&program).args(flags.split(' ')));
    let mut command = Command::new(&program);
    command.env_clear().envs(sandbox.env()).env("LD_LIBRARY_PATH", root.join("lib"));
    let output = support::succeeds(command.env("KEYFOB_STORE", folder.path().join("store")));
    assert!(output.contains("ce-wildfire-risk"), "{output}");
    make("uninstall");
    let left = fs::read_dir(root.join("lib")).expect("the folder").count();
    assert_eq!((left, root.join("include/keyfob.h").exists()), (1, false), "the folder pkgconfig stays");
}
