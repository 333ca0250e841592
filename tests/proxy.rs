//! Proxies: a request uses one only if configured. The proxy is a real tunnel (RFC 9110 9.3.6) with TLS
//! inside.

#![allow(clippy::disallowed_methods, reason = "the tunnel runs on the machine's clock")]

#[path = "support/folder.rs"]
mod folder;

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use keyfob::spatiafi::BasicToken;
use keyfob::{AgentBuilder, Auth, Basic, Transport, ureq};
use keyfob_sandbox::{Endpoint, Sandbox, TlsFront};

use folder::Folder;

type Variables<'a> = &'a [(&'a str, &'a str)];

/// Accepts every `CONNECT`, and records its target.
struct Tunnel {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tunnel {
    fn start() -> Self {
        Self::answering(*b"HTTP/1.1 200 OK\r\n\r\n")
    }

    /// A proxy that answers `CONNECT` with these bytes.
    fn answering(answer: impl Into<Arc<[u8]>>) -> Self {
        let answer = answer.into();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, stopped) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (all, stop) = (asked.clone(), stopped.clone());
        let thread = thread::spawn(move || {
            for client in listener.incoming() {
                if stop.load(SeqCst) {
                    return;
                }
                let (client, all, answer) = (client.unwrap(), all.clone(), answer.clone());
                // If a client disconnects, only its own thread ends.
                thread::spawn(move || connect(&client, &all, &answer));
            }
        });
        Self { address, asked, stopped, thread: Some(thread) }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.stopped.store(true, SeqCst);
        let _ = TcpStream::connect(self.address);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn connect(client: &TcpStream, asked: &Mutex<Vec<String>>, answer: &[u8]) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut field = String::new();
    while reader.read_line(&mut field)? > 2 {
        field.clear();
    }
    asked.lock().unwrap().push(first.trim_end().to_owned());
    let target = first.split(' ').nth(1).unwrap_or_default();
    let server = TcpStream::connect(target)?;
    let mut back = client.try_clone()?;
    back.write_all(answer)?;
    let mut from_server = server.try_clone()?;
    let pump = thread::spawn(move || {
        let _ = io::copy(&mut from_server, &mut back);
        let _ = back.shutdown(Shutdown::Write);
    });
    let mut to_server = &server;
    let _ = io::copy(&mut reader, &mut to_server);
    let _ = server.shutdown(Shutdown::Write);
    let _ = pump.join();
    Ok(())
}

#[test]
fn proxy_is_used_only_when_configured() {
    let (sandbox, tunnel) = (Sandbox::start_tls(), Tunnel::start());
    // One connection for the token exchange, which keeps none, and one for the call.
    let through = [sandbox.auth_url(), sandbox.api_url()]
        .map(|url| beside_loopback(&url).replace("https://", "CONNECT ") + " HTTP/1.1");
    let url = tunnel.url();
    let cases: [(Variables<'_>, bool); 9] = [
        (&[("ALL_PROXY", &url)], false),
        (&[("HTTPS_PROXY", &url), ("https_proxy", &url), ("HTTP_PROXY", &url), ("http_proxy", &url)], false),
        (&[("KEYFOB_PROXY", ""), ("ALL_PROXY", &url)], false),
        (&[("KEYFOB_PROXY", "none"), ("ALL_PROXY", &url)], false),
        (&[("KEYFOB_PROXY", &url)], true),
        (&[("KEYFOB_PROXY", "env"), ("ALL_PROXY", &url)], true),
        (&[("KEYFOB_PROXY", "env"), ("HTTPS_PROXY", &url)], true),
        (&[("KEYFOB_PROXY", "env"), ("HTTPS_PROXY", &url), ("NO_PROXY", "0.0.0.0")], false),
        (&[("KEYFOB_PROXY", "env")], false),
    ];
    for (variables, used) in cases {
        let store = Folder::new();
        let output = cron(&sandbox, &store).envs(variables.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{variables:?}: {}", String::from_utf8_lossy(&output.stderr));
        let asked = tunnel.asked();
        assert_eq!(asked, if used { through.to_vec() } else { Vec::new() }, "{variables:?}");
    }
    assert_eq!(sandbox.count(Endpoint::Token), 9);
}

#[test]
fn proxy_from_the_environment_is_chosen_for_each_target() {
    let (sandbox, tunnel) = (Sandbox::start_tls(), Tunnel::start());
    let (url, socks) = (tunnel.url(), "socks5://127.0.0.1:1");
    let unusable = |variable: &str| {
        format!(
            "could not call the API: the proxy in {variable} cannot be used: it is not of the form http://host:port (SOCKS \
             is not supported); set https_proxy to an HTTP proxy, or add the host to NO_PROXY"
        )
    };
    let cases: [(Variables<'_>, Result<bool, String>); 14] = [
        (&[("https_proxy", &url), ("NO_PROXY", "localhost, 0.0.0.0/8")], Ok(false)),
        (&[("https_proxy", &url), ("no_proxy", "0.0.0.0")], Ok(false)),
        (&[("https_proxy", &url), ("NO_PROXY", "*")], Ok(false)),
        (&[("https_proxy", &url), ("NO_PROXY", "10.0.0.0/8,0.0,0.0.0.0:443")], Ok(true)),
        (&[("HTTPS_PROXY", &url), ("ALL_PROXY", socks)], Ok(true)),
        (&[("https_proxy", &url), ("HTTPS_PROXY", socks)], Ok(true)),
        (&[("https_proxy", ""), ("all_proxy", &url)], Ok(true)),
        (&[("HTTP_PROXY", &url), ("http_proxy", &url)], Ok(false)),
        (&[("HTTP_PROXY", &url), ("REQUEST_METHOD", "GET")], Ok(false)),
        (&[("HTTP_PROXY", socks), ("REQUEST_METHOD", "GET")], Ok(false)),
        (&[("ALL_PROXY", socks), ("NO_PROXY", "0.0.0.0/8")], Ok(false)),
        (&[("ALL_PROXY", socks)], Err(unusable("ALL_PROXY"))),
        (&[("HTTPS_PROXY", "ftp://proxy.test"), ("ALL_PROXY", &url)], Err(unusable("HTTPS_PROXY"))),
        (&[("https_proxy", "proxy.test:x"), ("HTTPS_PROXY", &url)], Err(unusable("https_proxy"))),
    ];
    for (variables, expected) in cases {
        let store = Folder::new();
        let mut cron = cron(&sandbox, &store);
        let output = cron.env("KEYFOB_PROXY", "env").envs(variables.iter().copied()).output().unwrap();
        let report = String::from_utf8_lossy(&output.stderr);
        let used = !tunnel.asked().is_empty();
        match expected {
            Ok(expected) => {
                assert_eq!((output.status.success(), used), (true, expected), "{variables:?}: {report}");
            }
            Err(text) => {
                assert!(
                    !output.status.success() && !used && report.contains(&text),
                    "{variables:?}: {report}"
                );
            }
        }
    }
    // Requests to this machine stay on it, whatever the environment says.
    for sandbox in [Sandbox::start(), Sandbox::start_tls()] {
        for variables in
            [[("KEYFOB_PROXY", "env"), ("ALL_PROXY", socks)], [("KEYFOB_PROXY", &url), ("A", "")]]
        {
            let store = Folder::new();
            let mut cron = cron(&sandbox, &store);
            assert!(cron.envs(sandbox.env()).envs(variables).output().unwrap().status.success());
        }
    }
    assert_eq!(tunnel.asked(), [""; 0]);
}

/// Returns the URL with an address of this machine that is none of loopback, for which no proxy would be used.
fn beside_loopback(url: &str) -> String {
    url.replace("//127.0.0.1", "//0.0.0.0")
}

/// The built example. `cargo test` builds all examples, `cargo test --test proxy` only when a test asks for
/// one.
fn cron(sandbox: &Sandbox, store: &Folder) -> Command {
    let deps = std::env::current_exe().unwrap();
    let path = deps.ancestors().nth(2).unwrap().join("examples/spatiafi_cron");
    if !path.exists() {
        let built =
            Command::new(env!("CARGO")).args(["build", "--quiet", "--example", "spatiafi_cron"]).status();
        assert!(built.unwrap().success());
    }
    let mut command = Command::new(path);
    command.env_clear().env("KEYFOB_STORE", store.join("keyfob"));
    command.envs(sandbox.env().into_iter().map(|(name, value)| (name, beside_loopback(&value))));
    command
}

/// Any 2xx answer opens the tunnel, and its length fields are ignored (RFC 9110 9.3.6).
#[test]
fn any_2xx_answer_of_a_proxy_opens_the_tunnel_whatever_its_header_fields() {
    let sandbox = Sandbox::start_tls();
    let trusting = Transport::new().with_ca_file(sandbox.ca_file().unwrap());
    let fields = (0..200).map(|n| format!("X-{n}: {n}\r\n")).collect::<Vec<_>>().concat();
    let answers = [
        "HTTP/1.1 201 Created\r\n\r\n".to_owned(),
        "HTTP/1.1 204 No Content\r\nVia: a\r\n\r\n".to_owned(),
        "HTTP/1.1 299\r\n\r\n".to_owned(),
        "HTTP/1.0 200 Connection established\r\nProxy-agent: x/1.0\r\n\r\n".to_owned(),
        "HTTP/1.1 200 \n\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: none\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\nB : c\r\nC:\r\n\r\n".to_owned(),
        "HTTP/1.1 100 Continue\r\nA: b\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"
            .to_owned(),
        "HTTP/1.1 200 T\u{fc}nnel\r\nA: \u{e9}\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\n{fields}\r\n"),
        "HTTP/1.1 203 Other\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "\r\n\r\nHTTP/1.1 205\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".to_owned(),
        "HTTP/1.1 226 IM\nVia:\n\t1.1 a\nContent-Length: 1\nContent-Length: 2\n\n".to_owned(),
        "HTTP/1.1 206 Part\r\nContent-Range: bytes 0-4/9\r\nUpgrade: x\r\n\r\n".to_owned(),
        // Longer than any buffer.
        format!("HTTP/1.1 200 OK\r\nSet-Cookie: {}\r\n\r\n", "c".repeat(40_000)),
        format!("HTTP/1.1 200 OK\r\n{}\r\n", format!("Set-Cookie: {}\r\n", "c".repeat(1000)).repeat(60)),
        format!("HTTP/1.1 103 E\r\nA: {}\r\n b\r\n\r\nHTTP/1.1 202 OK\r\n\r\n", "c".repeat(20_000)),
    ];
    for answer in answers {
        let tunnel = Tunnel::answering(answer.as_bytes());
        let http = trusting.clone().with_proxy(tunnel.url());
        let url = format!("{}/api/v1/auth/jwt/token/basic", sandbox.auth_url());
        let result = BasicToken::new(&url, "nobody", "wrong").unwrap().run(&http);
        // The request reached the sandbox itself, which refused it.
        assert_eq!(result.unwrap_err().status(), Some(400), "{answer}");
        assert_eq!(tunnel.asked(), [sandbox.auth_url().replace("https://", "CONNECT ") + " HTTP/1.1"]);
    }
}

#[test]
fn https_proxy_works_and_is_not_mistaken_for_the_server() {
    let sandbox = Sandbox::start_tls();
    let tunnel = Tunnel::answering(*b"HTTP/1.1 201 Created\r\nServer: x\r\n\r\n");
    let front = TlsFront::start(tunnel.address, true);
    // Trusts both authorities, because the proxy has its own.
    let folder = Folder::new();
    let both = [std::fs::read(sandbox.ca_file().unwrap()).unwrap(), std::fs::read(front.ca_file()).unwrap()];
    let http = Transport::new().with_ca_file(folder.write("both.pem", both.concat()));
    let http = http.with_proxy(front.origin().replace("//", "//user:p%40ss@"));
    let url = format!("{}/api/v1/auth/jwt/token/basic", sandbox.auth_url());
    let result = BasicToken::new(&url, "nobody", "wrong").unwrap().run(&http);
    assert_eq!(result.unwrap_err().status(), Some(400));
    assert_eq!(tunnel.asked().len(), 1);
}

#[test]
fn socks_proxy_of_a_request_is_refused() {
    let tunnel = Tunnel::start();
    let auth = Auth::Basic(Basic::new("ada", "secret").unwrap());
    let agent = AgentBuilder::new(Transport::new(), auth).origin("https://127.0.0.1:1").build().unwrap();
    let socks = ureq::Proxy::new(&format!("socks5://{}", tunnel.address)).unwrap();
    let failed = agent.get("https://127.0.0.1:1/").config().proxy(Some(socks)).build().call().unwrap_err();
    assert!(matches!(failed, ureq::Error::InvalidProxyUrl), "{failed:?}");
    assert_eq!(tunnel.asked.lock().unwrap().len(), 0);
}

/// A proxy that fails is not mistaken for the server, and its password is not shown.
#[test]
fn failing_connection_to_a_proxy_is_an_error_of_the_proxy() {
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let hanging = hanging.local_addr().unwrap().to_string();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let plain = Tunnel::start();
    let plain = plain.address.to_string();
    let short = Duration::from_millis(300);
    let refused = "the connection was refused; check the proxy";
    for (scheme, place, what) in [
        ("http", closed.as_str(), refused),
        ("http", "nosuch.invalid:3128", "the host name was not found; check the proxy"),
        ("http", &hanging, "no connection in time; check the proxy"),
        ("https", &closed, refused),
        ("https", &plain, "the connection was cut off while TLS was set up; try again"),
    ] {
        let http = Transport::new().with_proxy(format!("{scheme}://me:hunter2@{place}"));
        let http = http.with_timeout(short).with_connect_timeout(short);
        let url = "https://api.example.com/token";
        let token = BasicToken::new(url, "nobody", "wrong").unwrap().run(&http).unwrap_err();
        let auth = Auth::Basic(Basic::new("ada", "secret").unwrap());
        let agent = AgentBuilder::new(http, auth).origin("https://api.example.com").deadline(short);
        let call = agent.build().unwrap().get(url).call().unwrap_err();
        let debug = format!("{call:?} {call}");
        assert!(!debug.contains("hunter2"), "{debug}");
        for error in [token, keyfob::Error::from(call)] {
            let text = error.to_string();
            assert!(text.contains(&format!(": the proxy {place}: {what}")), "{scheme} {place}: {text}");
            assert!(!format!("{error:?}").contains("me:"), "{error:?}");
            assert!(error.is_transient(), "{error:?}");
        }
    }
}
