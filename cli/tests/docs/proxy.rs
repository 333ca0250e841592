//! The proxy of a company: CONNECT (RFC 9110, section 9.3.6), with a user name and a password.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

/// `me:proxy-password` for Basic.
const CREDENTIALS: &str = "Basic bWU6cHJveHktcGFzc3dvcmQ=";

/// Returns the address that it listens on.
pub fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for client in listener.incoming() {
            thread::spawn(move || connect(&client?));
        }
    });
    address
}

fn connect(mut client: &TcpStream) -> io::Result<()> {
    let mut target = String::new();
    let mut is_known = false;
    for line in BufReader::new(client).lines() {
        let line = line?;
        if let Some(rest) = line.strip_prefix("CONNECT ") {
            rest.split(' ').next().unwrap().clone_into(&mut target);
        }
        let (name, value) = line.split_once(": ").unwrap_or_default();
        is_known |= name.eq_ignore_ascii_case("proxy-authorization") && value == CREDENTIALS;
        if line.is_empty() {
            break;
        }
    }
    if !is_known {
        let refusal =
            "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"company\"\r\nContent-Length: 0\r\n\r\n";
        return client.write_all(refusal.as_bytes());
    }
    let mut server = TcpStream::connect(target)?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let mut answers = server.try_clone()?;
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = io::copy(&mut answers, &mut &*client);
            let _ = client.shutdown(Shutdown::Both);
        });
        let sent = io::copy(&mut client, &mut server);
        let _ = server.shutdown(Shutdown::Both);
        sent.map(drop)
    })
}
