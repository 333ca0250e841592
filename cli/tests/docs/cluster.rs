//! The API server of a cluster: an API behind TLS, because kubectl sends no credentials without it.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use keyfob_sandbox::TlsFront;

/// Passes on each request to the API at this URL.
pub fn start(api_url: &str) -> TlsFront {
    behind_tls(api_url, pass_on)
}

/// A server behind TLS, which does this with each connection, and with the host and port of the API at this URL.
pub fn behind_tls(api_url: &str, serve: fn(&TcpStream, &str) -> io::Result<()>) -> TlsFront {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let front = TlsFront::start(listener.local_addr().unwrap(), true);
    let api = api_url.trim_start_matches("http://").to_owned();
    thread::spawn(move || {
        for client in listener.incoming() {
            let api = api.clone();
            thread::spawn(move || serve(&client?, &api));
        }
    });
    front
}

/// A request without a body, for the host that the API knows.
fn pass_on(mut client: &TcpStream, api: &str) -> io::Result<()> {
    let mut server = TcpStream::connect(api)?;
    for line in BufReader::new(client).lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        let line = if line.starts_with("Host: ") { format!("Host: {api}") } else { line };
        server.write_all(format!("{line}\r\n").as_bytes())?;
    }
    server.write_all(b"Connection: close\r\n\r\n")?;
    io::copy(&mut server, &mut client).map(drop)
}
