//! Bad input: the error text, the exit status, and that nothing was sent.
#![allow(clippy::disallowed_methods, reason = "tests of a real process run on the machine's clock")]

mod support;

use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use keyfob_sandbox::{Endpoint, Fault};
use support::{INFO, Services, bare, ends_well, err, fails, out, piped};

#[test]
fn unknown_words_get_a_suggestion() {
    let services = Services::start();
    for (words, says) in [
        ("spatiafy token", "'spatiafi'"),
        ("spatiafi tokn", "'token'"),
        ("spatiafy status", "'spatiafi'"),
        ("spatiafi sttus", "'status'"),
        ("sttus", "'status'"),
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
        ("spatiafi status --format header", "have text and json"),
        ("spatiafi token --store=", "a value is required"),
        ("spacebring login --scope location", "is \"locations\" meant?"),
        ("spacebring login --scope nothing.like.it", "\"nothing.like.it\". There are: benefits.readonly"),
    ] {
        let output = services.run(words);
        fails(&output, 2, says);
        // As every other error.
        assert!(err(&output).starts_with("keyfob: error: "), "{words}: {}", err(&output));
        assert_eq!(err(&output).matches("error: ").count(), 1, "{words}: {}", err(&output));
    }
    assert_eq!(services.requests(), 0);
    assert_eq!(bare(services.home.path()).output().unwrap().status.code(), Some(2), "no command at all");
}

#[test]
fn unknown_scope_can_still_be_requested() {
    let services = Services::start();
    let mut child =
        piped(&mut services.without(&[], "spacebring login --no-browser --scope new --allow-unknown-scope"));
    let url = support::url_of(&mut child);
    assert!(services.spacebring.approve(&url).contains("error=invalid_scope"));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn bad_variables_are_refused_by_name() {
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
fn proxy_password_on_the_command_line_is_refused() {
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
fn url_of_another_origin_is_refused_before_anything_is_sent() {
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
fn missing_pasted_address_is_an_error() {
    let services = Services::start();
    let words = "spacebring login --no-browser --scope locations --timeout 0.3";
    for half in ["", "http://127.0.0.1:8765/callback?code=x&sta"] {
        let mut child = piped(&mut services.without(&[], words));
        let mut input = child.stdin.take().unwrap();
        input.write_all(half.as_bytes()).unwrap();
        // The input is open, and silent from now on.
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

const PASTE: &str = "paste the whole address that the browser shows after the login";

/// The text that is pasted instead of this address.
type Wrong<'a> = Box<dyn Fn(&str) -> Vec<u8> + 'a>;

#[test]
fn wrong_pasted_address_is_asked_for_again() {
    let services = Services::start();
    let other = {
        let mut child = piped(&mut services.without(&[], "spacebring login --no-browser --scope locations"));
        let callback = services.spacebring.approve(&support::url_of(&mut child));
        child.kill().unwrap();
        child.wait().unwrap();
        callback
    };
    let at = format!("could not log in at {}: ", services.spacebring.api_url());
    let none = format!("{at}the callback has no `state`, so it may be cut or forged; {PASTE}");
    let wrong = format!("{at}the callback's `state` is not that of this login, or is cut; {PASTE}");
    let cut = |to: usize| move |url: &str| url.as_bytes()[..to.min(url.len())].to_vec();
    let half = "http://127.0.0.1:8765/callback?code=x";
    let cases: [(Wrong<'_>, i32, String); 12] = [
        (Box::new(|_| b"an address".to_vec()), 2, format!("the callback URL has no query ('?'); {PASTE}")),
        (Box::new(cut(20)), 2, format!("the callback URL has no query ('?'); {PASTE}")),
        (Box::new(|_| half.into()), 4, none.clone()),
        (Box::new(|_| format!("\"{half}&sta\"\r").into()), 4, none),
        (Box::new(|url| url.as_bytes()[..url.len() - 9].to_vec()), 4, wrong.clone()),
        (Box::new(move |_| other.clone().into()), 4, wrong),
        (Box::new(|_| b"".to_vec()), 0, format!("nothing was pasted: {PASTE}")),
        (Box::new(|_| b" \t \r".to_vec()), 0, format!("nothing was pasted: {PASTE}")),
        (Box::new(|_| b"\xff\xfe".to_vec()), 2, format!("the pasted text is not UTF-8: {PASTE}")),
        (
            Box::new(|_| b"http://h/?code=\xe4&state=x".to_vec()),
            2,
            format!("the pasted text is not UTF-8: {PASTE}"),
        ),
        (
            Box::new(|_| b"?code=a\x01b".to_vec()),
            2,
            "the callback URL holds a control character at byte 7: remove it".to_owned(),
        ),
        (
            Box::new(|_| b"?".repeat(70_000)),
            2,
            format!("more than 64 KiB were typed or pasted at once: {PASTE}"),
        ),
    ];
    for (wrong, status, says) in &cases {
        let mut child = piped(&mut services.without(&[], "spacebring login --no-browser --scope locations"));
        let callback = services.spacebring.approve(&support::url_of(&mut child));
        let mut input = child.stdin.take().unwrap();
        input.write_all(&[&wrong(&callback), &b"\n"[..], callback.as_bytes(), b"\n"].concat()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(
            err(&output).contains(&format!("\nkeyfob: {says}\n")),
            "{says:?} is not in: {}",
            err(&output)
        );
        ends_well(&output);
        assert!(
            !err(&output).contains("--without"),
            "a cut address is no reason for a switch: {}",
            err(&output)
        );

        // The input ends instead.
        let mut command =
            services.without(&[], "spacebring login --no-browser --scope locations --timeout 1");
        let mut child = piped(command.env("SPACEBRING_REDIRECT_URI", "http://127.0.0.1:0/callback"));
        let callback = services.spacebring.approve(&support::url_of(&mut child));
        child.stdin.take().unwrap().write_all(&[&wrong(&callback), &b"\n"[..]].concat()).unwrap();
        let output = child.wait_with_output().unwrap();
        let status = if *status == 0 { 3 } else { *status };
        fails(&output, status, "error: standard input ended before the address of this login came");
    }
}

/// A login without `--timeout` would wait for 5 minutes.
#[test]
fn end_of_the_input_ends_the_wait_for_a_pasted_address() {
    let services = Services::start();
    for pasted in ["", "\n", " \n\n"] {
        let mut child = piped(&mut services.without(&[], "spacebring login --no-browser --scope locations"));
        child.stdin.take().unwrap().write_all(pasted.as_bytes()).unwrap();
        let started = Instant::now();
        let output = child.wait_with_output().unwrap();
        fails(&output, 3, "error: standard input ended before the address of this login came: log in again");
        assert!(started.elapsed() < Duration::from_secs(120));
    }
}

#[test]
fn pasted_address_is_accepted_with_surrounding_text() {
    let services = Services::start();
    let long = format!("&more={}", "x".repeat(60_000));
    let split = |url: &str, with: &str| {
        let (at, then) = (url.len() / 2, url.len() - 7);
        format!("{}{with}{}{with}{}", &url[..at], &url[at..then], &url[then..])
    };
    let as_pasted: [&dyn Fn(&str) -> String; 10] = [
        &|url| format!("{url}\r\n"),
        &|url| format!("   {url}\t \n"),
        &|url| format!("<{url}>\n"),
        &|url| format!("\"{url}\"\n"),
        &|url| format!("> '{url}'\n"),
        &|url| url.to_owned(),
        &|url| format!("{url}{long}\n"),
        &|url| format!("\u{1b}[200~{url}\u{1b}[201~\n"),
        &|url| split(url, "\n") + "\n",
        &|url| split(url, "\r\n\r\n> ") + "\r\n",
    ];
    for (number, pasted) in as_pasted.iter().enumerate() {
        let mut child = piped(&mut services.without(&[], "spacebring login --no-browser --scope locations"));
        let callback = services.spacebring.approve(&support::url_of(&mut child));
        child.stdin.take().unwrap().write_all(pasted(&callback).as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{number}: {}", err(&output));
    }
    assert_eq!(services.spacebring.logins(), as_pasted.len() as u64);
}

#[test]
#[cfg(unix)]
fn input_after_the_pasted_line_is_not_read() {
    let services = Services::start();
    let mut keyfob = services.without(&[], "spacebring login --no-browser --scope locations");
    let (ours, mut theirs) = std::io::pipe().unwrap();
    let mut child = keyfob.stdin(ours.try_clone().unwrap()).stderr(Stdio::piped()).spawn().unwrap();
    let callback = services.spacebring.approve(&support::url_of(&mut child));
    theirs.write_all(format!("{callback}\nthe rest\n").as_bytes()).unwrap();
    drop(theirs);
    assert!(child.wait().unwrap().success());
    assert_eq!(std::io::read_to_string(ours).unwrap(), "the rest\n");
}

#[test]
fn bad_bodies_and_headers_are_refused() {
    let services = Services::start();
    fails(
        &services.keyfob(["spatiafi", "post", "/", "--json", "{\"a\":}"]).output().unwrap(),
        2,
        "line 1, column 6",
    );
    fails(&services.run("spatiafi post / --json @nowhere.json"), 7, "could not read nowhere.json");
    #[cfg(unix)]
    fails(
        &services.run("spatiafi post / --json @/dev/zero"),
        2,
        "the body of --json is longer than 64 MiB: nothing was sent; send it unchecked, with --data",
    );
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

/// A JSON body is sent without the mark, which JSON may not have on the network (RFC 8259 8.1). Any other body is sent unchanged.
#[test]
fn byte_order_mark_before_a_json_body_is_not_sent() {
    use std::io::Read as _;
    let services = Services::start();
    for (option, content, sent) in [
        ("--json", "\u{feff}{\"a\":1}", "{\"a\":1}"),
        ("--json", "\u{feff}\r\n[1]\r\n", "\r\n[1]\r\n"),
        ("--json", "\u{feff}\u{feff}{}", "{}"),
        ("--json", "{\"a\":\"\u{feff}\"}", "{\"a\":\"\u{feff}\"}"),
        ("--data", "\u{feff}a=1", "\u{feff}a=1"),
    ] {
        services.file("body", content);
        for given in ["@body", "@-", content] {
            let api = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}", api.local_addr().unwrap());
            let came = thread::spawn(move || {
                let mut peer = api.accept().unwrap().0;
                let mut came = Vec::new();
                let mut chunk = [0; 4096];
                // In one chunk or of known length.
                while !String::from_utf8_lossy(&came).ends_with(sent)
                    && !String::from_utf8_lossy(&came).ends_with("\r\n0\r\n\r\n")
                {
                    let n = peer.read(&mut chunk).unwrap();
                    assert!(n > 0, "{}", String::from_utf8_lossy(&came));
                    came.extend_from_slice(&chunk[..n]);
                }
                peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
                String::from_utf8(came).unwrap()
            });
            let mut command = services.keyfob(["spatiafi", "post", "/x", option, given]);
            let input = File::open(services.path("body")).unwrap();
            ends_well(&command.env("SPATIAFI_API_URL", &url).stdin(input).output().unwrap());
            let came = came.join().unwrap();
            let (_, body) = came.split_once("\r\n\r\n").unwrap();
            let body = body
                .split_once("\r\n")
                .filter(|_| body.ends_with("\r\n0\r\n\r\n"))
                .map_or(body, |(_, rest)| rest.strip_suffix("\r\n0\r\n\r\n").unwrap());
            assert_eq!(body, sent, "{option} {given}");
        }
    }
    for (content, name) in [
        (&b"\xff\xfe{\0}\0"[..], "UTF-16"),
        (b"\xfe\xff\0{\0}", "UTF-16"),
        (b"\xff\xfe\0\0{\0\0\0}\0\0\0", "UTF-32"),
        (b"{\0}\0", "UTF-16"),
        (b"\0[\0]", "UTF-16"),
        (b"\0\0\0{\0\0\0}", "UTF-32"),
    ] {
        services.file("body", content);
        let by_mark = if content.contains(&0xff) { ", by its byte order mark" } else { "" };
        let says = format!("the body of --json is {name} text{by_mark}: save it as UTF-8; nothing was sent");
        fails(&services.run("spatiafi post /x --json @body"), 2, &says);
    }
}

#[test]
fn byte_order_mark_in_a_variable_or_argument_is_named() {
    let services = Services::start();
    for (name, words) in [
        ("SPATIAFI_CLIENT_ID", "spatiafi token"),
        ("SPATIAFI_CLIENT_SECRET", "spatiafi token"),
        ("SPATIAFI_TOKEN_URL", "spatiafi token"),
        ("SPATIAFI_API_URL", "spatiafi get /"),
        ("SPATIAFI_USERNAME", "spatiafi login"),
        ("SPATIAFI_PASSWORD", "spatiafi login"),
        ("SPATIAFI_PASSWORD_FILE", "spatiafi login"),
        ("SPACEBRING_CLIENT_SECRET", "spacebring get /"),
        ("SPACEBRING_NETWORK_ID", "spacebring get /"),
        ("SPACEBRING_AUTH", "spacebring get /"),
        ("KEYFOB_PROXY", "spatiafi token"),
        ("KEYFOB_PROFILE", "spatiafi token"),
        ("KEYFOB_STORE", "spatiafi token"),
        ("KEYFOB_CA_FILE", "spatiafi token"),
    ] {
        let value = format!("\u{feff}{}", "value-of-32-bytes-or-more-as-usual");
        let output = services.without(&[], words).env(name, value).output().unwrap();
        let says = format!(
            "the environment variable {name} begins with a byte order mark (U+FEFF), which cannot be seen"
        );
        fails(&output, 2, &says);
    }
    fails(
        &services.keyfob(["spatiafi", "get", "\u{feff}/x"]).output().unwrap(),
        2,
        "byte order mark (U+FEFF)",
    );
    assert_eq!(services.requests(), 0);
}

#[test]
#[cfg(unix)]
fn user_name_or_secret_that_is_not_utf_8_has_an_error_of_its_own() {
    use std::os::unix::ffi::OsStrExt as _;
    let services = Services::start();
    let file = services.file("latin-1", b"p\xe4ssword\n");
    services.file("spatiafi_password", b"p\xe4ssword");
    let shown = file.display();
    let latin_1 = std::ffi::OsStr::from_bytes(b"J\xfcrgen");
    let cases: [(&str, &std::ffi::OsStr, String); 6] = [
        ("SPATIAFI_USERNAME", latin_1, "the environment variable SPATIAFI_USERNAME is not UTF-8".to_owned()),
        ("SPATIAFI_PASSWORD", latin_1, "the environment variable SPATIAFI_PASSWORD is not UTF-8".to_owned()),
        (
            "SPATIAFI_PASSWORD_FILE",
            file.as_os_str(),
            format!("the secret from SPATIAFI_PASSWORD_FILE ({shown}) is not UTF-8: save it as UTF-8"),
        ),
        (
            "SPATIAFI_PASSWORD_CMD",
            "printf 'p\\344ssword'".as_ref(),
            "the secret from SPATIAFI_PASSWORD_CMD is not UTF-8: save it as UTF-8".to_owned(),
        ),
        (
            "CREDENTIALS_DIRECTORY",
            services.home.path().as_os_str(),
            format!(
                "the secret from $CREDENTIALS_DIRECTORY/spatiafi_password ({}) is not UTF-8: save it as UTF-8",
                services.path("spatiafi_password").display()
            ),
        ),
        (
            "SPATIAFI_PASSWORD_FD",
            "0".as_ref(),
            "the secret from SPATIAFI_PASSWORD_FD (0) is not UTF-8: save it as UTF-8".to_owned(),
        ),
    ];
    for (name, value, says) in cases {
        let unset: &[&str] = if name == "SPATIAFI_USERNAME" { &[] } else { &["SPATIAFI_PASSWORD"] };
        let mut command = services.without(unset, "spatiafi login");
        let output = command.env(name, value).stdin(File::open(&file).unwrap()).output().unwrap();
        fails(&output, 2, &format!("error: {says}\n"));
    }
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
fn refusals_of_the_server_exit_with_their_status() {
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
fn network_failures_exit_with_their_status() {
    let services = Services::start();
    let mut command = services.without(&[], "spatiafi token --timeout 1");
    // The system never gives out such a port by itself, so no server listens there.
    fails(&command.env("SPATIAFI_AUTH_URL", "http://127.0.0.1:1").output().unwrap(), 5, "could not");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    fails(
        &command.env("SPATIAFI_AUTH_URL", format!("http://{address}")).output().unwrap(),
        5,
        "no complete answer within",
    );
    services.spatiafi.fault(Endpoint::Token, Fault::status(429).with_retry_after("600").always());
    fails(&services.run("spatiafi token --timeout 1"), 6, "429");
}

#[test]
#[cfg(unix)]
fn unusable_stores_are_errors() {
    use std::os::unix::fs::symlink;
    let services = Services::start();
    let file = services.file("file", "");
    fails(&services.keyfob(["spatiafi", "token", "--store"]).arg(&file).output().unwrap(), 7, "could not");
    let folder = services.path("folder");
    fs::create_dir(&folder).unwrap();
    symlink(&folder, services.path("link")).unwrap();
    fails(&services.run("spatiafi token --store link"), 7, "symbolic link");
    fails(&services.run("spatiafi status --store link").status_only(), 7, "symbolic link");
    let none = ["SPATIAFI_CLIENT_ID", "SPATIAFI_CLIENT_SECRET"];
    let mut homeless = services.without(&none, "spatiafi token");
    fails(&homeless.env("HOME", "nowhere").output().unwrap(), 3, "there are no SpatiaFi credentials");
    assert_eq!(services.requests(), 0);
}

/// Runs commands that need no store, and one that does, with a default store that cannot be used.
#[cfg(target_os = "linux")]
fn one_warning_is_printed(services: &Services, case: &str, why: &str, command: impl Fn(&str) -> Command) {
    let warning = format!("keyfob: warning: the token could not be kept for the next run: {why}\n");
    for words in ["spatiafi token", &format!("spatiafi get {INFO}"), "spatiafi exec true"] {
        let output = command(words).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{case} {words}: {}", err(&output));
        assert_eq!(err(&output), warning, "{case} {words}");
    }
    let lines = services.path("lines");
    let batch = command(&format!("spatiafi batch {}", lines.display())).output().unwrap();
    assert_eq!(batch.status.code(), Some(0), "{case}: {}", err(&batch));
    assert_eq!(err(&batch).matches("warning: ").count(), 1, "{case}: {}", err(&batch));
    // A command that needs a store says why there is none, before anything is sent.
    let before = services.spacebring.total();
    let login = command("spacebring login --no-browser").output().unwrap();
    assert_eq!(login.status.code(), Some(7), "{case}: {}", err(&login));
    assert!(err(&login).contains("could not use") || err(&login).contains(why), "{case}: {}", err(&login));
    assert_eq!(services.spacebring.total(), before);
}

/// No store is named, and there is no place for one: not even root can write to `/proc` or below a file.
#[test]
#[cfg(target_os = "linux")]
fn without_a_place_for_a_store_one_warning_is_printed() {
    let services = Services::start();
    services.file("lines", format!("{INFO}\n{INFO}\n"));
    let places: [(&str, &str, &str); 6] = [
        ("HOME", "nowhere", "there is no home folder to keep tokens in: set KEYFOB_STORE or HOME"),
        ("HOME", "/proc", "could not use /proc/.local/state/keyfob: there is no such file or folder"),
        (
            "HOME",
            "/proc/nowhere",
            "could not use /proc/nowhere/.local/state/keyfob: there is no such file or folder",
        ),
        ("HOME", "/dev/null", "could not read /dev/null/.local/state/keyfob: not a directory"),
        ("XDG_STATE_HOME", "/proc/self", "could not use /proc/self/keyfob: there is no such file or folder"),
        ("XDG_STATE_HOME", "/dev/null", "could not read /dev/null/keyfob: not a directory"),
    ];
    for (variable, place, why) in places {
        one_warning_is_printed(&services, &format!("{variable}={place}"), why, |words| {
            let mut command = services.without(&[], words);
            command.env(variable, place);
            command
        });
    }
    // Another kind of file in place of the default folder.
    for (name, make) in [("file", "touch"), ("pipe", "mkfifo")] {
        let home = services.path(name);
        fs::create_dir_all(home.join(".local/state")).unwrap();
        let folder = home.join(".local/state/keyfob");
        assert!(Command::new(make).arg(&folder).status().unwrap().success());
        let why = format!("could not read {}: not a directory", folder.display());
        one_warning_is_printed(&services, name, &why, |words| {
            let mut command = services.without(&[], words);
            command.env("HOME", &home);
            command
        });
    }
    // A store that is named must work.
    let asked = services.spatiafi.total();
    for place in ["/proc/nowhere", "/dev/null/store"] {
        let mut named = services.without(&[], "spatiafi token");
        fails(&named.env("KEYFOB_STORE", place).output().unwrap(), 7, "could not ");
        fails(&services.keyfob(["spatiafi", "token", "--store", place]).output().unwrap(), 7, "could not ");
    }
    assert_eq!(services.spatiafi.total(), asked);
}

/// As for a job of a user without a home folder.
#[test]
#[cfg(target_os = "linux")]
fn home_of_an_ordinary_user_that_is_the_root_folder_causes_one_warning() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    use std::os::unix::process::CommandExt as _;
    let services = Services::start();
    let lines = services.file("lines", format!("{INFO}\n{INFO}\n"));
    let binary = services.path("keyfob");
    // Another process writes it: a child that a test starts meanwhile would inherit the open file, and nobody could run it.
    let mut copy = Command::new("install");
    ends_well(&copy.args(["-m", "755", env!("CARGO_BIN_EXE_keyfob")]).arg(&binary).output().unwrap());
    // Root may write anywhere.
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if is_root {
        for path in [services.home.path(), &lines] {
            chown(path, Some(65534), Some(65534)).unwrap();
        }
    }
    let why = "could not use /.local/state/keyfob: permission denied; set the store (KEYFOB_STORE) to a folder that can be written";
    one_warning_is_printed(&services, "HOME=/", why, |words| {
        let mut command = Command::new(&binary);
        command.args(words.split_whitespace()).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.envs(services.spatiafi.env()).envs(services.spacebring.env()).env("HOME", "/");
        command.current_dir(services.home.path()).stdin(Stdio::null());
        if is_root {
            command.uid(65534).gid(65534);
        }
        command
    });
}

#[test]
#[ignore = "needs root"]
#[cfg(target_os = "linux")]
fn home_on_a_read_only_file_system_causes_one_warning() {
    let services = Services::start();
    services.file("lines", format!("{INFO}\n{INFO}\n"));
    let home = services.path("read-only");
    fs::create_dir(&home).unwrap();
    let why = format!(
        "could not use {}/.local/state/keyfob: read-only filesystem or storage medium; set the store (KEYFOB_STORE) to a folder that can be written",
        home.display()
    );
    one_warning_is_printed(&services, "read-only", &why, |words| {
        let plain = services.without(&[], words);
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", "mount -t tmpfs -o ro none \"$HOME\" && exec \"$0\" \"$@\""]);
        command.arg(plain.get_program()).args(plain.get_args()).env_clear();
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("HOME", &home);
        command.current_dir(services.home.path()).stdin(Stdio::null());
        command
    });
}

#[test]
fn url_is_refused_as_a_store_folder() {
    let services = Services::start();
    for url in [
        "rediss://user:pl4nted@host",
        "REDIS://:pl4nted@host:6379/0",
        "redis+unix:///run/pl4nted.sock",
        "redis:pl4nted",
        "jdbc:mysql://pl4nted/",
        "user:pl4nted@host:6379/0",
        "sqlite:pl4nted.db",
        "http://user:pl4nted@host/",
        "file:///pl4nted",
    ] {
        let scheme = url.split(':').next().unwrap().to_lowercase();
        let what = format!(
            "is a URL ({scheme}:…), but tokens are kept in a folder: name one, as in /var/lib/my-job\n"
        );
        for words in ["spatiafi token", "spatiafi status", "spatiafi logout", "spacebring login --no-browser"]
        {
            let mut by_variable = services.without(&[], words);
            let by_variable = by_variable.env("KEYFOB_STORE", url).output().unwrap();
            let mut by_option = services.without(&[], words);
            let by_option = by_option.arg("--store").arg(url).output().unwrap();
            for (output, name) in [(by_variable, "KEYFOB_STORE"), (by_option, "--store")] {
                assert_eq!(output.status.code(), Some(2), "{words} {url}: {}", err(&output));
                assert!(err(&output).ends_with(&format!("{name} {what}")), "{words} {url}: {}", err(&output));
                assert!(!out(&output).contains("pl4nted"), "{}", out(&output));
            }
        }
    }
    let names: Vec<_> = fs::read_dir(services.home.path()).unwrap().collect();
    assert!(names.is_empty(), "{names:?}");
    assert_eq!(services.requests(), 0);
}

/// A file that may not grow any more is an error, and does not end the program in the middle of its work.
#[test]
#[cfg(unix)]
fn exceeding_the_file_size_limit_is_an_error() {
    let services = Services::start();
    ends_well(&services.log_in("--scope locations"));
    let line = "/api/info?item_id=ce-wildfire-risk-static-us-and-canada-v3.0\n";
    services.file("lines", line.repeat(50));
    let (tokens, clients) =
        (services.spacebring.count(Endpoint::Token), services.spatiafi.count(Endpoint::Clients));
    for (line, says) in [
        (
            "SPACEBRING_AUTH=oauth2 keyfob spacebring token --min-valid 100000",
            "so the server was not asked for any: file too large; raise the limit",
        ),
        (
            "unset SPATIAFI_CLIENT_ID SPATIAFI_CLIENT_SECRET; keyfob spatiafi login",
            "so nothing was asked of the server: file too large",
        ),
        ("keyfob spatiafi batch lines --output answers", "could not write to answers: file too large"),
        ("keyfob spatiafi batch lines > answers-too", "could not write to standard output: file too large"),
        (
            "for i in 1 2 3 4 5 6 7 8; do keyfob spatiafi get /api/info?item_id=ce-wildfire-risk-static-us-and-canada-v3.0 || exit; done > answer",
            "could not write to standard output: file too large",
        ),
    ] {
        // 1 KiB, or half of it.
        let output = services.shell(&format!("ulimit -f 1; {line}"));
        fails(&output, 7, says);
    }
    assert_eq!(services.spacebring.count(Endpoint::Token), tokens, "nothing was asked that could be lost");
    assert_eq!(services.spatiafi.count(Endpoint::Clients), clients);
    // Children have the default, and a signal that was ignored stays ignored.
    for (line, status) in [
        ("keyfob spatiafi exec -- sh -c 'kill -XFSZ $$'", 128 + 25),
        ("trap '' XFSZ; keyfob spatiafi exec -- sh -c 'kill -XFSZ $$'", 0),
    ] {
        let output = services.shell(line);
        assert_eq!(output.status.code(), Some(status), "{line}: {}", err(&output));
    }
    let given = services.shell(
        "unset SPATIAFI_CLIENT_SECRET; SPATIAFI_CLIENT_SECRET_CMD='kill -XFSZ $$; echo no' keyfob spatiafi token \
         --min-valid 100000",
    );
    fails(&given, 3, "it ended with signal: 25 (SIGXFSZ)");
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
fn unreadable_credentials_are_errors() {
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
fn full_disk_and_closed_standard_output_are_errors() {
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
        let mut closed = Command::new("sh");
        closed.arg("-c").arg(shell).current_dir(services.home.path()).stdin(Stdio::null());
        let closed = closed.env("HOME", services.home.path());
        let output = closed
            .envs(services.spatiafi.env())
            .stdout(Stdio::inherit())
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        fails(&output, 7, "could not write to standard output");
        // The output is open for reading too, as in daemons and scripts.
        let null = File::options().read(true).write(true).open("/dev/null").unwrap();
        let output = services.without(&[], words).stdout(null).output().unwrap();
        assert_ne!(output.status.code(), Some(7), "{words} to /dev/null");
    }
    drop(lines);
    let output = services.run("spatiafi batch lines --output /dev/full");
    fails(&output, 7, "could not write to /dev/full");
}

#[test]
fn broken_pipe_prints_no_error() {
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

/// Where the library's text names a method, that of the command names an option, or nothing.
#[test]
fn errors_name_options_and_no_methods() {
    let services = Services::start();
    let short =
        services.without(&[], "spatiafi token").env("SPATIAFI_CLIENT_SECRET", "short").output().unwrap();
    fails(&short, 2, "check that it is complete");
    assert!(!err(&short).contains("allow_short_key"), "{}", err(&short));
    let mut command = services.without(&[], "spacebring login --no-browser --scope locations --timeout 1");
    command.env("SPACEBRING_REDIRECT_URI", "http://127.0.0.1:0/callback");
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let callback = services.spacebring.approve(&support::url_of(&mut child));
    let without_state = callback.split_once("&state=").unwrap().0;
    let page = keyfob::ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    page.get(without_state).call().unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(err(&output).contains("use `--without-state`"), "{}", err(&output));
}

/// Characters that a terminal does not show as text: control characters, line separators, bidirectional controls, and characters without a shape.
const UNFIT: [char; 12] = [
    '\u{1b}', '\u{7f}', '\u{80}', '\u{9b}', '\u{2028}', '\u{2029}', '\u{61c}', '\u{200f}', '\u{202e}',
    '\u{2066}', '\u{200b}', '\u{feff}',
];

/// Checks that all output is text, in lines.
#[track_caller]
fn is_printable(output: &std::process::Output, what: &str) -> String {
    let all = format!("{}{}", out(output), err(output));
    let bad = all.chars().find(|c| UNFIT.contains(c) || c.is_control() && *c != '\n');
    assert_eq!(bad, None, "{what}: {all:?}");
    all
}

#[test]
fn no_text_reaches_the_terminal_as_control_sequences() {
    let services = Services::start();
    ends_well(&services.run("spatiafi token"));
    ends_well(&services.log_in(""));
    fs::create_dir_all(services.path("xdg/spatiafi")).unwrap();
    for c in UNFIT {
        let (code, odd) = (u32::from(c), format!("od{c}[31md"));
        // The character becomes a space or is left out.
        let shown = keyfob::one_line(&odd);
        let words = |words: &str| services.without(&[], words);
        let with = |name: &str, given: &str| {
            let mut command = words(given);
            command.env(name, &odd);
            command
        };
        let json = services.file(
            "xdg/spatiafi/app_credentials.json",
            format!(r#"{{"client_id":"od\u{code:04x}[31md","client_secret":"{}"}}"#, "s".repeat(32)),
        );
        let from_file = |given: &str| {
            let mut command = services.without(&["SPATIAFI_CLIENT_ID", "SPATIAFI_CLIENT_SECRET"], given);
            command.env("XDG_CONFIG_HOME", json.parent().unwrap().parent().unwrap());
            command
        };
        for (what, mut command) in [
            ("client id", with("SPATIAFI_CLIENT_ID", "spatiafi status")),
            ("client id as JSON", with("SPATIAFI_CLIENT_ID", "spatiafi status --format json")),
            ("client id in a token", with("SPATIAFI_CLIENT_ID", "spatiafi token")),
            ("client id in logout", with("SPATIAFI_CLIENT_ID", "spatiafi logout")),
            ("profile", with("KEYFOB_PROFILE", "spacebring status")),
            ("profile as JSON", with("KEYFOB_PROFILE", "spacebring status --format json")),
            ("API URL", with("SPATIAFI_API_URL", "spatiafi status")),
            ("token URL", with("SPACEBRING_TOKEN_URL", "spacebring status --format json")),
            ("network", with("SPACEBRING_NETWORK_ID", "spacebring get /locations/v1")),
            ("store", with("KEYFOB_STORE", "spatiafi status")),
            ("store as JSON", with("KEYFOB_STORE", "spatiafi status --format json")),
            ("secret's file", with("SPATIAFI_PASSWORD_FILE", "spatiafi status")),
            ("CA file", with("KEYFOB_CA_FILE", "spatiafi token")),
            ("user name", with("SPATIAFI_USERNAME", "spatiafi login")),
            ("file's client id", from_file("spatiafi status")),
            ("file's client id as JSON", from_file("spatiafi status --format json")),
            ("file's client id in a token", from_file("spatiafi token")),
            ("file's client id in logout", from_file("spatiafi logout")),
            ("command", services.keyfob(["spatiafi", &odd])),
            ("option", services.keyfob(["spatiafi", "token", &format!("--{odd}")])),
            ("option in a tip", services.keyfob(["spatiafi", "get", &format!("--{odd}")])),
            ("option's value", services.keyfob(["spatiafi", "token", "--format", &odd])),
            ("scope", services.keyfob(["spacebring", "login", "--scope", &odd])),
            ("path", services.keyfob(["spatiafi", "get", &odd])),
            ("batch's file", services.keyfob(["spatiafi", "batch", &odd])),
            ("program", services.keyfob(["spatiafi", "exec", "--", &odd])),
        ] {
            let output = command.output().unwrap();
            let all = is_printable(&output, &format!("U+{code:04X}, {what}"));
            assert!(!all.is_empty(), "{what}");
            if what.ends_with("JSON") {
                let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
                let value = match what {
                    "client id as JSON" => &status["client_id"],
                    "profile as JSON" => &status["profile"],
                    "store as JSON" => &status["store"]["path"],
                    _ => continue,
                };
                // A store is shown with its whole path.
                let value = value.as_str().map(|text| text.rsplit('/').next().unwrap());
                assert_eq!(value, Some(&*odd), "{what}: it is what it was");
            } else if ["client id", "profile", "program"].contains(&what) {
                assert!(all.contains(&shown), "{what}: {all}");
            }
        }
        // A server's words, in each of the fields that are shown.
        for field in ["error_description", "detail", "message"] {
            let said = format!(r#"{{"error":"invalid_client","{field}":"od\u{code:04x}[31md"}}"#);
            services.spatiafi.fault(Endpoint::Token, Fault::raw(400, "application/json", said));
            let output = words("spatiafi token --min-valid 100000").output().unwrap();
            let all = is_printable(&output, field);
            assert!(all.contains(&format!("invalid_client: {shown}; check")), "{field}: {all}");
        }
        // A client id in the answer that makes app credentials.
        let made = format!(r#"{{"client_id":"od\u{code:04x}[31md","client_secret":"{}"}}"#, "s".repeat(32));
        services.spatiafi.fault(Endpoint::Clients, Fault::raw(201, "application/json", made));
        fs::remove_file(&json).unwrap();
        for given in ["spatiafi login", "spatiafi status", "spatiafi logout"] {
            let output = from_file(given).output().unwrap();
            let all = is_printable(&output, &format!("U+{code:04X}, {given}"));
            // A character without a shape is allowed, and left out where it is shown.
            let status = if given.ends_with("login") && c != '\u{200b}' { 4 } else { 0 };
            assert_eq!(output.status.code(), Some(status), "{given}: {all}");
        }
    }
}

#[test]
fn scope_of_an_edited_record_is_shown_only_if_valid() {
    let services = Services::start();
    ends_well(&services.log_in("--scope locations.readonly"));
    let status = || services.run("spacebring status");
    assert!(out(&status()).contains("locations.readonly"));
    let folder = services.path(".local/state/keyfob");
    let record = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let record = record.into_iter().find(|path| path.extension().is_some_and(|end| end == "json")).unwrap();
    let before = fs::read_to_string(&record).unwrap();
    for escape in [r"\u001b[31m", r"\u009b31m", r"\u202e", r"\u2028", r"\u200b", r"\u007f"] {
        fs::write(&record, before.replace("locations.readonly", &format!("locations{escape}.readonly")))
            .unwrap();
        let output = status();
        let all = is_printable(&output, escape);
        assert!(all.contains("valid for") && !all.contains("locations"), "{escape}: {all}");
    }
}

#[test]
fn ca_file_may_hold_more_than_certificates() {
    let services = Services::start_tls();
    let ca = fs::read_to_string(services.spatiafi.ca_file().unwrap()).unwrap();
    let key = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIBAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for (number, content) in [
        format!("\u{feff}{ca}"),
        format!("{ca}{key}"),
        format!("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{key}{ca}"),
        ca.replace('\n', " \r\n"),
        ca.replace("CERTIFICATE", "X509 CERTIFICATE"),
        ca.replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
        ca.replace('\n', " "),
    ]
    .iter()
    .enumerate()
    {
        let file = services.file("ca.pem", content);
        let words = format!("spatiafi token --profile {number}");
        let output =
            services.without(&["KEYFOB_CA_FILE"], &words).arg("--ca-file").arg(&file).output().unwrap();
        assert!(output.status.success(), "{content}: {}", err(&output));
    }
}
