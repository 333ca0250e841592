//! Bad input: what is said, the exit status, and that nothing was sent.
#![allow(clippy::disallowed_methods, reason = "tests of a real process run on the machine's clock")]

mod support;

use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpListener;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use keyfob_sandbox::{Endpoint, Fault};
use support::{INFO, Services, bare, ends_well, err, fails, out, piped};

#[test]
fn wrong_words_get_a_suggestion() {
    let services = Services::start();
    for (words, says) in [
        ("spatiafy token", "'spatiafi'"),
        ("spatiafi tokn", "'token'"),
        ("spatiafi token --formt json", "'--format'"),
        ("spatiafi token --format jsn", "'json'"),
        ("spatiafi token --timeout soon", "not a number of seconds"),
        ("spatiafi token --timeout 0", "more than 0"),
        ("spatiafi token --timeout -1", "unexpected argument"),
        ("spatiafi token --min-valid 1.5", "invalid digit"),
        ("spatiafi token --password hunter2", "unexpected argument"),
        ("spatiafi batch - --jobs 0", "1..=256"),
        ("spatiafi batch - --jobs 257", "1..=256"),
        ("spatiafi batch - --resume", "--output"),
        ("spatiafi post / --data a --json 1", "cannot be used with"),
        ("spatiafi get", "<PATH_OR_URL>"),
        ("spatiafi exec", "<CMD>"),
        ("spatiafi get / --format json", "--format is for"),
        ("spatiafi status --format header", "text and json"),
        ("spatiafi token --store=", "a value is required"),
        ("spacebring login --scope location", "is \"locations\" meant?"),
        ("spacebring login --scope nothing.like.it", "\"nothing.like.it\". There are: benefits.readonly"),
    ] {
        fails(&services.run(words), 2, says);
    }
    assert_eq!(services.requests(), 0);
    assert_eq!(bare(services.home.path()).output().unwrap().status.code(), Some(2), "no command at all");
}

#[test]
fn an_unknown_scope_can_be_asked_for_all_the_same() {
    let services = Services::start();
    let mut child =
        piped(&mut services.without(&[], "spacebring login --no-browser --scope new --allow-unknown-scope"));
    let url = support::url_of(&mut child);
    assert!(services.spacebring.approve(&url).contains("error=invalid_scope"));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn bad_variables() {
    let services = Services::start();
    for (name, value, words, status, says) in [
        (
            "SPATIAFI_CLIENT_ID",
            "",
            "spatiafi token",
            2,
            "SPATIAFI_CLIENT_SECRET is set, but SPATIAFI_CLIENT_ID is not",
        ),
        (
            "SPATIAFI_CLIENT_SECRET",
            "",
            "spatiafi token",
            2,
            "SPATIAFI_CLIENT_ID is set, but SPATIAFI_CLIENT_SECRET is not",
        ),
        ("SPATIAFI_CLIENT_SECRET", "a\nb", "spatiafi token", 2, "control character"),
        ("SPATIAFI_CLIENT_SECRET", "short", "spatiafi token", 2, "HS256 needs at least 32"),
        ("SPATIAFI_AUTH_URL", "http://example.com", "spatiafi token", 2, "https"),
        ("SPATIAFI_TOKEN_URL", "nonsense", "spatiafi token", 2, "token URL"),
        ("SPATIAFI_API_URL", "nonsense", "spatiafi get /", 2, "API"),
        ("SPACEBRING_CLIENT_ID", "", "spacebring get /", 3, "SPACEBRING_CLIENT_ID is not set"),
        ("SPACEBRING_CLIENT_SECRET", "", "spacebring login", 3, "SPACEBRING_CLIENT_SECRET is not set"),
        ("SPACEBRING_CLIENT_ID", "a:b", "spacebring get /", 2, "':'"),
        ("SPACEBRING_NETWORK_ID", "x", "spacebring get /", 2, "UUID"),
        ("SPACEBRING_AUTH", "bearer", "spacebring get /", 2, "basic or oauth2"),
        ("SPACEBRING_REDIRECT_URI", "nonsense", "spacebring login", 2, "redirect URI"),
        ("KEYFOB_PROXY", "socks5://127.0.0.1:1", "spatiafi token", 2, "proxy"),
        ("KEYFOB_CA_FILE", "/nowhere.pem", "spatiafi token", 2, "CA file"),
        ("KEYFOB_PROFILE", "a\nb", "spatiafi token", 2, "profile"),
    ] {
        fails(&services.without(&[], words).env(name, value).output().unwrap(), status, says);
    }
    assert_eq!(services.requests(), 0);
}

/// Everyone can read a command line. The variable may hold a password: `cli/tests/proxy.rs`.
#[test]
fn a_proxy_on_the_command_line_has_no_password() {
    let services = Services::start();
    for proxy in
        ["http://me:hunter2@127.0.0.1:1", "me:hunter2@127.0.0.1:1", "http://hunter2@127.0.0.1:1", "hunter2@"]
    {
        for words in ["spatiafi token", "spatiafi login", "spacebring get /", "spacebring status"] {
            let output = services.without(&[], words).args(["--proxy", proxy]).output().unwrap();
            fails(&output, 2, "set KEYFOB_PROXY");
            assert!(!err(&output).contains("hunter2"), "{}", err(&output));
        }
    }
    assert_eq!(services.requests(), 0);
}

#[test]
fn a_url_at_another_origin_is_refused_before_anything_is_sent() {
    let services = Services::start();
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let url = format!("http://{}/", elsewhere.local_addr().unwrap());
    for service in ["spatiafi", "spacebring"] {
        for method in ["get", "post", "put", "patch", "delete"] {
            let output = services.keyfob([service, method, &url]).output().unwrap();
            fails(&output, 2, "nothing was sent");
        }
    }
    fails(&services.run("spatiafi get api/info"), 2, "begins with '/'");
    fails(&services.keyfob(["spatiafi", "get", "/a b"]).output().unwrap(), 2, "percent-encode");
    assert!(elsewhere.accept().is_err());
    assert_eq!(services.requests(), 0);
}

#[test]
fn nobody_pastes_an_address_to_its_end() {
    let services = Services::start();
    let words = "spacebring login --no-browser --scope locations --timeout 0.3";
    for half in ["", "http://127.0.0.1:8765/callback?code=x&sta"] {
        let mut child = piped(&mut services.without(&[], words));
        let mut input = child.stdin.take().unwrap();
        input.write_all(half.as_bytes()).unwrap();
        // Open, and silent from now on.
        thread::spawn(|| {
            thread::sleep(Duration::from_secs(20));
            drop(input);
        });
        let started = Instant::now();
        fails(&child.wait_with_output().unwrap(), 5, "no address was pasted in time");
        assert!(started.elapsed() < Duration::from_secs(15));
    }
    assert_eq!(services.requests(), 0);
}

#[test]
fn pasted_bytes_that_cannot_be_an_address() {
    let services = Services::start();
    for (pasted, status, says) in [
        (&b"\xff\xfe\n"[..], 2, "no text"),
        (b"an address\n", 2, "no query ('?')"),
        (&b"?".repeat(70_000), 7, "could not read standard input: file too large"),
    ] {
        let mut child = piped(&mut services.without(&[], "spacebring login --no-browser --scope locations"));
        // It does not have to read all of it.
        let _ = child.stdin.take().unwrap().write_all(pasted);
        fails(&child.wait_with_output().unwrap(), status, says);
    }
    assert_eq!(services.requests(), 0);
}

#[test]
#[cfg(unix)]
fn what_comes_after_the_pasted_line_is_left_to_others() {
    let services = Services::start();
    let login = "keyfob spacebring login --no-browser --scope locations";
    let output = services.shell(&format!("printf 'an address\nthe rest\n' | {{ {login}; cat; }}"));
    assert_eq!(out(&output), "the rest\n", "{}", err(&output));
}

#[test]
fn bad_bodies_and_headers() {
    let services = Services::start();
    fails(
        &services.keyfob(["spatiafi", "post", "/", "--json", "{\"a\":}"]).output().unwrap(),
        2,
        "line 1, column 6",
    );
    fails(&services.run("spatiafi post / --json @nowhere.json"), 7, "could not read nowhere.json");
    fails(&services.run("spatiafi post / --data @/"), 7, "could not read /");
    for header in ["no colon", "Bad Name: x", "A: b\r\nC: d"] {
        fails(&services.keyfob(["spatiafi", "get", "/", "-H", header]).output().unwrap(), 2, "'Name: value'");
    }
    for header in [
        "Authorization: x",
        "host: x",
        "content-length: 3",
        "Transfer-Encoding: chunked",
        "connection: close",
        "Keep-Alive: timeout=5",
        "Proxy-Authorization: x",
        "Proxy-Connection: keep-alive",
        "TE: trailers",
        "Trailer: x",
        "Upgrade: h2c",
    ] {
        fails(&services.keyfob(["spatiafi", "get", "/", "-H", header]).output().unwrap(), 2, "leave it out");
    }
    let network = ["spacebring", "get", "/", "-H", "Spacebring-Network-Id: x"];
    fails(&services.keyfob(network).output().unwrap(), 2, "SPACEBRING_NETWORK_ID");
    assert_eq!(services.requests(), 0);
}

#[test]
fn logins_without_a_terminal_say_what_to_set() {
    let services = Services::start();
    let both = ["SPATIAFI_USERNAME", "SPATIAFI_PASSWORD"];
    let needs = |unset: &[&str]| services.without(unset, "spatiafi login").output().unwrap();
    fails(&needs(&both), 3, "set SPATIAFI_USERNAME and SPATIAFI_PASSWORD");
    fails(&needs(&both[..1]), 3, "password: set SPATIAFI_USERNAME\n");
    fails(&needs(&both[1..]), 3, "set SPATIAFI_PASSWORD (or SPATIAFI_PASSWORD_FILE, _FD or _CMD)\n");
    fails(&services.run("spacebring login"), 3, "--no-browser");
    assert_eq!(services.requests(), 0);
}

#[test]
fn what_the_server_refuses() {
    let services = Services::start();
    let (id, _) = services.spatiafi.add_client();
    let wrong = services.without(&[], "spatiafi token").env("SPATIAFI_CLIENT_ID", id).output().unwrap();
    fails(&wrong, 4, "invalid_client");
    let none = ["SPATIAFI_CLIENT_ID", "SPATIAFI_CLIENT_SECRET"];
    let mut login = services.without(&none, "spatiafi login");
    fails(&login.env("SPATIAFI_PASSWORD", "wrong").output().unwrap(), 4, "check the user name and password");
    services.spatiafi.fault(Endpoint::Token, Fault::broken_json());
    fails(&services.run("spatiafi token"), 4, "could not");
    ends_well(&services.log_in("--scope locations"));
    services.spacebring.revoke_tokens();
    fails(&services.run("spacebring token --min-valid 9999"), 3, "keyfob spacebring login");
}

#[test]
fn networks_that_fail() {
    let services = Services::start();
    let mut command = services.without(&[], "spatiafi token --timeout 1");
    // The system hands out no such port by itself: nobody listens there.
    fails(&command.env("SPATIAFI_AUTH_URL", "http://127.0.0.1:1").output().unwrap(), 5, "could not");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    fails(&command.env("SPATIAFI_AUTH_URL", format!("http://{address}")).output().unwrap(), 5, "1 s");
    services.spatiafi.fault(Endpoint::Token, Fault::status(429).with_retry_after("600").always());
    fails(&services.run("spatiafi token --timeout 1"), 6, "429");
}

#[test]
#[cfg(unix)]
fn stores_that_cannot_be_used() {
    use std::os::unix::fs::symlink;
    let services = Services::start();
    let file = services.file("file", "");
    fails(&services.keyfob(["spatiafi", "token", "--store"]).arg(&file).output().unwrap(), 7, "could not");
    let folder = services.path("folder");
    fs::create_dir(&folder).unwrap();
    symlink(&folder, services.path("link")).unwrap();
    fails(&services.run("spatiafi token --store link"), 7, "symbolic link");
    fails(&services.run("spatiafi status --store link").status_only(), 7, "symbolic link");
    let mut homeless = services.without(&[], "spatiafi token");
    fails(&homeless.env("HOME", "nowhere").output().unwrap(), 7, "there is no home folder");
    let none = ["SPATIAFI_CLIENT_ID", "SPATIAFI_CLIENT_SECRET"];
    let mut homeless = services.without(&none, "spatiafi token");
    fails(&homeless.env("HOME", "nowhere").output().unwrap(), 3, "there are no SpatiaFi credentials");
    assert_eq!(services.requests(), 0);
}

trait StatusOnly {
    fn status_only(self) -> Self;
}

impl StatusOnly for std::process::Output {
    /// `status` prints what it knows before it fails.
    fn status_only(mut self) -> Self {
        assert!(out(&self).contains("link"));
        self.stdout.clear();
        self
    }
}

#[test]
fn credentials_that_cannot_be_read() {
    let services = Services::start();
    let none = ["SPATIAFI_CLIENT_ID", "SPATIAFI_CLIENT_SECRET"];
    fs::create_dir_all(services.path(".config/spatiafi")).unwrap();
    services.file(".config/spatiafi/app_credentials.json", "{}");
    fails(&services.without(&none, "spatiafi token").output().unwrap(), 7, "app credentials");
    fails(&services.run("spatiafi batch nowhere.txt"), 7, "could not read nowhere.txt");
    fails(&services.run("spatiafi batch /"), 7, "could not read /");
    assert_eq!(services.requests(), 0);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_and_a_closed_standard_output() {
    let services = Services::start();
    let lines = services.file("lines", "/\n");
    for words in [
        "spatiafi token",
        "spatiafi status",
        "spatiafi get /",
        "completions bash",
        "spatiafi batch lines",
        "--help",
        "--version",
    ] {
        let full = File::create("/dev/full").unwrap();
        let output = services.without(&[], words).stdout(full).output().unwrap();
        fails(&output, 7, "could not write to standard output");
        let shell = format!("exec {} {words} >&-", env!("CARGO_BIN_EXE_keyfob"));
        let mut closed = std::process::Command::new("sh");
        closed.arg("-c").arg(shell).current_dir(services.home.path()).stdin(Stdio::null());
        let closed = closed.env("HOME", services.home.path());
        let output = closed
            .envs(services.spatiafi.env())
            .stdout(Stdio::inherit())
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        fails(&output, 7, "could not write to standard output");
        // Open for reading too, as daemons and scripts have it.
        let null = File::options().read(true).write(true).open("/dev/null").unwrap();
        let output = services.without(&[], words).stdout(null).output().unwrap();
        assert_ne!(output.status.code(), Some(7), "{words} to /dev/null");
    }
    drop(lines);
    let output = services.run("spatiafi batch lines --output /dev/full");
    fails(&output, 7, "could not write to /dev/full");
}

#[test]
fn a_broken_pipe_is_quiet() {
    let services = Services::start();
    services.file("lines", format!("{INFO}\n").repeat(2000));
    for words in ["spatiafi token", "completions bash", "spatiafi batch lines --jobs 2", "--help"] {
        let mut child = piped(&mut services.without(&[], words));
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), err(&output)), (Some(0), ""), "{words}");
    }
    assert!(services.spatiafi.count(Endpoint::Info) < 2000, "nobody reads it, so nothing more is asked");
}

/// What the library calls a method is an option here, or nothing at all.
#[test]
fn errors_name_options_and_no_methods() {
    let services = Services::start();
    let short =
        services.without(&[], "spatiafi token").env("SPATIAFI_CLIENT_SECRET", "short").output().unwrap();
    fails(&short, 2, "check that it is whole");
    assert!(!err(&short).contains("allow_short_key"), "{}", err(&short));
    let mut child = piped(&mut services.without(&[], "spacebring login --no-browser --scope locations"));
    let _ = support::url_of(&mut child);
    let callback = "http://127.0.0.1:8765/callback?code=x\n";
    child.stdin.take().unwrap().write_all(callback.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(err(&output).contains("use `--without-state`"), "{}", err(&output));
}
