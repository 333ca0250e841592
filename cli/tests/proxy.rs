//! Through which proxy the command goes. TLS inside: plain HTTP never goes through one.

mod support;

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use support::{Services, succeeds};

type Variables<'a> = &'a [(&'a str, &'a str)];

/// Connects whoever asks with `CONNECT` (RFC 9110 9.3.6), and tells what it was asked.
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

#[test]
fn a_proxy_by_option_and_by_environment() {
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
    let through = services.spatiafi.auth_url().replace("https://", "CONNECT ");
    let cases: [(&[&str], Variables<'_>, bool); 6] = [
        (&["--proxy", &url], &[], true),
        (&["--proxy", &url], &[("KEYFOB_PROXY", nowhere)], true),
        (&["--proxy", "env"], &[("HTTPS_PROXY", &url), ("KEYFOB_PROXY", nowhere)], true),
        (&[], &[("KEYFOB_PROXY", "env"), ("HTTPS_PROXY", &url)], true),
        (&[], &[("HTTPS_PROXY", &url)], false),
        (&[], &[("KEYFOB_PROXY", &with_password)], true),
    ];
    for (number, (options, variables, used)) in cases.into_iter().enumerate() {
        let mut command = services.without(&[], &format!("spatiafi token --profile {number}"));
        succeeds(&command.args(options).envs(variables.iter().copied()).output().unwrap());
        let asked: Vec<String> = heard.try_iter().collect();
        assert_eq!(asked.len(), usize::from(used), "{options:?} {variables:?}: {asked:?}");
        assert!(asked.iter().all(|header| header.starts_with(&through)), "{asked:?}");
        let named = asked.iter().any(|header| header.to_lowercase().contains("proxy-authorization: basic "));
        assert_eq!(named, variables.iter().any(|(_, value)| value.contains('@')), "{asked:?}");
    }
}
