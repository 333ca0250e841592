//! Small servers for cases that a sandbox does not cover. Each runs until the test ends.

use std::io::{self, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

type Kept = Arc<Mutex<Vec<String>>>;

fn keep(kept: &Kept, text: String) {
    kept.lock().unwrap_or_else(PoisonError::into_inner).push(text);
}

fn kept(kept: &Kept) -> Vec<String> {
    kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Serves each connection on a thread of its own.
fn serve(serve: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            // If a client disconnects, only its own thread ends.
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Reads the head of a request.
fn head(reader: &mut impl io::BufRead) -> io::Result<String> {
    let mut head = String::new();
    while reader.read_line(&mut head)? > 2 {}
    Ok(head)
}

/// Answers every request in the same way, and records it.
pub struct Recorder {
    address: SocketAddr,
    requests: Kept,
}

impl Recorder {
    pub fn start(answer: impl Into<String>) -> Self {
        let (requests, answer) = (Kept::default(), answer.into());
        let all = requests.clone();
        let address = serve(move |mut stream| {
            let mut reader = BufReader::new(stream.try_clone()?);
            let mut request = head(&mut reader)?;
            let length = request
                .to_ascii_lowercase()
                .lines()
                .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            let mut body = Vec::new();
            reader.take(length.unwrap_or(0)).read_to_end(&mut body)?;
            request.push_str(&String::from_utf8_lossy(&body));
            keep(&all, request);
            let length = answer.len();
            write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{answer}"
            )
        });
        Self { address, requests }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn requests(&self) -> Vec<String> {
        kept(&self.requests)
    }
}

/// A proxy that accepts every `CONNECT` (RFC 9110 9.3.6) and records its target.
pub struct Tunnel {
    address: SocketAddr,
    asked: Kept,
}

impl Tunnel {
    pub fn start() -> Self {
        let asked = Kept::default();
        let all = asked.clone();
        let address = serve(move |client| {
            let mut reader = BufReader::new(client.try_clone()?);
            let head = head(&mut reader)?;
            let first = head.lines().next().unwrap_or_default().to_owned();
            let server = TcpStream::connect(first.split(' ').nth(1).unwrap_or_default())?;
            keep(&all, first);
            let (mut back, mut from_server) = (client.try_clone()?, server.try_clone()?);
            back.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            thread::spawn(move || {
                let _ = io::copy(&mut from_server, &mut back);
                back.shutdown(Shutdown::Write)
            });
            io::copy(&mut reader, &mut &server)?;
            server.shutdown(Shutdown::Write)
        });
        Self { address, asked }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn asked(&self) -> Vec<String> {
        kept(&self.asked)
    }
}
