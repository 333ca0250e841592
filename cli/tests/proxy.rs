//! The proxy that the command uses, with TLS inside the tunnel: plain HTTP never goes through a proxy.

mod support;

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use support::{Services, err, fails, succeeds};

type Variables<'a> = &'a [(&'a str, &'a str)];

/// Accepts each `CONNECT` (RFC 9110 9.3.6), and records the requests.
fn tunnel(client: &TcpStream, asked: &Sender<String>) -> io::Result<()> {
    let mut reader = BufReader::new(client);
    let mut header = String::new();
    while !header.ends_with("\r\n\r\n") && reader.read_line(&mut header)? > 0 {}
    let server = TcpStream::connect(header.split(' ').nth(1).unwrap_or_default())?;
    let _ = asked.send(header);
    let mut back = client;
    back.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = io::copy(&mut &server, &mut back);
            let _ = back.shutdown(Shutdown::Write);
        });
        let _ = io::copy(&mut reader, &mut &server);
        let _ = server.shutdown(Shutdown::Write);
    });
    Ok(())
}

/// An address of this machine that is none of loopback, for which no proxy would be used.
fn beside_loopback(services: &Services) -> String {
    services.spatiafi.auth_url().replace("//127.0.0.1", "//0.0.0.0")
}

#[test]
fn proxy_can_be_set_by_option_and_by_environment() {
    let services = Services::start_tls();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, heard) = channel();
    thread::spawn(move || {
        for client in listener.incoming() {
            let asked = asked.clone();
            thread::spawn(move || tunnel(&client?, &asked));
        }
    });
    let (url, with_password) = (format!("http://{address}"), format!("http://me:hunter2@{address}"));
    let nowhere = "http://127.0.0.1:1";
    let through = beside_loopback(&services).replace("https://", "CONNECT ");
    let cases: [(&[&str], Variables<'_>, bool); 18] = [
        (&["--proxy", &url], &[], true),
        (&["--proxy", &url], &[("KEYFOB_PROXY", nowhere)], true),
        (&["--proxy", "env"], &[("HTTPS_PROXY", &url), ("KEYFOB_PROXY", nowhere)], true),
        (&["--proxy", "none"], &[("HTTPS_PROXY", nowhere), ("KEYFOB_PROXY", nowhere)], false),
        (&[], &[("KEYFOB_PROXY", "env"), ("HTTPS_PROXY", &url)], true),
        (&[], &[("HTTPS_PROXY", &url)], true),
        (&[], &[("https_proxy", &with_password), ("HTTPS_PROXY", nowhere)], true),
        (&[], &[("ALL_PROXY", &url), ("KEYFOB_PROXY", "")], true),
        (&[], &[("HTTPS_PROXY", nowhere), ("NO_PROXY", "0.0.0.0")], false),
        (&[], &[("HTTPS_PROXY", nowhere), ("KEYFOB_PROXY", "none")], false),
        (&[], &[("HTTPS_PROXY", nowhere), ("KEYFOB_PROXY", &url)], true),
        (&[], &[("KEYFOB_PROXY", &with_password)], true),
        // NO_PROXY belongs to the environment's proxies.
        (&["--proxy", "env"], &[("https_proxy", &url), ("NO_PROXY", "10.0.0.0/8 0.0.0.0/8")], false),
        (&[], &[("KEYFOB_PROXY", "env"), ("ALL_PROXY", &url), ("no_proxy", "0.0.0.0")], false),
        (&["--proxy", &url], &[("NO_PROXY", "0.0.0.0")], true),
        (&[], &[("HTTP_PROXY", nowhere), ("http_proxy", nowhere)], false),
        (&[], &[("KEYFOB_PROXY", "env"), ("HTTPS_PROXY", &url), ("ALL_PROXY", "socks5://127.0.0.1:1")], true),
        (&[], &[("KEYFOB_PROXY", "env"), ("HTTP_PROXY", &url), ("REQUEST_METHOD", "GET")], false),
    ];
    for (number, (options, variables, used)) in cases.into_iter().enumerate() {
        let mut command = services.without(&[], &format!("spatiafi token --profile {number}"));
        command.args(options).envs(variables.iter().copied());
        // This machine is reached without a proxy.
        succeeds(&command.output().unwrap());
        assert_eq!(heard.try_iter().count(), 0, "{options:?} {variables:?}");
        succeeds(&command.env("SPATIAFI_AUTH_URL", beside_loopback(&services)).output().unwrap());
        let asked: Vec<String> = heard.try_iter().collect();
        assert_eq!(asked.len(), usize::from(used), "{options:?} {variables:?}: {asked:?}");
        assert!(asked.iter().all(|header| header.starts_with(&through)), "{asked:?}");
        let named = asked.iter().any(|header| header.to_lowercase().contains("proxy-authorization: basic "));
        assert_eq!(named, variables.iter().any(|(_, value)| value.contains('@')), "{asked:?}");
    }
}

/// The refusal comes before anything is sent: before the token of a request, and before the code of a login.
#[test]
fn unusable_proxy_is_an_error_only_where_it_would_be_used() {
    let services = Services::start_tls();
    let socks = [("ALL_PROXY", "socks5://127.0.0.1:1")];
    let url = beside_loopback(&services);
    let https = ["SPATIAFI_AUTH_URL", "SPACEBRING_API_URL", "SPACEBRING_TOKEN_URL"].map(|name| (name, &url));
    let unusable = "the proxy in ALL_PROXY cannot be used: it is not of the form http://host:port (SOCKS is not \
                    supported); set https_proxy to an HTTP proxy, or add the host to NO_PROXY\n";
    for (words, doing) in [
        ("spatiafi token", "could not get a token with the client credentials from https://0.0.0.0:"),
        ("spatiafi login", "could not get a token with the user name and password from https://0.0.0.0:"),
        ("spacebring get /locations/v1", "could not call the API: the proxy in ALL_PROXY"),
        ("spacebring login --no-browser", "could not log in at https://0.0.0.0:"),
    ] {
        let output = services.without(&[], words).envs(socks).envs(https).output().unwrap();
        fails(&output, 2, doing);
        assert!(err(&output).ends_with(unusable), "{}", err(&output));
    }
    assert_eq!(services.requests(), 0);
    let mut direct = services.without(&[], "spatiafi token");
    succeeds(&direct.envs(socks).envs(https).env("NO_PROXY", "0.0.0.0/8").output().unwrap());
    succeeds(&services.without(&[], "spatiafi token --profile loopback").envs(socks).output().unwrap());
}
